"""Small DICOM series for tests."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

COLUMNS, ROWS, COUNT = 4, 5, 6
SERIES = "1.2.826.0.1.3680043.8.498.1"
VOXELS = np.random.default_rng(7).integers(0, 3000, (COLUMNS, ROWS, COUNT)).astype(np.int16)
OBLIQUE = Rotation.from_euler("xyz", (12, -7, 31), degrees=True).as_matrix()
ORIGIN = np.array([-120.3, 88.8, -412.25])
PATIENT = "Doe^Jane"


def make_slice(k=0, step=3.0, turn=OBLIQUE, position=None, pixels=None, **attributes):
    """Slice k of a series whose rows run along the first column of `turn`; None deletes."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = SERIES
    header.StudyInstanceUID = "1.2.3"
    header.PatientName, header.PatientID, header.PatientBirthDate = PATIENT, "4711", "19700101"
    header.Modality = "CT"
    header.Rows, header.Columns = ROWS, COLUMNS
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 1
    header.PixelSpacing = [0.9, 0.7]  # between rows, between columns
    header.SliceThickness = 5.0
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    header.ImageOrientationPatient = [*map(float, turn[:, 0]), *map(float, turn[:, 1])]
    place = ORIGIN + k * step * turn[:, 2] if position is None else np.asarray(position)
    header.ImagePositionPatient = [round(float(x), 6) for x in place]
    header.InstanceNumber = 100 - k
    pixels = VOXELS[:, :, k].T if pixels is None else pixels
    header.PixelData = np.ascontiguousarray(pixels).tobytes()
    for name, value in attributes.items():
        if value is None:
            delattr(header, name)
        else:
            setattr(header, name, value)
    return header


def save(folder, headers, name="{:03d}.dcm"):
    """Write in an order that has nothing to do with the positions."""
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(1).permutation(len(headers))
    for number, k in enumerate(order):
        headers[k].save_as(folder / name.format(number), enforce_file_format=True)
    return folder


def series(folder, count=COUNT, **attributes):
    return save(folder, [make_slice(k, **attributes) for k in range(count)])
