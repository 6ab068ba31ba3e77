"""Every DICOM file among the real scans: read with known grid and values, or refused in words."""

from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from medgen.errors import MedgenError
from medgen.volumes import read_volume


@dataclass(frozen=True)
class Read:
    shape: tuple
    spacing: tuple
    orientation: str
    dtype: str
    values: tuple  # lowest and highest, physical
    modality: str
    padding: float | None = None


RAMP = (0, 254)  # the makers of these files replaced the pixels by a ramp
SAGITTAL = Read((256, 256, 4), (1, 1, 1), "PIR", "uint16", RAMP, "mr")

SERIES = {
    "ct_gantry_tilt": "sheared stack.* 14 degrees",
    "ct_missing_slice_ge": r"5 mm apart, but 10 mm between IM-0001-0009-0001\.dcm and IM-0001-0010",
    "ct_not_a_volume": "4 slices for 1 position:",
    "ct_ricord_jpegll_signed_pad": Read(
        (512, 512, 8), (0.703125, 0.703125, 1.25), "LPS", "int16", (-3024, 2448), "ct", -3024
    ),
    "ct_siemens_2mm_overlap_j2k": Read(
        (512, 512, 20), (0.9765625, 0.9765625, 2), "LPS", "uint16", (-1024, 1839), "ct"
    ),
    "mr_4d_dti_ge": "8 slices for 4 positions",
    "mr_ge_pd_7mm_jitter": Read(
        (256, 256, 12), (0.859375, 0.859375, 7.0004991), "LPS", "int16", (0, 1059), "mr", 0
    ),
    "mr_hitachi_signed": Read((64, 64, 4), (2.34375, 2.34375, 4), "PIR", "int16", (0, 1537), "mr"),
    "mr_labelled_ct_2mm_17slices": Read(
        (88, 128, 17), (2, 2, 2), "RAS", "int16", (0, 696), "unknown"
    ),
    "mr_mixed_orientation": "different orientations",
    "mr_multiframe_hyperfine": Read((112, 138, 8), (1.59, 1.61, 5), "LPS", "uint16", RAMP, "mr"),
    "mr_multiframe_philips_enhanced": Read(
        (256, 256, 8), (1, 1, 1.2000057), "PIR", "uint16", (0, 254 * 4.25885225885225), "mr"
    ),
    "mr_multiframe_siemens": Read(
        (256, 256, 8), (0.9375, 0.9375, 0.8999823), "LPS", "uint16", RAMP, "mr"
    ),
    "mr_nonsquare_rescale_slope": Read(
        (64, 28, 4), (6.39995861, 4, 0.5), "LPS", "float32", (33.443825, 96.467985), "mr"
    ),
    "mr_rgb": "colour image",
    "mr_sagittal_j2k": SAGITTAL,
    "mr_sagittal_jpegll": SAGITTAL,
    "mr_sagittal_jpegls": SAGITTAL,
    "mr_sagittal_plain": SAGITTAL,
    "mr_sagittal_rle": SAGITTAL,
    "mr_single_slice": "without a SliceThickness",
    "mr_two_slices": Read((256, 256, 2), (1, 1, 1), "PIR", "uint16", RAMP, "mr"),
    "single": r"15 series; choose one with --series UID: '' \(2 images\); .*Pancreas",
}

CT_5MM = (0.478516, 0.478516, 5)
LUNG = Read((512, 512, 1), (0.625, 0.625, 1), "LPS", "int16", (-2048, 1502), "ct", -2048)
FILES = {
    "693_J2KR.dcm": Read((512, 512, 1), CT_5MM, "LPS", "int16", (-3024, 1468), "ct", -3024),
    "693_UNCI.dcm": Read((512, 512, 1), CT_5MM, "LPS", "int16", (-3995, 1812), "ct", -3024),
    "JLSL_RGB_ILV0.dcm": "colour image",
    "JPEG-LL.dcm": "no ImagePositionPatient",
    "MR2_J2KI.dcm": Read(
        (1024, 1024, 1), (0.195313, 0.195313, 6), "PIR", "uint16",
        (0.000061, 600 * 3.774114 + 0.000061), "mr",
    ),
    "SC_rgb.dcm": "colour image",
    "bad_sequence.dcm": Read(
        (512, 512, 1), (0.287109375, 0.287109375, 1), "LPS", "uint16", (-1011, 1243), "ct"
    ),
    "broken_j2k_phantom.dcm": r"GDCM cannot decode \(as JPEG 2000 Image Compression\)",
    "eCT_Supplemental.dcm": "colour-coded map",
    "emri_small.dcm": "no ImagePositionPatient",
    "emri_small_RLE.dcm": "no ImagePositionPatient",
    "emri_small_big_endian.dcm": "no ImagePositionPatient",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "no ImagePositionPatient",
    "emri_small_jpeg_ls_lossless.dcm": "no ImagePositionPatient",
    "explicit_VR-UN.dcm": "without a SliceThickness",
    "liver.dcm": "segmentation",
    "liver_deflate.dcm": "segmentation",
    "lungmask_0.dcm": LUNG,
    "lungmask_1.dcm": LUNG,
    "nibabel_decimal_rescale.dcm": Read(
        (128, 96, 1), (1.125, 1.125, 5), "LPS", "uint16", (-4096, -4096), "mr"
    ),
    "nibabel_slicethickness_empty_string.dcm": "without a SliceThickness",
    "parametric_map_float.dcm": Read(
        (128, 128, 1), (0.661468, 0.661468, 5), "LPS", "float32", (0, 0.94157916), "unknown"
    ),
}  # fmt: skip
EVERY = {f"dicom/{name}": outcome for name, outcome in SERIES.items()} | {
    f"dicom/single/{name}": outcome for name, outcome in FILES.items()
}


def test_the_tables_name_every_file(shared_data):
    assert {path.name for path in (shared_data / "dicom").iterdir()} == SERIES.keys()
    assert {path.name for path in (shared_data / "dicom" / "single").iterdir()} == FILES.keys()


@pytest.mark.parametrize("name", EVERY)
def test_read_right_or_refused(shared_data, name):
    expected = EVERY[name]
    if isinstance(expected, str):
        with pytest.raises(MedgenError, match=expected) as error:
            read_volume(shared_data / name)
        assert "\n" not in str(error.value)
        return
    scan = read_volume(shared_data / name)
    assert scan.shape == expected.shape
    np.testing.assert_allclose(scan.spacing, expected.spacing, rtol=2e-6)
    assert scan.geometry.orientation == expected.orientation
    assert scan.array.dtype == expected.dtype
    physical = scan.array * scan.slope + scan.intercept
    np.testing.assert_allclose((physical.min(), physical.max()), expected.values, rtol=1e-6)
    assert scan.modality == expected.modality
    assert scan.metadata.get("padding_value") == expected.padding
    assert scan.metadata.get("position_deviation_mm", 0) <= 0.1


@pytest.mark.parametrize("name", [n for n, o in SERIES.items() if isinstance(o, Read)])
def test_grid_and_values_are_those_of_itk(shared_data, name):
    folder = str(shared_data / "dicom" / name)
    scan = read_volume(folder)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
    image = sitk.ReadImage(files if len(files) > 1 else files[0])
    ours = scan.to_physical()
    theirs = sitk.GetArrayFromImage(image).T
    if name != "mr_nonsquare_rescale_slope":  # ITK rescales every slice as the first
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    tolerance = 0.1 if "jitter" in name else 2e-3
    for index in ((0, 0, 0), tuple(n - 1 for n in scan.shape)):
        lps = image.TransformIndexToPhysicalPoint(index)
        place = (scan.geometry.affine @ [*index, 1])[:3] * [-1, -1, 1]
        assert np.linalg.norm(place - lps) < tolerance


def test_gdcm_decodes_what_pydicom_does(shared_data):
    # Run lengths are decoded by pydicom alone; the other three are the same pixels through GDCM.
    rle = read_volume(shared_data / "dicom" / "mr_sagittal_rle")
    for syntax in ("j2k", "jpegll", "jpegls"):
        scan = read_volume(shared_data / "dicom" / f"mr_sagittal_{syntax}")
        np.testing.assert_array_equal(scan.array, rle.array)
        assert scan.geometry == rle.geometry


def test_varying_rescale_is_applied_slice_by_slice(shared_data):
    scan = read_volume(shared_data / "dicom" / "mr_nonsquare_rescale_slope")
    intercepts = [33.901196, 33.443825, 42.542904, 95.725945]
    np.testing.assert_allclose(scan.array.min(axis=(0, 1)), intercepts, rtol=1e-6)


def test_position_deviation_of_the_jittering_series(shared_data):
    scan = read_volume(shared_data / "dicom" / "mr_ge_pd_7mm_jitter")
    assert scan.metadata["position_deviation_mm"] == pytest.approx(0.0838, abs=1e-4)


def test_a_series_of_a_mixed_folder_can_be_picked(shared_data):
    uid = "1.2.840.113704.1.111.1944.1206107618.6"
    with pytest.raises(MedgenError, match=r"broken_j2k_phantom|SliceThickness|cannot decode"):
        read_volume(shared_data / "dicom" / "single", series=uid)
    uid = "dbf60361338b6cb0d8add6f6ea34276642da945f02b34613f09188618e7d4d7b"
    assert read_volume(shared_data / "dicom" / "single", series=uid).shape == (512, 512, 1)
