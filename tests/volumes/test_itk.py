"""NRRD and MetaImage against SimpleITK, and what SimpleITK would have let pass."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from medgen.errors import GeometryError, ReadError, WriteError
from medgen.volumes import Geometry, Volume, read_volume, write_volume

SHAPE = (4, 5, 6)
VOXELS = np.random.default_rng(5).integers(-1000, 3000, SHAPE).astype(np.int16)
NRRD = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(2,0,0) (0,0,-3) (0,5,0)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 0 -1 0 1 0",
    "Offset": "10 20 30",
    "ElementSpacing": "2 3 5",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
# Both headers place voxel (i, j, k) at left 10 + 2 i, posterior 20 + 5 k, superior 30 - 3 j.
AFFINE = np.array([[-2, 0, 0, -10], [0, 0, -5, -20], [0, -3, 0, 30], [0, 0, 0, 1.0]])


def oblique_geometry(flip=1.0):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (12, -7, 31), degrees=True).as_matrix()
    affine[:3, :3] = turn * [0.7 * flip, 0.9, 4.25]
    affine[:3, 3] = [-120.3, 88.8, 412.25]
    return Geometry(SHAPE, affine)


def save(path, fields, array=VOXELS, **changed):
    """Write header and voxels by hand; None takes a field out."""
    if path.suffix in (".nrrd", ".nhdr"):
        fields = {**fields, **{name.replace("_", " "): value for name, value in changed.items()}}
        lines = ["NRRD0004", *(f"{n}: {v}" for n, v in fields.items() if v is not None)]
        head = "\n".join(lines) + "\n\n"
    else:
        fields = {**fields, **changed}
        fields["ElementDataFile"] = fields.pop("ElementDataFile")  # ends the header
        head = "\n".join(f"{n} = {v}" for n, v in fields.items() if v is not None) + "\n"
    data = array if isinstance(array, bytes) else array.tobytes(order="F")
    path.write_bytes(head.encode() + data)
    return path


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


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LPS", (1, 1, 1)),
    ],
)
def test_nrrd_spaces(tmp_path, space, signs):
    scan = read_volume(save(tmp_path / "a.nrrd", NRRD, space=space))
    np.testing.assert_allclose(scan.geometry.affine, np.diag([*signs, 1]) @ AFFINE, atol=1e-12)


@pytest.mark.parametrize("dtype", ["i1", "u1", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_dtype_goes_round(tmp_path, dtype, suffix):
    array = (VOXELS % 100).astype(dtype)
    write_volume(Volume(array, oblique_geometry()), tmp_path / f"a{suffix}")
    again = read_volume(tmp_path / f"a{suffix}")
    assert again.array.dtype == array.dtype
    np.testing.assert_array_equal(again.array, array)


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


def test_volumes_of_an_nrrd_list(tmp_path):
    both = np.stack([VOXELS, VOXELS + 1], axis=-1)
    path = save(
        tmp_path / "a.nrrd", NRRD, both, dimension="4", sizes="4 5 6 2",
        kinds="domain domain domain list", space_directions="(2,0,0) (0,0,-3) (0,5,0) none",
    )  # fmt: skip
    with pytest.raises(ReadError, match="2 volumes; choose one with --volume N, N from 0 to 1"):
        read_volume(path)
    for n in range(2):
        scan = read_volume(path, volume=n)
        np.testing.assert_array_equal(scan.array, VOXELS + n)
        np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


def test_volumes_of_a_metaimage(tmp_path):
    both = np.stack([VOXELS, VOXELS + 1], axis=-1)
    path = save(
        tmp_path / "a.mha", META, both, NDims="4", DimSize="4 5 6 2", ElementSpacing="2 3 5 1",
        Offset="10 20 30 0", TransformMatrix="1 0 0 0 0 0 -1 0 0 1 0 0 0 0 0 1",
    )  # fmt: skip
    with pytest.raises(ReadError, match="2 volumes"):
        read_volume(path)
    scan = read_volume(path, volume=1)
    np.testing.assert_array_equal(scan.array, VOXELS + 1)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"space": None}, r"does not place its voxels.*space: missing"),
        ({"space": "scanner-xyz"}, "space: scanner-xyz"),
        ({"space_directions": None}, "save it with space left-posterior-superior"),
        ({"space_origin": None}, "save it with space left-posterior-superior"),
        ({"space_units": '"um" "um" "um"'}, "save it with mm"),
        ({"encoding": "ascii"}, "encoding ascii"),
        ({"kinds": "RGB-color domain domain", "space_directions": "none (0,0,-3) (0,5,0)",
          "sizes": "3 5 8", "space": "LPS"}, "axes"),
        ({"sizes": "4 5 7"}, "needs 280 bytes of voxels but a.nrrd holds 240"),
        ({"sizes": "4 5"}, "not a readable NRRD file"),
        ({"data_file": "elsewhere.raw"}, "keeps its voxels in elsewhere.raw"),
        ({"data_file": "LIST"}, "not one file beside it"),
    ],
)  # fmt: skip
def test_refused_nrrd(tmp_path, changed, words):
    with pytest.raises(ReadError, match=words):
        read_volume(save(tmp_path / "a.nrrd", NRRD, **changed))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ElementSpacing": None}, "no voxel size in mm"),
        ({"ElementSpacing": "2 0 5"}, "no voxel size in mm"),
        ({"DistanceUnits": "um"}, "DistanceUnits: um"),
        ({"BinaryData": "False"}, "as text"),
        ({"DimSize": "4 5 7"}, "needs 280 bytes of voxels but a.mha holds 240"),
        ({"ElementNumberOfChannels": "3", "DimSize": "4 5 2"}, "3 values a voxel"),
        ({"NDims": "2", "DimSize": "4 30", "ElementSpacing": "2 3", "Offset": "0 0",
          "TransformMatrix": "1 0 0 1"}, "has 2 axes"),
        ({"DimSize": None}, "not a readable MetaImage file"),
        ({"ElementType": "MET_NONSENSE"}, "not a readable MetaImage file"),
        ({"ElementDataFile": "elsewhere.raw"}, "keeps its voxels in elsewhere.raw"),
    ],
)  # fmt: skip
def test_refused_metaimage(tmp_path, changed, words):
    with pytest.raises(ReadError, match=words):
        read_volume(save(tmp_path / "a.mha", META, **changed))


def test_degenerate_directions(tmp_path):
    path = save(tmp_path / "a.nrrd", NRRD, space_directions="(2,0,0) (0,3,0) (0,3.001,0)")
    with pytest.raises((GeometryError, ReadError)):
        read_volume(path)


def test_metaimage_without_orientation_says_what_is_assumed(tmp_path):
    scan = read_volume(save(tmp_path / "a.mha", META, TransformMatrix=None))
    assert scan.geometry.orientation == "LPS"
    assert "no orientation" in scan.metadata["notes"][0]


def test_colour_and_complex_voxels(tmp_path):
    rgb = sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3)
    complex_valued = sitk.Image([4, 5, 6], sitk.sitkComplexFloat32)
    sitk.WriteImage(rgb, str(tmp_path / "rgb.nrrd"))
    sitk.WriteImage(complex_valued, str(tmp_path / "complex.nrrd"))
    with pytest.raises(ReadError, match="3 values a voxel"):
        read_volume(tmp_path / "rgb.nrrd")
    with pytest.raises(ReadError, match="complex"):
        read_volume(tmp_path / "complex.nrrd")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("damage", ["cut", "cut in the checksum", "flip"])
def test_damaged_compressed_voxels_are_noticed(tmp_path, name, damage):
    path = tmp_path / name
    write_volume(Volume(VOXELS, oblique_geometry()), path)
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[-30] ^= 255
    else:
        raw = raw[: -60 if damage == "cut" else -2]
    path.write_bytes(raw)
    with pytest.raises(ReadError):
        read_volume(path)


def test_gzip_of_several_members_counts_as_one_stream(tmp_path):
    data = VOXELS.tobytes(order="F")
    save(tmp_path / "a.nhdr", NRRD, b"", encoding="gzip", data_file="a.raw.gz")
    (tmp_path / "a.raw.gz").write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:]))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nhdr").array, VOXELS)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_other_content_than_the_name_says(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes())
    with pytest.raises(ReadError, match="not a readable"):
        read_volume(path)
    path.write_bytes(b"")
    with pytest.raises(ReadError, match="not a readable"):
        read_volume(path)
