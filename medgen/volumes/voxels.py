"""Voxels as the bytes of a file hold them: plain, compressed, or written out as text.

Nothing but Python's own decompressors and numpy sees the bytes, and memory is taken for voxels that
are there alone, whatever a header tells of their number.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medgen.errors import ReadError
from medgen.memory import require_memory
from medgen.volumes.reading import first_line

PIECE = 1 << 20  # bytes
ZLIB_OR_GZIP = 47  # window bits by which zlib tells its own streams from gzip's
GZIP_MAGIC = b"\x1f\x8b"
# Most bytes that one of the file can stand for: by the format for deflate; 900 kB blocks of runs of
# up to 259 bytes written as 5, in no less than 30 bytes, for bzip2.
PACKED = {"deflate": 1032, "bzip2": 1 << 21}
MOST_BEYOND = 1 << 26  # bytes of a compressed stream behind the last voxel
UNREADABLE = (OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Stored:
    """Where voxels lie, and how.

    Args:
        file: that holds them.
        dtype: of a voxel, with its byte order.
        count: of voxels, at least 1.
        encoding: `raw`, `deflate` (zlib or gzip, whichever the stream is), `bzip2`, `text` or
            `hex`.
        start: bytes of the file before everything else.
        lines: of text after those.
        skip: bytes after those, before the first voxel; of a compressed stream, decompressed ones.
            None if the voxels are the last bytes of the file, which must be `raw`.
    """

    file: Path
    dtype: np.dtype
    count: int
    encoding: str = "raw"
    start: int = 0
    lines: int = 0
    skip: int | None = 0


def read_voxels(path: Path, stored: Stored) -> tuple[np.ndarray, int]:
    """Voxels `(count,)` of the stored dtype, and how many bytes follow the last one.

    Compressed streams are read to their end, so that their checksums are verified.

    Args:
        path: the scan, for the sentences.
        stored: where its voxels lie.

    Raises:
        ReadError: there are fewer voxels, or the file is damaged.
        ResourceError: they do not fit into memory.
    """
    needed = stored.count * stored.dtype.itemsize
    name, short = stored.file.name, f"needs {needed} bytes of voxels but {stored.file.name} holds"
    try:
        size = stored.file.stat().st_size
        most = most_bytes(stored, size)
        if needed > most:
            at_most = "" if stored.encoding == "raw" else "at most "
            raise EOFError(f"{short} {at_most}{most}")
        require_memory(2 * needed, f"Reading {path}")
        array = np.empty(stored.count, stored.dtype)
        view, filled, beyond = array.view(np.uint8).data, 0, 0
        with open(stored.file, "rb") as file:
            for piece in pieces(file, stored, size - needed):
                part = piece[: needed - filled]
                view[filled : filled + len(part)] = part
                filled += len(part)
                beyond += len(piece) - len(part)
                if stored.encoding == "raw" and filled == needed:
                    beyond = size - file.tell() + beyond
                    break
                if beyond > MOST_BEYOND:
                    raise ValueError(f"{name} goes on far beyond the voxels its header tells of")
        if filled < needed:
            raise EOFError(f"{short} {filled}")
    except UNREADABLE as error:
        raise ReadError(
            f"{path} ends before its last voxel or is damaged ({first_line(error)}); fetch the "
            "file again."
        ) from error
    return array, beyond


def most_bytes(stored: Stored, size: int) -> int:
    """Bytes of voxels that a file of `size` bytes holds at most."""
    if stored.encoding == "raw":
        return max(size - stored.start - (stored.skip or 0), 0)
    if stored.encoding in PACKED:
        return size * PACKED[stored.encoding]
    if stored.encoding == "hex":
        return size // 2
    return (size + 1) // 2 * stored.dtype.itemsize  # a digit and a space each


def pieces(file: BinaryIO, stored: Stored, last: int) -> Iterator[bytes]:
    """The bytes from the first voxel on, piece by piece.

    Args:
        file: at its start.
        stored: how the voxels lie in it.
        last: where they begin if they end with the file.
    """
    if min(stored.start, stored.skip or 0) < 0:
        raise ValueError("the first voxel would lie before the file")
    file.seek(stored.start)
    for _ in range(stored.lines):
        if not file.readline(PIECE).endswith(b"\n"):
            raise EOFError(f"there are no {stored.lines} lines before the voxels")
    decoded = DECODERS[stored.encoding]
    if stored.encoding in PACKED:
        yield from without_first(decoded(file, stored.dtype), stored.skip or 0)
        return
    file.seek(last) if stored.skip is None else file.seek(stored.skip, 1)
    yield from decoded(file, stored.dtype)


def without_first(stream: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The same bytes but for the first `count`."""
    for piece in stream:
        if count < len(piece):
            yield piece[count:]
        count = max(count - len(piece), 0)


def plain(file: BinaryIO, _: np.dtype) -> Iterator[bytes]:
    """Bytes as they stand."""
    while piece := file.read(PIECE):
        yield piece


def inflated(file: BinaryIO, _: np.dtype) -> Iterator[bytes]:
    """Bytes of a zlib stream, or of one or several gzip streams; what follows those is left out."""
    stream = zlib.decompressobj(ZLIB_OR_GZIP)
    while piece := stream.unused_data or stream.unconsumed_tail or file.read(PIECE):
        if stream.eof:
            piece += file.read(PIECE) if len(piece) < len(GZIP_MAGIC) else b""
            if not piece.startswith(GZIP_MAGIC):
                return
            stream = zlib.decompressobj(ZLIB_OR_GZIP)
        yield stream.decompress(piece, PIECE)
    if not stream.eof:
        raise EOFError("the compressed voxels end too early")


def unzipped(file: BinaryIO, _: np.dtype) -> Iterator[bytes]:
    """Bytes of a bzip2 stream."""
    with bz2.BZ2File(file) as stream:
        while piece := stream.read(PIECE):
            yield piece


def written_out(file: BinaryIO, dtype: np.dtype) -> Iterator[bytes]:
    """Bytes of numbers that are written in decimal, with white space between them."""
    rest = b""
    while piece := file.read(PIECE):
        *words, rest = (rest + piece + b"|").split()  # the last word may go on in the next piece
        rest = rest[:-1]
        yield parsed(words, dtype)
    yield parsed(rest.split(), dtype)


def parsed(words: list[bytes], dtype: np.dtype) -> bytes:
    """Numbers from decimal to the bytes of a dtype."""
    number = int if dtype.kind in "iu" else float
    try:
        if b"_" in b"".join(words):  # which Python takes, but no format
            raise ValueError
        return np.array([number(word) for word in words], dtype).tobytes()
    except (ValueError, OverflowError):
        raise ValueError(f"its text is not all {dtype.name} numbers") from None


def hexadecimal(file: BinaryIO, _: np.dtype) -> Iterator[bytes]:
    """Bytes that are written as two hexadecimal digits each."""
    rest = b""
    while piece := file.read(PIECE):
        digits = rest + b"".join(piece.split())
        rest = digits[len(digits) // 2 * 2 :]
        yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode("latin-1"))


DECODERS = {
    "raw": plain,
    "deflate": inflated,
    "bzip2": unzipped,
    "text": written_out,
    "hex": hexadecimal,
}
