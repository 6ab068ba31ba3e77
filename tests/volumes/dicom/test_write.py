"""Derived DICOM series: what they hold, where it lies, and what they say of themselves."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_slices import COUNT, OBLIQUE, ORIGIN, SERIES, VOXELS, make_slice, save
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)

from medgen.errors import GeometryError, MedgenError, WriteError
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.volumes import read_volume

LPS = (-1, -1, 1)
STUDY, FRAME = "1.2.826.0.1.3680043.8.498.7", "1.2.826.0.1.3680043.8.498.9"
INSTANCE = "1.2.826.0.1.3680043.8.498.5.{}"


def scanned(k, **attributes):
    """Slice k as a CT scanner sends it."""
    header = make_slice(k)
    header.ImageOrientationPatient = [round(x, 9) for x in OBLIQUE[:, :2].T.ravel()]
    header.StudyInstanceUID, header.FrameOfReferenceUID = STUDY, FRAME
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = INSTANCE.format(k + 1)
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    header.StudyDate, header.StudyTime, header.AcquisitionTime = "20200102", "101112", f"10111{k}"
    header.SeriesNumber, header.SeriesDescription, header.StudyID = 4, "Thorax 5.0", "77"
    header.AccessionNumber = header.ReferringPhysicianName = header.PositionReferenceIndicator = ""
    header.PatientSex, header.PatientPosition, header.Manufacturer = "F", "HFS", "ACME"
    header.KVP, header.XRayTubeCurrent, header.AcquisitionNumber = 120, 200 + k, 1
    header.WindowCenter, header.WindowWidth = 40 + k, 400
    header.ImageComments = "spiral"
    header.SliceLocation = 17.5 - 3 * k
    header.add_new(0x00091010, "LO", "PRIVATE")
    header.add_new(0x00091011, "LO", f"slice {k}")
    for name, value in attributes.items():
        setattr(header, name, value)
    return header


@pytest.fixture
def scan(tmp_path):
    """Folder with a CT of 4 x 5 x 6 voxels, oblique, spacing 0.7 x 0.9 x 3 mm."""
    return save(tmp_path / "scan", [scanned(k) for k in range(COUNT)])


def written(folder):
    """Datasets of a series in the order of the names."""
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def made(scan, out, model="linear", **options):
    """The datasets that a job writes, from the first slice of the scan to its last."""
    run_job(Job(scan, out, model, **options))
    return sorted(
        written(out),
        key=lambda d: np.dot(
            d.ImagePositionPatient,
            np.cross(d.ImageOrientationPatient[:3], d.ImageOrientationPatient[3:]),
        ),
    )


def itk(folder):
    """Array and image as GDCM reads the only series of a folder."""
    reader = sitk.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
    image = reader.Execute()
    return sitk.GetArrayFromImage(image).T, image


def errors(file):
    """What dciodvfy (dicom3tools) says is wrong with a file."""
    said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
    return {line for line in said.splitlines() if line.startswith("Error")}


# === Voxels and places ===


@pytest.mark.parametrize("options", [{"factor": 3}, {"spacing_mm": 1.2}, {"slice_axis": 2}])
def test_same_voxels_at_the_same_places_as_nifti(scan, tmp_path, options):
    run_job(Job(scan, tmp_path / "out", "bspline", **options))
    run_job(Job(scan, tmp_path / "file.nii", "bspline", **options))
    ours, nifti = read_volume(tmp_path / "out"), read_volume(tmp_path / "file.nii")
    np.testing.assert_array_equal(ours.array, nifti.array)
    assert (ours.array.dtype, ours.slope, ours.intercept) == (np.int16, 1, -1024)
    assert ours.geometry == nifti.geometry
    array, image = itk(tmp_path / "out")
    np.testing.assert_array_equal(array, nifti.to_physical())
    for index in ((0, 0, 0), (3, 4, 0), (0, 0, ours.shape[2] - 1)):
        lps = image.TransformIndexToPhysicalPoint(index)
        ras = (nifti.geometry.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(np.array(lps) * [-1, -1, 1], ras, atol=1e-4)


def test_an_intercept_that_the_user_says_stands_in_every_header(scan, tmp_path):
    shifted = save(tmp_path / "shifted", [scanned(k, RescaleIntercept=0) for k in range(COUNT)])
    out = made(shifted, tmp_path / "out", intercept=-1024.0)
    usual = made(scan, tmp_path / "usual")
    for ours, theirs in zip(out, usual, strict=True):
        assert (float(ours.RescaleSlope), float(ours.RescaleIntercept)) == (1.0, -1024.0)
        assert ours.PixelData == theirs.PixelData
    assert read_volume(tmp_path / "out").intercept == -1024.0


def test_acquired_slices_keep_bytes_and_places(scan, tmp_path):
    out = made(scan, tmp_path / "out")
    assert len(out) == 2 * COUNT - 1
    for k in range(COUNT):
        assert out[2 * k].PixelData == np.ascontiguousarray(VOXELS[:, :, k].T).tobytes()
        position = [round(float(x), 6) for x in ORIGIN + 3 * k * OBLIQUE[:, 2]]
        assert [float(x) for x in out[2 * k].ImagePositionPatient] == position
        assert float(out[2 * k].SliceLocation) == 17.5 - 3 * k
    for k in range(COUNT - 1):
        middle = ORIGIN + (3 * k + 1.5) * OBLIQUE[:, 2]
        np.testing.assert_allclose(out[2 * k + 1].ImagePositionPatient, middle, atol=1e-6)
        assert float(out[2 * k + 1].SliceLocation) == pytest.approx(16 - 3 * k)
    np.testing.assert_allclose([d.SpacingBetweenSlices for d in out], 1.5, atol=1e-6)
    assert {float(d.SliceThickness) for d in out} == {5}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_other_encodings_become_explicit_little_endian(scan, tmp_path, syntax):
    plain = made(scan, tmp_path / "plain")
    other = tmp_path / "other"
    other.mkdir()
    for file in scan.iterdir():
        header = pydicom.dcmread(file)
        if syntax == RLELossless:
            header.compress(RLELossless, generate_instance_uid=False)
            header.save_as(other / file.name)
        else:
            if syntax == ExplicitVRBigEndian:
                header.PixelData = np.frombuffer(header.PixelData, "<i2").astype(">i2").tobytes()
            header.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(
                other / file.name, header, implicit_vr=syntax.is_implicit_VR,
                little_endian=syntax.is_little_endian, force_encoding=True,
            )  # fmt: skip
    out = made(other, tmp_path / "out")
    for ours, expected in zip(out, plain, strict=True):
        assert ours.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert ours.PixelData == expected.PixelData
        assert ours.PatientName == expected.PatientName == "Doe^Jane"
        assert ours.ImagePositionPatient == expected.ImagePositionPatient
        said = "decompressed" in ours.DerivationDescription
        assert said == (syntax.is_compressed and "ACQUIRED" in ours.ImageType)


def test_bits_beyond_those_stored(tmp_path):
    """Of 12 bits in 16, with an old overlay in the others; what B-splines overshoot needs 13."""
    voxels = [np.zeros((5, 4), np.uint16) for _ in range(4)]
    voxels[1][...], voxels[2][...] = 4095, 4095
    voxels[0][0, 0] = 0x1000
    slices = [
        scanned(k, BitsStored=12, HighBit=11, PixelRepresentation=0, PixelData=v.tobytes())
        for k, v in enumerate(voxels)
    ]
    for header in slices:
        header.add_new(0x60000010, "US", 5)
        header.add_new(0x60000102, "US", 12)
    out = made(save(tmp_path / "scan", slices), tmp_path / "out", "bspline")
    for k, pixels in enumerate(voxels):
        assert out[2 * k].PixelData == (pixels & 0x0FFF).tobytes()
        assert 0x60000010 not in out[2 * k]
        assert (out[2 * k].BitsStored, out[2 * k].HighBit) == (12, 11)
    middle = np.frombuffer(out[3].PixelData, np.uint16)
    assert middle.min() > 4095
    assert (out[3].BitsAllocated, out[3].BitsStored, out[3].HighBit) == (16, 13, 12)
    assert (out[1].BitsStored, out[1].PixelRepresentation) == (12, 0)


@pytest.mark.parametrize("layout", ["high", "no sign above"])
def test_values_leave_in_the_lowest_bits(tmp_path, layout):
    values = np.arange(20).reshape(5, 4) * 200 - 2000  # of 12 bits
    low = values.astype(np.uint16) & 0x0FFF
    cells, high_bit = (low << 4, 15) if layout == "high" else (low, 11)
    slices = [
        scanned(k, BitsStored=12, HighBit=high_bit, PixelData=cells.astype("<u2").tobytes())
        for k in range(3)
    ]
    for dataset in made(save(tmp_path / "scan", slices), tmp_path / "out"):
        assert dataset.PixelData == values.astype("<i2").tobytes()
        told = (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit)
        assert (*told, dataset.PixelRepresentation) == (16, 12, 11, 1)


@pytest.mark.parametrize(
    ("lowest", "highest", "kind"),
    [(-900, 2000, "int16"), (0, 60000, "uint16"), (-900, 60000, "int32")],
)
def test_signed_and_unsigned_slices_in_one_series(tmp_path, lowest, highest, kind):
    """Every slice keeps its own type, and those between need no more than 16 bits."""
    images, slices = [], []
    for k in range(4):
        signed = k % 2
        ends = (lowest, min(highest, 2000)) if signed else (0, highest)
        image = np.linspace(*ends, 20).reshape(5, 4).astype(np.int16 if signed else np.uint16)
        images.append(image)
        slices.append(scanned(k, PixelRepresentation=signed, PixelData=image.tobytes()))
    folder = save(tmp_path / "scan", slices)
    scan = read_volume(folder)
    assert scan.array.dtype == kind
    np.testing.assert_array_equal(scan.array, np.stack([image.T for image in images], axis=-1))
    out = made(folder, tmp_path / "out")
    assert {dataset.BitsAllocated for dataset in out} == {16}
    for k, image in enumerate(images):
        assert out[2 * k].PixelData == image.tobytes()
        assert out[2 * k].PixelRepresentation == k % 2
    run_job(Job(folder, tmp_path / "file.nii", "linear"))
    nifti = read_volume(tmp_path / "file.nii")
    for k, dataset in enumerate(out):
        np.testing.assert_array_equal(dataset.pixel_array.T, nifti.array[:, :, k])


def test_a_slice_between_signed_and_unsigned_ones_that_takes_more_than_16_bits(tmp_path):
    """Its values go over 16 bits with a scale of their own, less than half a step off."""
    images = [
        np.linspace(*ends, 20).reshape(5, 4).astype(kind)
        for ends, kind in (((0, 65535), np.uint16), ((-30000, 2000), np.int16)) * 2
    ]
    slices = [
        scanned(k, Modality="MR", PixelRepresentation=k % 2, PixelData=image.tobytes())
        for k, image in enumerate(images)
    ]
    out = made(save(tmp_path / "scan", slices), tmp_path / "out")
    for k, dataset in enumerate(out):
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert (dataset.BitsAllocated, dataset.HighBit) == (16, dataset.BitsStored - 1)
        before, after = (images[n].astype(float) for n in (k // 2, (k + 1) // 2))
        np.testing.assert_allclose(values, (before + after) / 2 - 1024, rtol=0, atol=1)


def test_scale_that_varies_between_slices(tmp_path):
    slopes = [0.5, 2.0, 0.001, 1.0, 1.0, 3.0]
    scan = save(tmp_path / "scan", [scanned(k, RescaleSlope=s) for k, s in enumerate(slopes)])
    out = made(scan, tmp_path / "out")
    run_job(Job(scan, tmp_path / "file.nii", "linear"))
    nifti = read_volume(tmp_path / "file.nii").array
    assert nifti.dtype == np.float32
    for k, dataset in enumerate(out):
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        if k % 2 == 0:
            assert dataset.RescaleSlope == slopes[k // 2]
            assert dataset.PixelData == np.ascontiguousarray(VOXELS[:, :, k // 2].T).tobytes()
        span = float(nifti[:, :, k].max() - nifti[:, :, k].min())
        np.testing.assert_allclose(values.T, nifti[:, :, k], atol=span / 65534 * 0.51 + 1e-4)


def test_frames_of_one_file_become_single_slices(tmp_path):
    header = scanned(0)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
                 "RescaleIntercept", "SliceThickness", "SliceLocation", "KVP"):  # fmt: skip
        delattr(header, name)
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = EnhancedCTImageStorage
    header.NumberOfFrames = COUNT
    shared, measures, turn, rescale, tube = (Dataset() for _ in range(5))
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.7], 5
    turn.ImageOrientationPatient = [*map(float, OBLIQUE[:, 0]), *map(float, OBLIQUE[:, 1])]
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 2, -1000, "HU"
    tube.KVP = 100
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    shared.PixelValueTransformationSequence, shared.CTXRayDetailsSequence = [rescale], [tube]
    header.SharedFunctionalGroupsSequence = [shared]
    places = [4, 0, 5, 2, 1, 3]
    groups = []
    for k in places:
        group, plane = Dataset(), Dataset()
        plane.ImagePositionPatient = [round(float(x), 6) for x in ORIGIN + 3 * k * OBLIQUE[:, 2]]
        group.PlanePositionSequence = [plane]
        groups.append(group)
    header.PerFrameFunctionalGroupsSequence = groups
    header.PixelData = np.ascontiguousarray(VOXELS[:, :, places].T).tobytes()
    header.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    out = made(tmp_path / "scan.dcm", tmp_path / "out")
    assert len(out) == 2 * COUNT - 1
    for k, dataset in enumerate(out):
        assert dataset.SOPClassUID == CTImageStorage
        assert "NumberOfFrames" not in dataset
        assert "SharedFunctionalGroupsSequence" not in dataset
        assert (dataset.RescaleSlope, dataset.RescaleIntercept, dataset.KVP) == (2, -1000, 100)
        assert dataset.RescaleType == "HU"
        frames = [item.ReferencedFrameNumber for item in dataset.SourceImageSequence]
        expected = [places.index(n) + 1 for n in {k // 2, (k + 1) // 2}]
        assert frames == expected
        if k % 2 == 0:
            np.testing.assert_array_equal(dataset.pixel_array.T, VOXELS[:, :, k // 2])
    np.testing.assert_array_equal(read_volume(tmp_path / "out").array[..., ::2], VOXELS)


# === What the headers say ===


def test_identity(scan, tmp_path):
    out = made(scan, tmp_path / "out")
    assert {d.StudyInstanceUID for d in out} == {STUDY}
    assert {d.FrameOfReferenceUID for d in out} == {FRAME}
    (series,) = {d.SeriesInstanceUID for d in out}
    instances = {d.SOPInstanceUID for d in out}
    assert series != SERIES
    assert len(instances) == len(out)
    assert not instances & {INSTANCE.format(k + 1) for k in range(COUNT)}
    for uid in (series, *instances):
        assert UID(uid).is_valid
    assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in out)
    assert {(d.SeriesNumber, d.SOPClassUID, d.Modality) for d in out} == {
        (1004, CTImageStorage, "CT")
    }
    assert {d.SeriesDescription for d in out} == {"Thorax 5.0 [medgen 0.1.0, linear]"}
    # The source counts downwards, and so does its successor.
    assert [d.InstanceNumber for d in out] == list(range(len(out), 0, -1))
    assert [d.InstanceNumber for d in written(tmp_path / "out")] == list(range(1, len(out) + 1))


def test_synthetic_slices_cannot_be_mistaken(scan, tmp_path):
    out = made(scan, tmp_path / "out", model="sinc", factor=3, seed=8)
    for k, dataset in enumerate(out):
        label = "ACQUIRED" if k % 3 == 0 else "SYNTHETIC"
        assert dataset.ImageType == ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI", label]
        text = dataset.DerivationDescription
        assert "medgen 0.1.0, sinc (factor 3, seed 8)" in text
        assert text.startswith("Synthetic slice" if k % 3 else "Acquired slice, stored values un")
        assert dataset.ImageComments.startswith("SYNTHETIC SLICE" if k % 3 else "spiral")
        assert ("DerivationCodeSequence" in dataset) == bool(k % 3)
        references = dataset.SourceImageSequence
        sources = {k // 3, -(-k // 3)}
        assert [r.ReferencedSOPInstanceUID for r in references] == [
            INSTANCE.format(n + 1) for n in sorted(sources)
        ]
        assert {r.ReferencedSOPClassUID for r in references} == {CTImageStorage}
        (code,) = references[0].PurposeOfReferenceCodeSequence
        assert (code.CodeValue, code.CodingSchemeDesignator) == ("121322", "DCM")
        (equipment,) = dataset.ContributingEquipmentSequence
        assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("medgen", "0.1.0")


def test_a_synthetic_slice_claims_only_what_both_neighbours_share(scan, tmp_path):
    out = made(scan, tmp_path / "out")
    for k, dataset in enumerate(out):
        assert (dataset.PatientName, dataset.PatientID, dataset.PatientSex) == (
            "Doe^Jane", "4711", "F",
        )  # fmt: skip
        assert (dataset.KVP, dataset.Manufacturer, dataset.StudyDate) == (120, "ACME", "20200102")
        assert dataset[0x00091010].value == "PRIVATE"
        assert dataset.WindowCenter == 40 + k // 2
        if k % 2:
            assert "XRayTubeCurrent" not in dataset
            assert "AcquisitionTime" not in dataset
            assert 0x00091011 not in dataset
        else:
            assert dataset.XRayTubeCurrent == 200 + k // 2
            assert dataset[0x00091011].value == f"slice {k // 2}"


def test_text_in_an_undeclared_character_set_keeps_its_bytes(tmp_path):
    name = "M\xfcller^J\xf6rg".encode("utf-8")  # noqa: UP012 (bytes that the header does not declare)
    scan = save(tmp_path / "scan", [scanned(k, PatientName="X" * len(name)) for k in range(COUNT)])
    for file in scan.iterdir():
        file.write_bytes(file.read_bytes().replace(b"X" * len(name), name))
    run_job(Job(scan, tmp_path / "out", "linear"))
    for file in (tmp_path / "out").iterdir():
        assert name in file.read_bytes()


def test_same_job_same_bytes(scan, tmp_path):
    for out in ("a", "b"):
        run_job(Job(scan, tmp_path / out, "linear"))
    for first, second in zip(
        sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True
    ):
        assert first.read_bytes() == second.read_bytes()
    others = [made(scan, tmp_path / "c", "sinc"), made(scan, tmp_path / "d", "linear", seed=1)]
    uids = {d.SeriesInstanceUID for d in [*written(tmp_path / "a"), *others[0], *others[1]]}
    assert len(uids) == 3


def test_what_the_source_lacks_is_added_empty(tmp_path):
    """A series stripped of nearly everything still becomes a valid one."""
    slices = []
    for k in range(COUNT):
        header = make_slice(k, SOPClassUID=MRImageStorage, Modality="MR", StudyInstanceUID="")
        for name in ("PatientName", "PatientID", "PatientBirthDate", "SliceThickness"):
            delattr(header, name)
        slices.append(header)
    out = made(save(tmp_path / "scan", slices), tmp_path / "out")
    for dataset in out:
        for name in ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "EchoTime"):
            assert dataset[name].is_empty
        assert UID(dataset.StudyInstanceUID).is_valid
        assert UID(dataset.FrameOfReferenceUID).is_valid
        assert (dataset.ScanningSequence, dataset.SequenceVariant) == ("RM", "NONE")
        assert dataset.ImageType[:3] == ["DERIVED", "SECONDARY", "OTHER"]
    assert len({(d.StudyInstanceUID, d.FrameOfReferenceUID) for d in out}) == 1


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(scan, tmp_path):
    made(scan, tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert errors(file) == set()


# === What is refused, and what is replaced ===


def test_refusals(scan, tmp_path):
    run_job(Job(scan, tmp_path / "scan.nii", "linear"))
    job = Job(scan, tmp_path / "out", "linear")
    for refused, error, message in (
        (replace(job, scan=tmp_path / "scan.nii"), WriteError, "is not DICOM, so no series"),
        (replace(job, slice_axis=0), GeometryError, "not along axis 0"),
        (replace(job, output=tmp_path / "no" / "out"), WriteError, "there is no folder"),
        (replace(job, output=scan), WriteError, "scan exists"),
        (replace(job, output=scan, overwrite=True), WriteError, "holds other files"),
    ):
        with pytest.raises(error, match=message):
            run_job(refused)
    assert not (tmp_path / "out").exists()
    assert len(list(scan.iterdir())) == COUNT
    pet = save(
        tmp_path / "pet",
        [scanned(k, SOPClassUID=PositronEmissionTomographyImageStorage) for k in range(COUNT)],
    )
    with pytest.raises(WriteError, match="Positron Emission Tomography"):
        run_job(replace(job, scan=pet))
    assert not (tmp_path / "out").exists()


def test_floating_point_pixels_become_no_series(tmp_path):
    slices = [scanned(k) for k in range(3)]
    for header in slices:
        del header.PixelData
        header.FloatPixelData, header.BitsAllocated = np.ones((5, 4), "<f4").tobytes(), 32
    folder = save(tmp_path / "scan", slices)
    words = r"scan holds floating-point pixels, as parametric maps do.*ends in \.nii\.gz\.$"
    with pytest.raises(WriteError, match=words):
        run_job(Job(folder, tmp_path / "out", "linear"))
    run_job(Job(folder, tmp_path / "out.nii", "linear"))
    assert read_volume(tmp_path / "out.nii").array.dtype == np.float32


def test_a_series_from_several_folders(scan, tmp_path):
    whole = made(scan, tmp_path / "whole")
    for number, file in enumerate(sorted(scan.iterdir())):
        (scan / str(number)).mkdir()
        file.rename(scan / str(number) / "image.dcm")
    out = made(scan, tmp_path / "out")
    assert [d.PixelData for d in out] == [d.PixelData for d in whole]


def test_overwriting_replaces_a_series_of_ours_only(scan, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert len(made(scan, out, factor=4)) == 21
    with pytest.raises(WriteError, match="exists"):
        run_job(Job(scan, out, "linear"))
    assert len(made(scan, out, overwrite=True)) == 11
    (out / "notes.txt").write_text("mine")
    with pytest.raises(WriteError, match="holds other files"):
        run_job(Job(scan, out, "linear", overwrite=True))
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.json", "scan"]


def test_a_failure_on_the_way_leaves_the_old_series(scan, tmp_path, monkeypatch):
    before = made(scan, tmp_path / "out")
    write = Path.write_bytes

    def full(path, data):
        if path.name == "slice-0007.dcm":
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MedgenError, match=r"^Cannot write \S+out: No space left on device.$"):
        run_job(Job(scan, tmp_path / "out", "sinc", overwrite=True))
    assert len(written(tmp_path / "out")) == len(before)
    assert written(tmp_path / "out")[1].DerivationDescription == before[-2].DerivationDescription
    assert not list(tmp_path.glob(".medgen-*"))


# === Real series ===


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ct_siemens_2mm_overlap_j2k", marks=pytest.mark.slow),
        "ct_ricord_jpegll_signed_pad",
        "mr_ge_pd_7mm_jitter",
        "mr_sagittal_plain",
        "mr_sagittal_j2k",
        "mr_sagittal_jpegls",
        "mr_hitachi_signed",
        "mr_nonsquare_rescale_slope",
        "mr_labelled_ct_2mm_17slices",
        "mr_multiframe_hyperfine",
        "mr_multiframe_philips_enhanced",
        "mr_multiframe_siemens",
    ],
)
def test_real_series(shared_data, tmp_path, name):
    scan = shared_data / "dicom" / name
    run_job(Job(scan, tmp_path / "out", "linear"))
    run_job(Job(scan, tmp_path / "file.nii", "linear", slice_axis=2))
    before, ours = read_volume(scan), read_volume(tmp_path / "out")
    nifti = read_volume(tmp_path / "file.nii")
    np.testing.assert_array_equal(ours.to_physical()[..., ::2], before.to_physical())
    span = float(np.ptp(nifti.to_physical()))
    np.testing.assert_allclose(ours.to_physical(), nifti.to_physical(), rtol=0, atol=span / 65534)
    assert ours.geometry.close_to(before.geometry.refine(2, 2))
    assert ours.metadata.get("padding_value") == before.metadata.get("padding_value")
    array, image = itk(tmp_path / "out")
    np.testing.assert_allclose(array, ours.to_physical(), rtol=0, atol=span * 1e-6)
    np.testing.assert_allclose(image.GetSpacing(), ours.spacing, rtol=1e-4)
    if shutil.which("dciodvfy"):
        files = [scan, *sorted(scan.iterdir())[:2]]
        inherited = set().union(*(errors(file) for file in files))
        for file in sorted((tmp_path / "out").iterdir())[:2]:
            fresh = {e for e in errors(file) - inherited if "Referenced SOP Instance" not in e}
            assert fresh == set()


# === Missing slices ===


@pytest.mark.parametrize("out", ["out", "file.nii.gz"])
def test_only_missing_slices_are_filled_in(tmp_path, out):
    kept = [0, 1, 3, 4, 5]
    scan = save(tmp_path / "scan", [scanned(k) for k in kept])
    job = Job(scan, tmp_path / out, "linear")
    with pytest.raises(GeometryError, match="--fill-gaps"):
        run_job(job)
    with pytest.raises(GeometryError, match="leave out --factor"):
        run_job(replace(job, fill_gaps=True, factor=2))
    outcome = run_job(replace(job, fill_gaps=True, mask=tmp_path / "mask.nii"))
    assert (outcome.before.shape, outcome.after.shape) == ((4, 5, 5), (4, 5, 6))
    filled = read_volume(tmp_path / out)
    np.testing.assert_array_equal(filled.array[..., kept], VOXELS[..., kept])
    middle = (VOXELS[..., 1].astype(float) + VOXELS[..., 3]) / 2
    np.testing.assert_array_equal(filled.array[..., 2], np.rint(middle))
    np.testing.assert_allclose(filled.geometry.centers(2)[2], (ORIGIN + 6 * OBLIQUE[:, 2]) * LPS)
    assert read_volume(tmp_path / "mask.nii").array[0, 0].tolist() == [0, 0, 1, 0, 0, 0]
    if out == "out":
        datasets = written(tmp_path / out)[::-1]
        labels = [dataset.ImageType[-1] for dataset in datasets]
        assert labels == ["ACQUIRED"] * 2 + ["SYNTHETIC"] + ["ACQUIRED"] * 3
        references = [r.ReferencedSOPInstanceUID for r in datasets[2].SourceImageSequence]
        assert references == [INSTANCE.format(2), INSTANCE.format(4)]
        assert "linear (fill_gaps True, seed 0)" in datasets[2].DerivationDescription
        assert float(datasets[2].SliceLocation) == 11.5


def test_a_real_series_with_a_gap(shared_data, tmp_path):
    scan = shared_data / "dicom" / "ct_missing_slice_ge"
    run_job(Job(scan, tmp_path / "out", "linear", fill_gaps=True))
    gapped, filled = read_volume(scan, gaps=True), read_volume(tmp_path / "out")
    (missing,) = gapped.metadata["missing_slices"]
    assert filled.geometry == gapped.geometry
    assert filled.spacing[2] == pytest.approx(5)
    kept = [k for k in range(filled.shape[2]) if k != missing]
    np.testing.assert_array_equal(filled.array[..., kept], gapped.array[..., kept])
    around = filled.to_physical()[..., [missing - 1, missing + 1]].mean(axis=-1)
    scanned_there = (filled.to_physical()[..., [missing - 1, missing + 1]] >= -1024).all(axis=-1)
    ours = filled.to_physical()[..., missing]
    np.testing.assert_allclose(ours[scanned_there], around[scanned_there], atol=0.5)
