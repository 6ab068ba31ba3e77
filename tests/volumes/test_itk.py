"""NRRD and MetaImage files as they are written, against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from text_scans import SHAPE, VOXELS, oblique_geometry

from medgen.errors import WriteError
from medgen.volumes import Geometry, Volume, read_volume, write_volume


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_written_file_means_the_same_to_itk(tmp_path, suffix, flip):
    path = tmp_path / f"scan{suffix}"
    geometry = oblique_geometry(flip)
    write_volume(Volume(VOXELS, geometry), path)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, VOXELS)
    assert image.GetPixelID() == sitk.sitkInt16
    last = [n - 1 for n in SHAPE]
    expected = (geometry.affine @ [*last, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(last), expected, atol=1e-9)

    again = read_volume(path)
    np.testing.assert_array_equal(again.array, VOXELS)
    assert again.geometry == geometry


@pytest.mark.parametrize("dtype", ["i1", "u1", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_dtype_goes_round(tmp_path, dtype, suffix):
    array = (VOXELS % 100).astype(dtype)
    write_volume(Volume(array, oblique_geometry()), tmp_path / f"a{suffix}")
    again = read_volume(tmp_path / f"a{suffix}")
    assert again.array.dtype == array.dtype
    np.testing.assert_array_equal(again.array, array)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "written"),
    [
        ("i2", 1, -1024, "i2"),  # HU fit the stored dtype
        ("u2", 1.0, -1024.0, "i2"),  # negative HU need a signed one
        ("u2", 1.0, 60000.0, "u2"),
        ("i2", 1.0, -33000.0, "i4"),  # beyond int16
        ("u1", 1.0, 300.0, "i2"),
        ("i2", 1.0, 0.5, "f4"),
        ("i2", 2.0, 0.0, "f4"),
        ("f8", 1.0, 1.0, "f4"),
        ("f2", 1.0, 0.0, "f4"),
        ("?", 1.0, 0.0, "u1"),
    ],
)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_physical_values_are_written_without_loss(
    tmp_path, dtype, slope, intercept, written, suffix
):
    array = VOXELS % 4000 if dtype != "?" else VOXELS > 0
    scan = Volume(array.astype(dtype), oblique_geometry(), slope=slope, intercept=intercept)
    write_volume(scan, tmp_path / f"a{suffix}")
    again = read_volume(tmp_path / f"a{suffix}")
    assert again.array.dtype == np.dtype(written)
    np.testing.assert_array_equal(again.array, scan.array.astype(np.float64) * slope + intercept)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_same_volume_same_bytes(tmp_path, suffix):
    for name in ("one", "two"):
        write_volume(Volume(VOXELS, oblique_geometry()), tmp_path / (name + suffix))
    one, two = ((tmp_path / (name + suffix)).read_bytes() for name in ("one", "two"))
    assert one == two


def test_sheared_affine_fits_nrrd_but_not_metaimage(tmp_path):
    affine = np.array(oblique_geometry().affine)
    affine[:3, 2] += [0, 0.6, 0]
    scan = Volume(VOXELS, Geometry(SHAPE, affine))
    write_volume(scan, tmp_path / "a.nrrd")
    assert read_volume(tmp_path / "a.nrrd").geometry == scan.geometry
    with pytest.raises(WriteError, match=r"sheared.*\.nii\.gz or \.nrrd"):
        write_volume(scan, tmp_path / "a.mha")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nrrd"]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_grid_that_itk_does_not_take(tmp_path, suffix):
    scan = Volume(VOXELS, Geometry(SHAPE, np.diag([1e-110, 1e-110, 1e-110, 1])))
    with pytest.raises(WriteError, match="are its positions true"):
        write_volume(scan, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []
