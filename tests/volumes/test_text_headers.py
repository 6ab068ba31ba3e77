"""What NRRD and MetaImage headers have in common, and which files they may name."""

import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from text_scans import AFFINE, META, NRRD, VOXELS, save

from medgen.errors import ReadError
from medgen.volumes import read_volume

BYTES = VOXELS.tobytes(order="F")


def detached(path, data_file):
    """A header that names `data_file`."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".nhdr":
        return save(path, NRRD, b"", data_file=str(data_file))
    return save(path, META, b"", ElementDataFile=str(data_file))


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_itk_writes(tmp_path, name, compressed):
    image = sitk.GetImageFromArray(VOXELS.T.copy())
    image.SetSpacing((0.7, 0.9, 4.25))
    image.SetOrigin((3, -4, 5))
    image.SetDirection(Rotation.from_euler("xyz", (170, 5, -60), degrees=True).as_matrix().ravel())
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    scan = read_volume(tmp_path / name)
    np.testing.assert_array_equal(scan.array, VOXELS)
    # NIfTI as the other road: ITK writes, nibabel reads.
    sitk.WriteImage(image, str(tmp_path / "road.nii"))
    assert scan.geometry.distance_mm(nib.load(tmp_path / "road.nii").affine) < 1e-4


@pytest.mark.parametrize(("name", "fields"), [("a.nrrd", NRRD), ("a.mha", META)])
def test_affine_by_hand(tmp_path, name, fields):
    scan = read_volume(save(tmp_path / name, fields))
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)
    assert scan.geometry.orientation == "LIP"
    assert "notes" not in scan.metadata


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_big_endian(tmp_path, suffix):
    swapped = VOXELS.astype(">i2")
    path = tmp_path / f"a{suffix}"
    if suffix == ".nrrd":
        save(path, NRRD, swapped, endian="big")
    else:
        save(path, META, swapped, BinaryDataByteOrderMSB="True")
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.array.dtype.isnative


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_other_content_than_the_name_says(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes())
    with pytest.raises(ReadError, match="not a readable"):
        read_volume(path)
    path.write_bytes(b"")
    with pytest.raises(ReadError, match="not a readable"):
        read_volume(path)


# === Which files a header may name ===

both = pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])


@both
@pytest.mark.parametrize("place", ["a.raw", "below/a.raw", "./below/../a.raw", "absolute"])
def test_voxels_below_the_header(tmp_path, name, place):
    (tmp_path / "in" / "below").mkdir(parents=True)
    place = tmp_path / "in" / "a.raw" if place == "absolute" else place
    path = detached(tmp_path / "in" / name, place)
    (path.parent / place).write_bytes(BYTES)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.metadata["files"] == tuple(sorted({path, path.parent / place}))


@both
@pytest.mark.parametrize("place", ["../secret.raw", "absolute", "in/../../secret.raw", "~"])
def test_voxels_elsewhere_are_refused(tmp_path, name, place):
    """Else any file of the machine could be had in the voxels of a finer scan."""
    secret = tmp_path / "secret.raw"
    secret.write_bytes(BYTES)
    (tmp_path / "in" / "in").mkdir(parents=True)
    path = detached(tmp_path / "in" / name, secret if place == "absolute" else place)
    words = "which is not one file" if place == "~" else "which lies outside its folder; put the"
    with pytest.raises(ReadError, match=words) as error:
        read_volume(path)
    assert "\n" not in str(error.value)


@both
def test_links_do_not_lead_elsewhere(tmp_path, name):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(BYTES)
    path = detached(tmp_path / "in" / name, "a.raw")
    (path.parent / "a.raw").symlink_to(secret)
    with pytest.raises(ReadError, match="which lies outside its folder"):
        read_volume(path)
    (path.parent / "a.raw").unlink()
    (path.parent / "a.raw").symlink_to("a.raw")
    with pytest.raises(ReadError, match=r"a\.raw is a link to a\.raw, which is not there"):
        read_volume(path)
    (path.parent / "folder").symlink_to(tmp_path)
    with pytest.raises(ReadError, match="which lies outside its folder"):
        read_volume(detached(path, "folder/secret.raw"))
    # A link within the folder, and one to the folder, are no way out.
    (path.parent / "b.raw").write_bytes(BYTES)
    (path.parent / "c.raw").symlink_to("b.raw")
    (tmp_path / "link").symlink_to(path.parent)
    detached(path, "c.raw")
    np.testing.assert_array_equal(read_volume(tmp_path / "link" / name).array, VOXELS)


@both
@pytest.mark.parametrize("place", ["LIST", "LIST 2", "list", "a%03d.raw 1 6 1", "gone.raw", "in"])
def test_voxels_that_are_not_one_file(tmp_path, name, place):
    path = detached(tmp_path / name, place)
    (tmp_path / "in").mkdir()
    for k in range(7):
        (tmp_path / f"a{k:03}.raw").write_bytes(BYTES[:40])
    (tmp_path / "LIST").write_bytes(BYTES)
    (tmp_path / "list").write_bytes(BYTES)
    with pytest.raises(ReadError, match="which is not one file beside it"):
        read_volume(path)


@both
def test_a_pipe_is_no_file_of_voxels(tmp_path, name):
    """Reading one would wait for ever."""
    path = detached(tmp_path / name, "a.raw")
    os.mkfifo(tmp_path / "a.raw")
    with pytest.raises(ReadError, match="not one file"):
        read_volume(path)


@both
def test_a_long_name_is_quoted_in_part(tmp_path, name):
    with pytest.raises(ReadError) as error:
        read_volume(detached(tmp_path / name, "x" * 5000))
    assert len(str(error.value)) < 500
