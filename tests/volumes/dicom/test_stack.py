"""Slices on one grid: where they lie, and stacks that are no volume."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_slices import COLUMNS, COUNT, OBLIQUE, ORIGIN, ROWS, VOXELS, make_slice, save, series

from medgen.errors import GeometryError
from medgen.volumes import describe, read_volume


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (1, -1)])
def test_oblique_series_lies_where_itk_puts_it(tmp_path, flips):
    turn = OBLIQUE * [flips[0], flips[1], flips[0] * flips[1]]
    folder = series(tmp_path / "scan", turn=turn)
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.array.dtype == np.int16
    assert (scan.slope, scan.intercept, scan.modality) == (1.0, -1024.0, "ct")
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 3.0), rtol=1e-6)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, VOXELS - 1024)
    for index in ((0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (3, 4, 5)):
        lps = image.TransformIndexToPhysicalPoint(index)
        ours = (scan.geometry.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(ours, np.array(lps) * [-1, -1, 1], atol=1e-4)


def test_spacing_is_that_of_the_positions_not_the_thickness(tmp_path):
    facts = describe(read_volume(series(tmp_path / "scan", step=3.0, SliceThickness=5.0)))
    assert facts["slice_spacing_mm"] == pytest.approx(3.0, abs=1e-5)
    assert facts["slice_thickness_mm"] == 5.0
    assert facts["uncovered_mm"] == pytest.approx(-2.0, abs=1e-5)


@pytest.mark.parametrize("jitter_mm", [0.0, 0.045, 0.095])
def test_rounded_positions_are_taken_and_their_deviation_told(tmp_path, jitter_mm):
    normal = OBLIQUE[:, 2]
    headers = [
        make_slice(k, position=ORIGIN + normal * (3.0 * k + jitter_mm * (k == 2)))
        for k in range(COUNT)
    ]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.metadata["position_deviation_mm"] == pytest.approx(jitter_mm, abs=1e-5)
    np.testing.assert_allclose(scan.spacing[2], 3.0, atol=1e-5)


MICRO = 0.005  # mm, of voxels of micro-CT


def micro(k, along=0.0, in_plane=0.0):
    place = ORIGIN + MICRO * ((k + along) * OBLIQUE[:, 2] + in_plane * OBLIQUE[:, 0])
    header = make_slice(k, PixelSpacing=[MICRO, MICRO])
    header.ImagePositionPatient = [round(float(x), 9) for x in place]
    return header


@pytest.mark.parametrize("off", [{}, {"along": 0.08}, {"in_plane": 0.08}])
def test_voxels_of_five_micrometres(tmp_path, off):
    headers = [micro(k, **(off if k == 2 else {})) for k in range(COUNT)]
    scan = read_volume(save(tmp_path / "scan", headers))
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.spacing, [MICRO] * 3, rtol=1e-5)
    deviation = sum(off.values()) * MICRO
    assert scan.metadata["position_deviation_mm"] == pytest.approx(deviation, abs=1e-7)


MICRO_STACKS = {
    "missing": ([0, 1, 2, 4, 5], {}, r"lacks slices: they are 0\.005 mm apart, but 0\.01 mm"),
    "repeated": ([0, 1, 1, 2], {}, "4 slices for 3 positions"),
    "irregular": (range(6), {"along": 0.12}, r"up to 0\.0006 mm off .* 0\.0005 mm are tolerated"),
    "shifted in plane": (range(6), {"in_plane": 0.15}, r"up to 0\.00075 mm off a regular grid"),
}


@pytest.mark.parametrize("name", MICRO_STACKS)
def test_stacks_of_five_micrometres_that_are_no_volume(tmp_path, name):
    places, off, words = MICRO_STACKS[name]
    headers = [micro(k, **(off if k == 2 else {})) for k in places]
    with pytest.raises(GeometryError, match=words):
        read_volume(save(tmp_path / "scan", headers))


def test_small_pixels_bound_a_shift_in_plane(tmp_path):
    """Of half a pixel, however thick the slices are."""
    headers = [make_slice(k, PixelSpacing=[0.05, 0.05]) for k in range(COUNT)]
    headers[2].ImagePositionPatient = list(place(2, shift=0.03 * OBLIQUE[:, 0]))
    with pytest.raises(GeometryError, match=r"up to 0\.03 mm off .* 0\.025 mm are tolerated"):
        read_volume(save(tmp_path / "scan", headers))


def test_a_shift_in_plane_within_the_tolerance_is_no_tilt(tmp_path):
    # 0.05 mm over a gap of 1 mm: 2.9 degrees, but no more than a rounded position.
    shifted = ORIGIN + OBLIQUE[:, 2] + 0.05 * OBLIQUE[:, 0]
    scan = read_volume(save(tmp_path / "scan", [make_slice(0), make_slice(1, position=shifted)]))
    assert not scan.geometry.is_sheared
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 1.0), atol=1e-5)


def place(k, along=3.0, shift=(0.0, 0.0, 0.0)):
    return ORIGIN + k * along * OBLIQUE[:, 2] + np.asarray(shift)


STACKS = {
    "missing": (
        [make_slice(k) for k in (0, 1, 2, 4, 5)],
        r"lacks slices: they are 3 mm apart, but 6 mm between \d+\.dcm and \d+\.dcm; add",
    ),
    "missing of three": ([make_slice(k) for k in (0, 1, 3)], "lacks slices"),
    "repeated": (
        [make_slice(k) for k in (0, 1, 2)] * 2,
        "6 slices for 3 positions: several volumes",
    ),
    "all at one place": ([make_slice(0)] * 3, "3 slices for 1 position:"),
    "tilted": (
        [make_slice(k, position=place(k, shift=k * 0.5 * OBLIQUE[:, 1])) for k in range(COUNT)],
        r"sheared stack.* 9\.46 degrees \(gantry tilt\); correct the tilt",
    ),
    "irregular": (
        [make_slice(k, position=place(k + 0.04 * (k == 2))) for k in range(COUNT)],
        r"irregular slice positions, up to 0\.12 mm off .* 0\.1 mm are tolerated",
    ),
    "shifted in plane": (
        [
            make_slice(k, position=place(k, shift=(k == 2) * 0.15 * OBLIQUE[:, 0]))
            for k in range(COUNT)
        ],
        r"irregular slice positions, up to 0\.15 mm off",
    ),
    "mixed orientation": (
        [make_slice(0), make_slice(1), make_slice(2, turn=np.eye(3))],
        r"different orientations \(a localizer\?\), such as 00\d\.dcm and 00\d\.dcm, which",
    ),
    "mixed spacing": (
        [make_slice(0), make_slice(1, PixelSpacing=[0.9, 0.8])],
        "different sizes or pixel spacings",
    ),
    "mixed size": (
        [make_slice(0), make_slice(1, Rows=COLUMNS, Columns=ROWS)],
        "different sizes or pixel spacings",
    ),
    "skewed directions": (
        [make_slice(k, ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]) for k in (0, 1)],
        "not two unit vectors",
    ),
    "one slice of unknown thickness": (
        [make_slice(0, SliceThickness=None)],
        "single slice without a SliceThickness",
    ),
    "negative pixel spacing": (
        [make_slice(k, PixelSpacing=[0.9, -0.7]) for k in (0, 1)],
        "PixelSpacing of zero length or below",
    ),
    "zero pixel spacing": ([make_slice(k, PixelSpacing=[0, 0.7]) for k in (0, 1)], "zero length"),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_that_are_no_volume(tmp_path, name):
    headers, words = STACKS[name]
    folder = save(tmp_path / "scan", headers)
    with pytest.raises(GeometryError, match=words) as error:
        read_volume(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("missing", [(2,), (1, 3), (1, 2), (3, 4)])
def test_gaps_are_read_where_allowed(tmp_path, missing):
    kept = [k for k in range(COUNT) if k not in missing]
    folder = save(tmp_path / "scan", [make_slice(k) for k in kept])
    with pytest.raises(GeometryError, match=r"lacks slices.*--fill-gaps"):
        read_volume(folder)
    whole = read_volume(series(tmp_path / "whole"))
    scan = read_volume(folder, gaps=True)
    assert scan.metadata["missing_slices"] == missing
    assert scan.geometry == whole.geometry
    np.testing.assert_array_equal(scan.array[..., kept], VOXELS[..., kept])
    for k in missing:
        nearest = min(kept, key=lambda other: (abs(other - k), other))
        np.testing.assert_array_equal(scan.array[..., k], VOXELS[..., nearest])


def test_gaps_that_are_none_or_too_many(tmp_path):
    with pytest.raises(GeometryError, match="so lacks 0; --fill-gaps is for one at least"):
        read_volume(series(tmp_path / "whole"), gaps=True)
    far = save(tmp_path / "far", [make_slice(k, pixels=VOXELS[:, :, 0].T) for k in (0, 1, 2, 200)])
    with pytest.raises(GeometryError, match="has 4 slices, most of them 3 mm apart, and so lacks"):
        read_volume(far, gaps=True)
    odd = save(
        tmp_path / "odd",
        [make_slice(k, pixels=VOXELS[:, :, 0].T, InstanceNumber=1) for k in (0, 1, 2, 3.5, 4.5)],
    )
    with pytest.raises(GeometryError, match="irregular slice positions"):
        read_volume(odd, gaps=True)
