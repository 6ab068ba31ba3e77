"""DICOM series as volumes: values, and images that are no scan."""

import numpy as np
import pydicom
import pytest
from dicom_slices import (
    COLUMNS,
    COUNT,
    ROWS,
    VOXELS,
    make_slice,
    save,
    series,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgen.errors import ReadError
from medgen.volumes import describe, read_volume


def test_rescale_that_varies_gives_physical_values(tmp_path):
    slopes = [0.0010346139, 0.0010206557, 0.001298346, 0.0029214132, 0.5, 2.0]
    headers = [make_slice(k, RescaleSlope=slope) for k, slope in enumerate(slopes)]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == np.float32
    assert (scan.slope, scan.intercept) == (1.0, 0.0)
    np.testing.assert_array_equal(scan.array, (VOXELS * np.array(slopes) - 1024).astype(np.float32))
    assert "differs between slices" in scan.metadata["notes"][0]


def test_without_rescale_stored_values_are_physical(tmp_path):
    folder = series(tmp_path / "scan", RescaleSlope=None, RescaleIntercept=None, Modality="MR")
    scan = read_volume(folder)
    assert not scan.is_scaled
    np.testing.assert_array_equal(scan.to_physical(), VOXELS)


@pytest.mark.parametrize("padding", [-2000, 63536])  # the same bits, read as signed and unsigned
def test_padding_is_kept_and_told_in_physical_units(tmp_path, padding):
    headers = [make_slice(k, pixels=np.maximum(VOXELS[:, :, k].T, 500)) for k in range(COUNT)]
    for header in headers:
        pixels = np.frombuffer(header.PixelData, np.int16).copy()
        pixels[:5] = -2000
        header.PixelData = pixels.tobytes()
        header.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.metadata["padding_value"] == -3024.0
    assert scan.array.min() == -2000
    assert describe(scan)["padding_fraction"] == 0.25


def test_one_slice_takes_its_thickness_for_spacing(tmp_path):
    make_slice(2).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "one.dcm")
    np.testing.assert_array_equal(scan.array, VOXELS[:, :, 2:3])
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 5.0))
    assert "give its folder" in scan.metadata["notes"][0]
    assert "notes" not in read_volume(tmp_path).metadata


def test_a_modality_that_the_values_belie(tmp_path):
    folder = series(tmp_path / "scan", RescaleIntercept=0)
    scan = read_volume(folder)
    assert (scan.modality, scan.metadata["modality_tag"]) == ("unknown", "CT")
    assert (scan.guess.modality, scan.guess.is_sure) == ("mr", False)
    assert scan.notes == (scan.guess.note,)
    assert "its DICOM header says CT, and yet its 116 values from 11 to" in scan.guess.note
    assert read_volume(folder, modality="mr").modality == "mr"


def test_an_intercept_that_the_headers_lack(tmp_path):
    folder = series(tmp_path / "scan", RescaleIntercept=0, PixelPaddingValue=3)
    scan = read_volume(folder, intercept=-1024)
    assert (scan.slope, scan.intercept, scan.modality) == (1.0, -1024.0, "ct")
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.metadata["padding_value"] == 3 - 1024


@pytest.mark.parametrize(("tag", "modality"), [("MR", "mr"), ("PT", "unknown"), ("", "unknown")])
def test_modality_is_the_headers_or_else_a_guess(tmp_path, tag, modality):
    assert read_volume(series(tmp_path / "scan", Modality=tag)).modality == modality


def enhanced(order, slopes=None, **attributes):
    """Multi-frame file whose frames have their own position, in any order."""
    header = make_slice(
        0, pixels=np.stack([VOXELS[:, :, k].T for k in order]), NumberOfFrames=len(order),
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
        SliceThickness=None, RescaleSlope=None, RescaleIntercept=None, **attributes,
    )  # fmt: skip
    plain = make_slice()

    def group(**values):
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return Sequence([item])

    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=plain.ImageOrientationPatient)
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.9, 0.7], SliceThickness=5.0)
    shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024)
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=make_slice(k).ImagePositionPatient)
        if slopes is not None:
            frame.PixelValueTransformationSequence = group(
                RescaleSlope=slopes[k], RescaleIntercept=0
            )
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return header


def test_multi_frame_file_is_read_by_its_functional_groups(tmp_path):
    enhanced((3, 0, 5, 1, 4, 2)).save_as(tmp_path / "frames.dcm", enforce_file_format=True)
    scan, same = read_volume(tmp_path / "frames.dcm"), read_volume(series(tmp_path / "scan"))
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.geometry == same.geometry
    assert (scan.slope, scan.intercept) == (1.0, -1024.0)
    assert scan.metadata["slice_thickness_mm"] == 5.0


def test_multi_frame_file_with_a_rescale_for_each_frame(tmp_path):
    slopes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    enhanced((5, 4, 3, 2, 1, 0), slopes).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(scan.array, VOXELS * np.float32(slopes))


def test_a_series_is_volume_zero(tmp_path):
    folder = series(tmp_path / "scan")
    assert read_volume(folder, volume=0).shape == (4, 5, 6)
    with pytest.raises(ReadError, match="no volume 1"):
        read_volume(folder, volume=1)


def colour():
    return make_slice(
        0, pixels=np.zeros((ROWS, COLUMNS, 3), np.uint8), SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0,
    )  # fmt: skip


IMAGES = {
    "colour": (colour(), r"colour image \(RGB\)"),
    "palette": (make_slice(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR"),
    "inverted": (make_slice(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1.*convert it"),
    "segmentation": (make_slice(Modality="SEG"), "segmentation"),
    "mosaic": (make_slice(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaic"),
    "colour map": (
        make_slice(PixelPresentation="COLOR", ImageType=["DERIVED", "PRIMARY", "PERFUSION"]),
        r"colour-coded map \(DERIVED PRIMARY PERFUSION\)",
    ),
    "table of values": (make_slice(ModalityLUTSequence=Sequence([Dataset()])), "by a table"),
    "no position": (make_slice(ImagePositionPatient=None), "no ImagePositionPatient"),
    "no orientation": (make_slice(ImageOrientationPatient=None), "no ImageOrientationPatient"),
    "no pixel spacing": (make_slice(PixelSpacing=None), "no PixelSpacing"),
    "slope of 0": (make_slice(RescaleSlope=0), "RescaleSlope of 0"),
    "too few pixels": (make_slice(pixels=VOXELS[:, :3, 0].T), "cannot be decoded"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_no_scan(tmp_path, name):
    header, words = IMAGES[name]
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for path in (tmp_path / "a.dcm", tmp_path):
        with pytest.raises(ReadError, match=words):
            read_volume(path)


def test_malformed_numbers(tmp_path):
    for name, old, new in (
        ("ImagePositionPatient", b"-412.25", b"nan    "),
        ("RescaleIntercept", b"-1024", b"inf  "),
        ("SliceThickness", b"5.0", b"5,0"),
    ):
        make_slice(0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
        raw = (tmp_path / "a.dcm").read_bytes()
        assert raw.count(old) == 1
        (tmp_path / "a.dcm").write_bytes(raw.replace(old, new))
        with pytest.raises(ReadError, match="malformed DICOM header"):
            read_volume(tmp_path / "a.dcm")
        assert name in pydicom.dcmread(tmp_path / "a.dcm", stop_before_pixels=True)
