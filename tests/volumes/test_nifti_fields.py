"""What of a header goes out as it came, byte for byte, and what a finer scan leaves out."""

import struct

import nibabel as nib
import numpy as np
import pytest

from medgen.errors import ReadError
from medgen.volumes import Geometry, Volume, read_volume, write_volume
from medgen.volumes.nifti_fields import in_finer_scan, of_another_quantity

SHAPE = (4, 5, 6)
VOXELS = np.arange(120, dtype=np.int16).reshape(SHAPE)
AFFINE = np.diag([2, 3, 5, 1.0])
FIELDS = {
    "dim_info": 1 | 2 << 2 | 3 << 4,  # frequency, phase, slice
    "slice_code": 3, "slice_start": 0, "slice_end": 5, "slice_duration": 0.25,
    "intent_code": 1002, "intent_p1": 1.5, "intent_p2": -2, "intent_p3": 3e9,
    "intent_name": b"labels", "cal_min": -5.25, "cal_max": 70, "toffset": 12.5,
    "descrip": b"TE=49;\0behind", "aux_file": b"colours.lut", "xyzt_units": 2 | 8,
}  # fmt: skip
NIFTI1_ONLY = {
    "data_type": b"dsr", "db_name": b"scanner", "extents": 16384, "session_error": 7,
    "regular": b"r", "glmax": 255, "glmin": -4,
}  # fmt: skip
EXTENSIONS = [
    (6, b"a comment\0\0 and more"),
    (4, b"<AFNI/>"),
    (30, b"<CaretExtension/>"),
    (1234, b""),
]


def extension_bytes(extensions, order="<"):
    parts = [b"\1\0\0\0"]
    for code, content in extensions:
        size = -(-(len(content) + 8) // 16) * 16
        parts.append(struct.pack(f"{order}2i", size, code) + content.ljust(size - 8, b"\0"))
    return b"".join(parts)


def nifti_bytes(kind=nib.Nifti1Header, order="<", extensions=EXTENSIONS, **changed):
    """A whole file with every field set."""
    header = kind(endianness=order)
    header.set_data_dtype(np.dtype("i2").newbyteorder(order))
    header.set_data_shape(SHAPE)
    header.set_zooms((2, 3, 5))
    header.set_sform(AFFINE, 2)
    header.set_qform(AFFINE, 1)
    header.set_slope_inter(1, 0)
    header["pixdim"][4:] = 0.75, 7, 8, 9
    fields = FIELDS | (NIFTI1_ONLY if kind is nib.Nifti1Header else {}) | changed
    for name, value in fields.items():
        header[name] = value
    block = extension_bytes(extensions, order) if extensions else bytes(4)
    header["magic"] = header.single_magic
    header["vox_offset"] = len(header.binaryblock) + len(block)
    return header.binaryblock + block + VOXELS.astype(f"{order}i2").tobytes(order="F")


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("extensions", [EXTENSIONS, EXTENSIONS[1:2], []])
def test_a_file_goes_out_as_it_came(tmp_path, kind, extensions):
    content = nifti_bytes(kind, extensions=extensions)
    (tmp_path / "a.nii").write_bytes(content)
    scan = read_volume(tmp_path / "a.nii")
    assert "notes" not in scan.metadata
    write_volume(scan, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == content


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
def test_order_of_bytes_does_not_matter(tmp_path, kind):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(kind, ">"))
    write_volume(read_volume(tmp_path / "a.nii"), tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == nifti_bytes(kind, "<")


def test_a_pair_becomes_one_file(tmp_path):
    content = nifti_bytes()
    header = nib.nifti1.Nifti1PairHeader(content[:348])
    header["magic"], header["vox_offset"] = header.pair_magic, 0
    (tmp_path / "a.hdr").write_bytes(header.binaryblock + extension_bytes(EXTENSIONS))
    (tmp_path / "a.img").write_bytes(content[-240:])
    write_volume(read_volume(tmp_path / "a.hdr"), tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == content


def refined(content, folder, axis):
    """The file `content` with twice the slices along `axis`: its header, extensions, and notes."""
    (folder / "a.nii").write_bytes(content)
    scan = read_volume(folder / "a.nii")
    metadata, left_out = in_finer_scan(scan.metadata, axis)
    geometry = scan.geometry.refine(axis, 2)
    finer = Volume(np.zeros(geometry.shape, np.int16), geometry, metadata=metadata)
    write_volume(finer, folder / "b.nii")
    raw = (folder / "b.nii").read_bytes()
    header = nib.Nifti1Header(raw[:348])
    return header, raw[348 : int(header["vox_offset"])], left_out


def test_a_finer_scan_keeps_what_stays_true(tmp_path):
    header, extensions, left_out = refined(nifti_bytes(), tmp_path, axis=2)
    timing = dict.fromkeys(("slice_code", "slice_start", "slice_end", "slice_duration"), 0)
    for name, value in (FIELDS | NIFTI1_ONLY | timing).items():
        expected = np.zeros(1, header[name].dtype)
        expected[0] = value
        assert header[name].tobytes() == expected.tobytes(), name
    np.testing.assert_array_equal(header["pixdim"], np.float32([1, 2, 3, 2.5, 0.75, 7, 8, 9]))
    assert extensions == extension_bytes([EXTENSIONS[0], EXTENSIONS[2]])
    assert left_out == (
        "Slice timing (slice_code 3, slice_end 5, slice_duration 0.25) does not hold for more "
        "slices and is left out.",
        "A header extension (afni, code 4, 8 bytes) may describe slices as they were and is left "
        "out.",
        "A header extension (code 1234, 8 bytes) may describe slices as they were and is left out.",
    )


@pytest.mark.parametrize(("dim_info", "kept"), [(3 << 4, True), (1 << 4, False), (0, False)])
def test_slice_timing_holds_along_another_axis(tmp_path, dim_info, kept):
    """Where the file does not say which axis its slices have, they may be those of axis 0."""
    header, _, left_out = refined(nifti_bytes(dim_info=dim_info, extensions=[]), tmp_path, axis=0)
    assert (header["slice_code"], header["slice_end"]) == ((3, 5) if kept else (0, 0))
    assert header["slice_duration"] == (0.25 if kept else 0)
    assert header["dim_info"] == dim_info
    assert len(left_out) == (not kept)


def test_an_end_of_slices_without_timing_is_nothing_to_tell(tmp_path):
    content = nifti_bytes(slice_code=0, slice_duration=0, extensions=[])
    header, _, left_out = refined(content, tmp_path, axis=2)
    assert header["slice_end"] == 0
    assert left_out == ()


@pytest.mark.parametrize(("units", "later"), [(2 | 8, 12.5 + 2 * 0.75), (2, 12.5), (2 | 32, 12.5)])
def test_a_later_volume_starts_later(tmp_path, units, later):
    image = nib.Nifti1Image(np.stack([VOXELS] * 3, axis=-1), AFFINE)
    image.header["pixdim"][4], image.header["toffset"] = 0.75, 12.5
    image.header["xyzt_units"] = units
    nib.save(image, tmp_path / "a.nii")
    for n, expected in ((0, 12.5), (2, later)):
        write_volume(read_volume(tmp_path / "a.nii", volume=n), tmp_path / "b.nii", overwrite=True)
        header = nib.load(tmp_path / "b.nii").header
        assert (header["toffset"], header["pixdim"][4]) == (expected, 0.75)


def test_a_map_is_not_of_the_intent_of_its_scan(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes())
    scan = read_volume(tmp_path / "a.nii")
    map_ = Volume(scan.array, scan.geometry, metadata=of_another_quantity(scan.metadata))
    write_volume(map_, tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert (header["intent_code"], header["cal_max"], header["descrip"]) == (0, 0, b"")
    assert (header["sform_code"], header["qform_code"], header["xyzt_units"]) == (2, 1, 2)


@pytest.mark.parametrize("size", [0, 7, -16, 1 << 30])
def test_an_extension_of_a_size_that_cannot_be(tmp_path, size):
    content = bytearray(nifti_bytes(extensions=EXTENSIONS[:2]))
    second = content.index(struct.pack("<2i", 16, 4))
    content[second : second + 4] = struct.pack("<i", size)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ReadError, match="not a readable NIfTI"):
        read_volume(tmp_path / "a.nii")


# === MGH ===


def save_mgh(path, tags=b"", **footer):
    image = nib.MGHImage(VOXELS, AFFINE)
    for name, value in footer.items():
        image.header[name] = value
    path.write_bytes(image.to_bytes() + tags)
    return path


def test_what_an_mgh_tells_of_its_acquisition(tmp_path):
    path = save_mgh(tmp_path / "a.mgh", tr=2300, te=2.98, ti=900, flip_angle=np.radians(9), fov=256)
    scan = read_volume(path)
    assert in_finer_scan(scan.metadata, 2)[1] == ()
    write_volume(scan, tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert header["descrip"] == b"TR 2300 ms, TE 2.98 ms, TI 900 ms, flip angle 9 degrees"
    assert header["pixdim"][4] == 2300
    assert header.get_xyzt_units() == ("mm", "msec")


def test_an_mgh_that_tells_nothing(tmp_path):
    write_volume(read_volume(save_mgh(tmp_path / "a.mgh")), tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert (header["descrip"], header["pixdim"][4], header["xyzt_units"]) == (b"", 0, 2)


def test_tags_of_an_mgh_are_left_out_with_a_note(tmp_path):
    scan = read_volume(save_mgh(tmp_path / "a.mgh", tags=b"\0\0\0\x1f talairach.xfm", tr=10))
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert in_finer_scan(scan.metadata, 1)[1] == (
        "FreeSurfer's tags behind the voxels (18 bytes) are left out.",
    )


def test_a_scan_without_such_fields(tmp_path):
    scan = Volume(VOXELS, Geometry(SHAPE, AFFINE))
    metadata, left_out = in_finer_scan(scan.metadata, 0)
    assert (metadata, left_out) == ({}, ())
