"""NIfTI, Analyze and MGH against nibabel and SimpleITK as outside readers."""

import gzip
import os
import re

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from medgen.errors import GeometryError, ReadError, WriteError
from medgen.volumes import Geometry, Volume, read_volume, write_volume

SHAPE = (4, 5, 6)


def oblique_affine(flip=1.0):
    """Anisotropic, turned about every axis, off centre."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (12, -7, 31), degrees=True).as_matrix()
    affine[:3, :3] = turn * [0.7 * flip, 0.9, 4.25]
    affine[:3, 3] = [-120.3, 88.8, 412.25]
    return affine


def numbers(dtype, shape=SHAPE):
    """Values that reach both ends of an integer dtype."""
    array = np.random.default_rng(3).integers(-300, 300, shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        array.flat[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    return array


def oblique_volume(dtype=np.int16, **kwargs):
    return Volume(numbers(dtype), Geometry(SHAPE, oblique_affine()), **kwargs)


def save(path, array, affine=None, kind=nib.Nifti1Image, **header):
    """Write with nibabel, with some header fields set by hand."""
    image = kind(array, oblique_affine() if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_written_file_means_the_same_to_others(tmp_path, name, flip):
    path = tmp_path / name
    geometry = Geometry(SHAPE, oblique_affine(flip))
    scan = Volume(numbers(np.int16), geometry, slope=0.5, intercept=-1024.0)
    write_volume(scan, path)

    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(), numbers(np.int16) * 0.5 - 1024)
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), numbers(np.int16))
    for affine in (image.get_sform(), image.get_qform()):
        assert geometry.distance_mm(affine) < 1e-3
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"

    itk = sitk.ReadImage(str(path))  # scales, counts in LPS, orders z, y, x
    np.testing.assert_array_equal(sitk.GetArrayFromImage(itk).T, numbers(np.int16) * 0.5 - 1024)
    last = itk.TransformIndexToPhysicalPoint([n - 1 for n in SHAPE])
    expected = geometry.affine @ [*(n - 1 for n in SHAPE), 1]
    np.testing.assert_allclose(last, expected[:3] * [-1, -1, 1], atol=1e-3)


@pytest.mark.parametrize(
    "dtype",
    ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", ">u8", "<f4", ">f4", "<f8"],
)
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.25, -1000.0)])
def test_round_trip_keeps_bits_scale_and_place(tmp_path, dtype, scale):
    dtype = np.dtype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype.byteorder == ">" else "<")
    header.set_data_dtype(dtype)
    header.set_data_shape(SHAPE)
    header.set_sform(oblique_affine(), 2)
    header.set_slope_inter(*scale)
    header["magic"], header["vox_offset"] = b"n+1", 352
    first = tmp_path / "first.nii"
    first.write_bytes(header.binaryblock + bytes(4) + numbers(dtype).tobytes(order="F"))

    scan = read_volume(first)
    assert scan.array.dtype == dtype.newbyteorder("=")
    assert scan.array.dtype.isnative
    write_volume(scan, tmp_path / "second.nii.gz")
    again = read_volume(tmp_path / "second.nii.gz")
    for volume in (scan, again):
        np.testing.assert_array_equal(volume.array, numbers(dtype))
        assert (volume.slope, volume.intercept) == scale
        assert volume.geometry == Geometry(SHAPE, oblique_affine())
        assert volume.metadata["nifti"]["sform_code"] == 2
    assert again.array.dtype == scan.array.dtype


@pytest.mark.parametrize(("dtype", "stored"), [(bool, np.uint8), (np.float16, np.float32)])
def test_dtypes_unknown_to_nifti_are_widened(tmp_path, dtype, stored):
    scan = Volume(numbers(np.int16).astype(dtype), Geometry(SHAPE, oblique_affine()))
    write_volume(scan, tmp_path / "scan.nii")
    again = read_volume(tmp_path / "scan.nii")
    assert again.array.dtype == stored
    np.testing.assert_array_equal(again.array, scan.array.astype(stored))


def test_same_volume_same_bytes(tmp_path):
    for name in ("one.nii.gz", "two.nii.gz"):
        write_volume(oblique_volume(), tmp_path / name)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


def test_header_fields_survive(tmp_path):
    image = nib.Nifti1Image(numbers(np.float32), oblique_affine())
    image.set_sform(oblique_affine(), 4)
    image.set_qform(oblique_affine(), 1)
    fields = {
        "descrip": b"spm\0 - contrast", "intent_code": 3, "intent_p1": 262.0,
        "intent_name": b"tmap", "cal_min": 3.0, "cal_max": 9.5, "xyzt_units": 10,
    }  # fmt: skip
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, tmp_path / "a.nii")
    write_volume(read_volume(tmp_path / "a.nii"), tmp_path / "b.nii")
    before, after = (nib.load(tmp_path / name).header for name in ("a.nii", "b.nii"))
    for field in before:
        if before[field].dtype.kind == "f":
            np.testing.assert_allclose(after[field], before[field], rtol=1e-6, atol=1e-7)
        else:
            assert after[field].tobytes() == before[field].tobytes(), field


def test_a_side_too_long_for_nifti1_makes_nifti2(tmp_path):
    for side, kind in ((32767, nib.Nifti1Image), (32768, nib.Nifti2Image)):
        array = np.arange(side * 2, dtype=np.int32).reshape(side, 2, 1)
        scan = Volume(array, Geometry.from_spacing(array.shape, (1, 2, 3)))
        write_volume(scan, tmp_path / f"{side}.nii.gz")
        image = nib.load(tmp_path / f"{side}.nii.gz")
        assert type(image) is kind
        np.testing.assert_array_equal(image.dataobj, array)
        assert read_volume(tmp_path / f"{side}.nii.gz").geometry == scan.geometry


def test_sheared_affine_lives_in_the_sform_alone(tmp_path):
    affine = oblique_affine()
    affine[:3, 2] += [0, 0.6, 0]
    scan = Volume(numbers(np.int16), Geometry(SHAPE, affine))
    write_volume(scan, tmp_path / "scan.nii")
    header = nib.load(tmp_path / "scan.nii").header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    again = read_volume(tmp_path / "scan.nii")
    assert again.geometry.distance_mm(affine) < 1e-4
    assert "notes" not in again.metadata


def test_sform_wins_over_a_qform_that_disagrees_and_says_so(tmp_path):
    image = nib.Nifti1Image(numbers(np.int16), oblique_affine())
    image.header.set_sform(oblique_affine(), 4)
    image.header.set_qform(np.diag([0.7, 0.9, 4.25, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    scan = read_volume(tmp_path / "a.nii")
    assert scan.geometry.distance_mm(oblique_affine()) < 1e-3
    (note,) = scan.metadata["notes"]
    turn = oblique_affine()[:3, :3] / (0.7, 0.9, 4.25)
    angle = np.degrees(np.arccos(np.diag(turn))).max()
    assert angle == pytest.approx(34.4, abs=0.05)  # between the first axes
    corners = [(3 * i, 4 * j, 5 * k, 1) for i, j, k in np.ndindex(2, 2, 2)]
    shifts = (oblique_affine() - np.diag([0.7, 0.9, 4.25, 1])) @ np.array(corners).T
    distance = np.linalg.norm(shifts, axis=0).max()
    assert note == (
        f"sform and qform disagree by up to {distance:.3g} mm, {angle:.3g} degrees; the sform is "
        "used."
    )
    # A template's affine must not go out under the code of the scanner's.
    write_volume(scan, tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert (header["sform_code"], header["qform_code"]) == (4, 4)


def test_broken_quaternion_does_not_matter_beside_an_sform(tmp_path):
    image = nib.Nifti1Image(numbers(np.int16), oblique_affine())
    image.set_qform(oblique_affine(), 1)
    nib.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[256:260] = np.float32(2).tobytes()  # quatern_b
    (tmp_path / "a.nii").write_bytes(raw)
    scan = read_volume(tmp_path / "a.nii")
    assert scan.geometry == Geometry(SHAPE, oblique_affine())
    assert scan.metadata["notes"] == ("The qform is no rotation; the sform is used.",)
    raw[254:256] = bytes(2)  # sform_code
    (tmp_path / "a.nii").write_bytes(raw)
    with pytest.raises(ReadError, match="not a readable NIfTI"):
        read_volume(tmp_path / "a.nii")


def test_qform_counts_where_there_is_no_sform(tmp_path):
    image = nib.Nifti1Image(numbers(np.int16), None)
    image.header.set_qform(oblique_affine(), 1)
    image.header.set_sform(np.diag([9, 9, 9, 1]), 0)
    path = tmp_path / "a.nii"
    path.write_bytes(image.to_bytes())
    assert read_volume(path).geometry.distance_mm(oblique_affine()) < 1e-3


@pytest.mark.parametrize(("unit", "scale"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_lengths_are_brought_to_millimetres(tmp_path, unit, scale):
    affine = np.diag([1, 1, 1, 1.0])
    affine[:3] = oblique_affine()[:3] / scale
    path = save(tmp_path / "a.nii", numbers(np.int16), affine, xyzt_units=unit | 8)
    scan = read_volume(path)
    assert scan.geometry.distance_mm(oblique_affine()) < 1e-2
    assert scan.metadata["nifti"]["xyzt_units"] == (8 if unit == 0 else 10)
    assert ("notes" in scan.metadata) is (unit in (1, 3))


@pytest.mark.parametrize("pixdim", [(0, 0, 0), (0.7, 0.9, 3), (0.9, 0.7, 4.25), (np.nan, 1, 1)])
def test_pixdim_that_disagrees_with_the_sform(tmp_path, pixdim):
    """Without a qform nothing but voxel sizes is there to compare."""
    path = save(tmp_path / "a.nii", numbers(np.int16), pixdim=[1, *pixdim, 1, 1, 1, 1])
    scan = read_volume(path)
    np.testing.assert_allclose(scan.spacing, (0.7, 0.9, 4.25), rtol=1e-6)
    sizes = " x ".join(f"{size:.4g}" for size in pixdim)
    assert scan.metadata["notes"] == (
        f"pixdim and sform disagree about the voxel size ({sizes} mm and 0.7 x 0.9 x 4.25 mm); the "
        "sform is used.",
    )


def test_pixdim_of_a_single_slice_need_not_tell_a_third_size(tmp_path):
    path = save(tmp_path / "a.nii", numbers(np.int16, (4, 5)), pixdim=[1, 0.7, 0.9, 0, 0, 0, 0, 0])
    assert "notes" not in read_volume(path).metadata


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("turn", r"up to 0\.0\d+ mm, 0\.5 degrees;"),
        ("scale", r"up to 0\.1 mm, voxel sizes of 1 x 1 x 5 mm against 1 x 1 x 5\.02 mm;"),
        ("shift", r"up to 0\.3 mm;"),
        ("rounding", None),
        ("a little shift", None),
    ],
)
@pytest.mark.parametrize("size", [1.0, 0.001], ids=["mm", "um"])
def test_what_of_a_qform_is_a_disagreement(tmp_path, change, words, size):
    """In voxels and degrees, so that a scan of micrometres is not told another thing."""
    sform = np.diag([-1, -1, 5, 1.0])  # half a turn, where float32 holds a quaternion worst
    qform = np.array(sform)
    if change in ("turn", "rounding"):
        angle = 0.5 if change == "turn" else 0.05
        qform[:3, :3] = Rotation.from_euler("z", angle, degrees=True).as_matrix() @ sform[:3, :3]
    qform[2, 2] += 0.02 if change == "scale" else 0
    qform[0, 3] += {"shift": 0.3, "a little shift": 0.05}.get(change, 0)
    sform[:3] *= size
    qform[:3] *= size
    image = nib.Nifti1Image(numbers(np.int16), None)
    image.header.set_sform(sform, 1)
    image.header.set_qform(qform, 1)
    image.header["pixdim"][1:4] = np.linalg.norm(qform[:3, :3], axis=0)
    path = tmp_path / "a.nii"
    path.write_bytes(image.to_bytes())
    scan = read_volume(path)
    assert scan.geometry.distance_mm(sform) <= 1e-6 * size
    if words is None:
        assert "notes" not in scan.metadata
    elif size == 1:
        assert re.search(words, scan.metadata["notes"][0])
    else:
        assert scan.metadata["notes"][0].startswith("sform and qform disagree by up to ")


@pytest.mark.parametrize("kind", ["NIfTI-1", "NIfTI-2"])
def test_any_turn_goes_into_both_forms(tmp_path, kind):
    """A quaternion's rounding is no reason to leave the qform out, nor to write no rotation."""
    shape, rng = (300, 1, 200), np.random.default_rng(0)
    axes = rng.normal(size=(200, 3))
    turns = np.pi * axes / np.linalg.norm(axes, axis=1)[:, None]  # half turns are the hardest
    turns[100:] *= 1 + rng.normal(size=(100, 1)) * np.geomspace(1e-9, 1, 100)[:, None]
    for turn in turns:
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
        scan = Volume(np.zeros(shape, np.uint8), Geometry(shape, affine), metadata={"format": kind})
        write_volume(scan, tmp_path / "a.nii", overwrite=True)
        header = nib.load(tmp_path / "a.nii").header
        assert header["sizeof_hdr"] == (348 if kind == "NIfTI-1" else 540)
        assert (header["sform_code"], header["qform_code"]) == (1, 1)
        assert "notes" not in read_volume(tmp_path / "a.nii").metadata


@pytest.mark.parametrize("size", [1e39, 1e-50])
def test_positions_beyond_the_numbers_of_nifti1(tmp_path, size):
    scan = Volume(numbers(np.int16), Geometry(SHAPE, np.diag([size, size, size, 1])))
    with pytest.raises(WriteError, match=r"cannot hold voxels of .* write \.nrrd"):
        write_volume(scan, tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trailing", [(3,), (1, 3), (3, 1)])
def test_volume_of_a_longer_file_is_chosen(tmp_path, trailing):
    array = numbers(np.int16, (*SHAPE, *trailing))
    path = save(tmp_path / "a.nii.gz", array)
    with pytest.raises(ReadError, match="holds 3 volumes; choose one with --volume N, N from 0"):
        read_volume(path)
    with pytest.raises(ReadError, match="no volume 3"):
        read_volume(path, volume=3)
    for n in range(3):
        scan = read_volume(path, volume=n)
        np.testing.assert_array_equal(scan.array, array.reshape(*SHAPE, 3)[..., n])
        assert scan.metadata["volume_index"] == n


def test_more_than_one_further_axis_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", numbers(np.int16, (*SHAPE, 2, 3)))
    with pytest.raises(ReadError, match="5 axes of 4 x 5 x 6 x 2 x 3"):
        read_volume(path)


def test_one_volume_in_four_axes_and_one_slice_in_two(tmp_path):
    path = save(tmp_path / "a.nii", numbers(np.int16, (*SHAPE, 1)))
    np.testing.assert_array_equal(read_volume(path).array, numbers(np.int16))
    np.testing.assert_array_equal(read_volume(path, volume=0).array, numbers(np.int16))
    path = save(tmp_path / "b.nii", numbers(np.int16, (4, 5)))
    assert read_volume(path).shape == (4, 5, 1)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (np.complex64, "complex voxels"),
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], "colour voxels"),
    ],
)
def test_refuses_voxels_that_are_no_grey_values(tmp_path, dtype, words):
    path = save(tmp_path / "a.nii", np.zeros(SHAPE, dtype))
    with pytest.raises(ReadError, match=words):
        read_volume(path)


def test_refuses_a_file_without_affine(tmp_path):
    image = nib.Nifti1Image(numbers(np.int16), None)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(ReadError, match=r"no affine.*set one"):
        read_volume(tmp_path / "a.nii")


def test_refuses_zero_voxel_size_under_a_qform(tmp_path, capsys):
    image = nib.Nifti1Image(numbers(np.int16), None)
    image.header.set_qform(oblique_affine(), 1)
    raw = bytearray(image.to_bytes())
    raw[84:88] = bytes(4)  # pixdim[2]
    (tmp_path / "a.nii").write_bytes(raw)
    with pytest.raises(ReadError, match=r"zero size \(pixdim 0.7, 0, 4.25 mm\)"):
        read_volume(tmp_path / "a.nii")
    assert capsys.readouterr() == ("", "")


def test_refuses_a_degenerate_sform(tmp_path):
    path = save(tmp_path / "a.nii", numbers(np.int16))
    raw = bytearray(path.read_bytes())
    raw[312:328] = bytes(16)  # srow_z
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match=r"a\.nii: The affine has an axis"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0, 100, 351, -200, -8, -1])
def test_refuses_a_truncated_file(tmp_path, name, kept):
    path = save(tmp_path / name, numbers(np.int16))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ReadError):
        read_volume(path)


def test_refuses_a_gzip_file_whose_checksum_is_wrong(tmp_path):
    path = save(tmp_path / "a.nii.gz", numbers(np.int16, (40, 5, 6)))
    raw = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    raw[-100] ^= 255  # a stored voxel; only the CRC at the end can tell
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="incorrect data check"):
        read_volume(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_pairs_are_read_by_either_name(tmp_path, kind, suffix):
    save(tmp_path / f"a.img{suffix}", numbers(np.int16), kind=kind)
    for name in ("a.hdr", "a.img"):
        scan = read_volume(tmp_path / (name + suffix))
        np.testing.assert_array_equal(scan.array, numbers(np.int16))
        assert scan.geometry == Geometry(SHAPE, oblique_affine())


def test_header_without_image(tmp_path):
    save(tmp_path / "a.img", numbers(np.int16), kind=nib.Nifti1Pair)
    (tmp_path / "a.img").unlink()
    with pytest.raises(ReadError):
        read_volume(tmp_path / "a.hdr")


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Spm2AnalyzeImage])
@pytest.mark.parametrize("suffix", [".img", ".img.gz"])
def test_the_image_of_a_pair_is_no_link_to_elsewhere(tmp_path, kind, suffix):
    """Else any file of the machine could be had in the voxels of a finer scan."""
    folder = tmp_path / "in"
    folder.mkdir()
    image, header = folder / f"a{suffix}", folder / f"a{suffix.replace('img', 'hdr')}"
    save(image, numbers(np.int16), kind=kind)
    image.rename(tmp_path / "secret")
    image.symlink_to("../secret")
    for path in (header, image):
        with pytest.raises(ReadError, match=rf"keeps its voxels in a{suffix}, which lies outside"):
            read_volume(path)
    image.unlink()
    (tmp_path / "secret").rename(folder / "b")
    image.symlink_to("b")
    for path in (header, image):
        np.testing.assert_array_equal(read_volume(path).array, numbers(np.int16))


@pytest.mark.parametrize("name", ["a.img", "a.mat"])
def test_a_pipe_is_no_part_of_a_pair(tmp_path, name):
    """Reading one would wait for ever."""
    save(tmp_path / "a.img", numbers(np.int16), kind=nib.Spm2AnalyzeImage)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ReadError, match="not one file beside"):
        read_volume(tmp_path / "a.hdr")


def test_analyze_needs_the_mat_file_that_tells_left_from_right(tmp_path):
    save(tmp_path / "a.img", numbers(np.int16), kind=nib.Spm2AnalyzeImage)
    mat = tmp_path / "a.mat"
    assert read_volume(tmp_path / "a.hdr").geometry.distance_mm(oblique_affine()) < 1e-3
    mat.unlink()
    with pytest.raises(ReadError, match="cannot tell left from right"):
        read_volume(tmp_path / "a.hdr")
    one_based = oblique_affine() @ np.array(
        [[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 1.0]]
    )
    savemat(mat, {"mat": one_based})
    assert read_volume(tmp_path / "a.img").geometry.distance_mm(oblique_affine()) < 1e-3


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_mgh(tmp_path, name):
    path = save(tmp_path / name, numbers(np.int16), kind=nib.MGHImage)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, numbers(np.int16))
    assert scan.array.dtype.isnative
    assert scan.geometry.distance_mm(oblique_affine()) < 1e-2
    assert scan.metadata["format"] == "MGH"


def test_mgh_without_orientation_is_refused(tmp_path):
    path = save(tmp_path / "a.mgh", numbers(np.int16), kind=nib.MGHImage)
    raw = bytearray(path.read_bytes())
    raw[28:30] = bytes(2)  # goodRASFlag
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="goodRASFlag"):
        read_volume(path)


@pytest.mark.parametrize(("field", "at"), [("dims", 4), ("type", 20)])
def test_mgh_with_a_nonsense_header_is_refused(tmp_path, field, at):
    path = save(tmp_path / "a.mgh", numbers(np.int16), kind=nib.MGHImage)
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = bytes(4) if field == "dims" else b"\0\0\3\0"
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="not a readable NIfTI, Analyze or MGH file"):
        read_volume(path)


def test_cannot_store_every_dtype(tmp_path):
    scan = Volume(np.zeros(SHAPE, "datetime64[s]"), Geometry(SHAPE, oblique_affine()))
    with pytest.raises(WriteError, match="datetime64"):
        write_volume(scan, tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []
