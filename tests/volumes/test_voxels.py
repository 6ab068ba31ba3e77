"""Voxels out of the bytes of a file, in every encoding, whole or not at all."""

import bz2
import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
from text_scans import NRRD, VOXELS, oblique_geometry, save

from medgen.errors import ReadError
from medgen.volumes import Volume, read_volume, voxels, write_volume
from medgen.volumes.voxels import Stored, read_voxels

NUMBERS = np.random.default_rng(0).integers(-32768, 32767, 5000).astype("<i2")
PLAIN = NUMBERS.tobytes()
ENCODED = {
    "raw": PLAIN,
    "deflate": zlib.compress(PLAIN),
    "bzip2": bz2.compress(PLAIN),
    "text": " ".join(map(str, NUMBERS)).encode(),
    "hex": PLAIN.hex().encode(),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
def test_pieces_of_any_size_make_the_whole(tmp_path, monkeypatch, encoding, piece):
    monkeypatch.setattr(voxels, "PIECE", piece)
    path = tmp_path / "a"
    path.write_bytes(ENCODED[encoding])
    count = 40 if piece == 1 else len(NUMBERS)
    array, beyond = read_voxels(path, Stored(path, NUMBERS.dtype, count, encoding))
    np.testing.assert_array_equal(array, NUMBERS[:count])
    assert beyond == (len(NUMBERS) - count) * 2


@pytest.mark.parametrize("encoding", ENCODED)
def test_too_few_voxels(tmp_path, encoding):
    path = tmp_path / "a"
    path.write_bytes(ENCODED[encoding])
    words = r"needs 10002 bytes of voxels but a holds (at most )?\d+\); fetch the file again"
    with pytest.raises(ReadError, match=words):
        read_voxels(path, Stored(path, NUMBERS.dtype, 5001, encoding))


@pytest.mark.parametrize("encoding", ENCODED)
def test_memory_is_not_taken_for_voxels_that_are_not_there(tmp_path, encoding):
    path = tmp_path / "a"
    path.write_bytes(ENCODED[encoding])
    tracemalloc.start()
    with pytest.raises(ReadError):
        read_voxels(path, Stored(path, np.dtype("<i2"), 10**12, encoding))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize("encoding", ["deflate", "bzip2"])
def test_a_stream_that_goes_on_and_on_is_refused(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(voxels, "MOST_BEYOND", 9000)
    monkeypatch.setattr(voxels, "PIECE", 1000)
    path = tmp_path / "a"
    path.write_bytes(ENCODED[encoding])
    with pytest.raises(ReadError, match="goes on far beyond the voxels its header tells of"):
        read_voxels(path, Stored(path, NUMBERS.dtype, 10, encoding))


@pytest.mark.parametrize("word", ["1_0", "1.5", "x", "40000", "0x10", "nan", "1|2"])
def test_text_that_is_no_whole_number(tmp_path, word):
    path = tmp_path / "a"
    path.write_text(f"1 2 {word} 4")
    with pytest.raises(ReadError, match="its text is not all int16 numbers"):
        read_voxels(path, Stored(path, np.dtype("i2"), 4, "text"))


def test_text_of_decimal_numbers(tmp_path):
    path = tmp_path / "a"
    path.write_text("1.5 -2e3\n\n nan\t.25 ")
    array, _ = read_voxels(path, Stored(path, np.dtype("f4"), 4, "text"))
    np.testing.assert_array_equal(array, np.float32([1.5, -2000, np.nan, 0.25]))


def test_a_voxel_before_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(PLAIN)
    for encoding in ("raw", "deflate"):
        with pytest.raises(ReadError, match="before the file"):
            read_voxels(path, Stored(path, NUMBERS.dtype, 10, encoding, skip=-4))


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
