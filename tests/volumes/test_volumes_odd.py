"""Every odd file among the real scans: read right, or refused with words that help."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medgen.errors import MedgenError
from medgen.volumes import describe, find_scans, read_volume


@dataclass(frozen=True)
class Read:
    shape: tuple
    spacing: tuple
    orientation: str
    dtype: str
    values: tuple  # lowest and highest finite, physical
    modality: str
    non_finite: int = 0


@dataclass(frozen=True)
class Several:
    """Refused until one of `count` volumes is chosen; then the last one is this."""

    count: int
    last: Read


CT = Read((122, 101, 30), (3, 3, 3), "RAS", "int16", (-1100, 1207), "ct")
MR = Read((117, 91, 20), (3, 3, 3), "LPS", "int16", (-47, 833), "mr")
AIR = Read((79, 67, 64), (2.39, 2.366, 2.385), "AIR", "float32", (None, None), "mr")
STAT = Read((64, 64, 21), (4, 4, 6), "LAS", "float32", (None, None), "unknown")

ODD = {
    "atlas_rgba32.nii.gz": "holds colour voxels, not grey values; convert it",
    "broken_empty.nii.gz": "not a readable NIfTI.*downloaded completely",
    "broken_lfs_pointer.nii.gz": "is not fetched yet; run: git lfs pull",
    "broken_truncated_data.nii": "ends before its last voxel.*fetch the file again",
    "broken_truncated_gzip.nii.gz": "ends before its last voxel.*fetch the file again",
    "ct_2d.nii.gz": Read((122, 101, 1), (3, 3, 3), "RAS", "int16", (-1029, 987), "ct"),
    "ct_30slices_3mm.mha": CT,
    "ct_30slices_3mm.nii.gz": CT,
    "ct_30slices_3mm_le.nhdr": CT,
    "ct_30slices_3mm_le.raw.gz": "no format medgen reads; give a folder",
    "ct_30slices_3mm_pair.mhd": CT,
    "ct_30slices_3mm_pair.zraw": "no format medgen reads; give a folder",
    "ct_float32_nan_inf.nii.gz": Read(
        (122, 101, 30), (3, 3, 3), "RAS", "float32", (-1100, 1207), "ct", non_finite=101
    ),
    "ct_int16_intercept_m1024.nii": CT,
    "ct_rgb24.nii.gz": "holds colour voxels, not grey values; convert it",
    "ct_single_slice.nii.gz": Read(
        (122, 101, 1), (3, 3, 3), "RAS", "int16", (-1024, 1189), "ct"
    ),
    "ct_uint8_oblique_pitch.nii.gz": Read(
        (175, 248, 58), (0.8125, 0.8125, 2.3966), "RAS", "uint8", (0, 255), "unknown"
    ),
    "ct_zero_spacing_no_affine.nii": "has no affine.*set one",
    "mask_header_extension.nii.gz": Read(
        (161, 191, 151), (1, 1, 1), "LPI", "uint8", (0, 1), "labels"
    ),
    "mr_20slices.mgz": MR,
    "mr_20slices_negative.nii.gz": MR,
    "mr_4d1_float32_dtifa.nii.gz": Read(
        (128, 128, 53), (1.71875, 1.71875, 3), "LAS", "float32", (None, None), "mr"
    ),
    "mr_4d_float32_pcasl.nii.gz": Several(
        10, Read((52, 68, 20), (3, 3, 6), "RAS", "float32", (None, None), "mr")
    ),
    "mr_4d_int16_slope.nii": Several(
        20, Read((17, 21, 3), (4, 4, 8), "LAS", "int16", (None, None), "mr")
    ),
    "mr_4d_nifti2.nii.gz": Several(
        2, Read((32, 20, 12), (2, 2, 2.2), "LAS", "int16", (None, None), "mr")
    ),
    "mr_4d_oblique.nii.gz": Several(
        2, Read((128, 96, 24), (2, 2, 2.2), "LAS", "int16", (0, 1140), "mr")
    ),
    "mr_analyze75_20slices.hdr": "cannot tell left from right.*convert it to NIfTI",
    "mr_analyze75_20slices.img": "cannot tell left from right.*convert it to NIfTI",
    "mr_be_float32_nan.nii": Read(
        (17, 21, 3), (4, 4, 8), "LAS", "float32", (None, None), "mr", non_finite=153
    ),
    "mr_be_float32_oblique.nii": Read(
        (21, 26, 22), (4, 4, 4), "RAS", "float32", (None, None), "mr"
    ),
    "mr_be_int16_20slices.nii.gz": MR,
    "mr_be_int16_small.nii": Read(
        (33, 41, 25), (2, 2, 2), "LAS", "int16", (None, None), "mr"
    ),
    "mr_be_uint8_avg152.nii.gz": Read(
        (91, 109, 91), (2, 2, 2), "LAS", "uint8", (0, 255), "unknown"
    ),
    "mr_breast_int16.nrrd": Read(
        (45, 120, 21), (0.664062, 0.664062, 2.1), "LPS", "int16", (6, 248), "mr"
    ),
    "mr_pair_20slices.hdr": MR,
    "mr_pair_20slices.img": MR,
    "mr_pair_nifti1.hdr": AIR,
    "mr_pair_nifti1.img": AIR,
    "mr_pair_nifti2.hdr.gz": AIR,
    "mr_pair_nifti2.img.gz": AIR,
    "mr_prostate_uint16.nrrd": Read(
        (82, 67, 13), (0.5, 0.5, 3), "RAS", "uint16", (0, 2017), "mr"
    ),
    "mr_uint8_slope_oblique.nii.gz": Read(
        (64, 64, 35), (3.25, 3.25, 3.6), "RAS", "uint8", (0, 255 * 8.666667), "mr"
    ),
    "not_nifti.nii": "not a readable NIfTI",
    "stat_4d_int8_slope.nii.gz": Several(
        10, Read((91, 109, 91), (2, 2, 2), "RPI", "int8", (None, None), "labels")
    ),
    "stat_be_float32_negative.nii.gz": STAT,
    "stat_int16_slope_negative.nii.gz": Read(
        (79, 95, 79), (2, 2, 2), "LAS", "int16", (None, None), "unknown"
    ),
    "stat_le_float32_4d1.nii.gz": STAT,
    "tiny_5d_uint8_slope.nii": Several(
        3, Read((1, 2, 3), (1, 1, 1), "PSR", "uint8", (None, None), "unknown")
    ),
    "tiny_anisotropic.nii.gz": Read((4, 5, 7), (1, 3, 2), "RAS", "uint8", (None, None), "labels"),
    "tiny_test.mgz": Several(
        2, Read((3, 4, 5), (3.7417, 3.7417, 3.7417), "SAR", "float32", (None, None), "unknown")
    ),
}  # fmt: skip
NIFTI_OR_MGH = (".nii", ".nii.gz", ".mgz", ".hdr", ".hdr.gz")
NIBABEL = [n for n, o in ODD.items() if n.endswith(NIFTI_OR_MGH) and not isinstance(o, str)]


def read(path):
    outcome = ODD[path.name]
    return read_volume(path, volume=outcome.count - 1 if isinstance(outcome, Several) else None)


def test_the_table_names_every_file(shared_data):
    assert {path.name for path in (shared_data / "odd").iterdir()} == ODD.keys()


@pytest.mark.parametrize("name", ODD)
def test_read_right_or_refused(shared_data, name):
    path, expected = shared_data / "odd" / name, ODD[name]
    if isinstance(expected, str | Several):
        words = expected
        if isinstance(expected, Several):
            words = f"holds {expected.count} volumes; choose one with --volume N, N from 0 to"
        with pytest.raises(MedgenError, match=words) as error:
            read_volume(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
        if isinstance(expected, str):
            return
        expected = expected.last
    scan = read(path)
    assert scan.shape == expected.shape
    np.testing.assert_allclose(scan.spacing, expected.spacing, rtol=3e-4)
    assert scan.geometry.orientation == expected.orientation
    assert scan.array.dtype == np.dtype(expected.dtype)
    assert scan.modality == expected.modality
    facts = describe(scan)
    assert facts["non_finite"] == expected.non_finite
    for value, known in zip((facts["minimum"], facts["maximum"]), expected.values, strict=True):
        assert known is None or value == pytest.approx(known)


@pytest.mark.parametrize("name", NIBABEL)
def test_values_and_affine_are_nibabels(shared_data, name):
    path = shared_data / "odd" / name
    scan, image = read(path), nib.load(path)
    values = image.get_fdata()
    values = values.reshape(*scan.shape, -1, order="F")[..., -1]
    np.testing.assert_allclose(
        scan.array * np.float64(scan.slope) + scan.intercept, values, rtol=1e-6
    )
    np.testing.assert_array_equal(scan.geometry.affine, image.affine)


@pytest.mark.parametrize(
    "name",
    ["mr_breast_int16.nrrd", "mr_prostate_uint16.nrrd", "ct_30slices_3mm.mha"],
)
def test_values_and_place_are_itks(shared_data, name):
    scan = read_volume(shared_data / "odd" / name)
    image = sitk.ReadImage(str(shared_data / "odd" / name))
    np.testing.assert_array_equal(scan.array, sitk.GetArrayFromImage(image).T)
    last = [n - 1 for n in scan.shape]
    lps = (scan.geometry.affine @ [*last, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(last), lps, atol=1e-9)


@pytest.mark.parametrize("expected", [CT, MR, AIR])
def test_the_same_scan_in_many_formats_is_the_same(shared_data, expected):
    names = [name for name, outcome in ODD.items() if outcome is expected]
    assert len(names) > 1
    first, *others = (read_volume(shared_data / "odd" / name) for name in names)
    for name, other in zip(names[1:], others, strict=True):
        np.testing.assert_array_equal(other.to_physical(), first.to_physical(), err_msg=name)
        assert other.geometry == first.geometry, name


def test_either_endianness_is_the_same(shared_data):
    big, little = (
        read_volume(shared_data / "odd" / f"stat_{name}.nii.gz")
        for name in ("be_float32_negative", "le_float32_4d1")
    )
    np.testing.assert_array_equal(big.array, little.array)
    assert big.geometry == little.geometry


def test_the_folder_is_searched_as_a_whole(shared_data):
    names = [path.name for path in find_scans([shared_data / "odd"])]
    not_scans = {"ct_30slices_3mm_le.raw.gz", "ct_30slices_3mm_pair.zraw"}
    images = {name for name in ODD if name.endswith((".img", ".img.gz"))}
    assert names == sorted(ODD.keys() - not_scans - images)
