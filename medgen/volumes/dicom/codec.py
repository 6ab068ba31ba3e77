"""GDCM's codecs (JPEG, JPEG-LS, JPEG 2000) in a process of their own.

A damaged stream can end the process that decodes it. This file is both sides: `Codecs` for whoever
wants a stream decoded, and the script that it starts, which needs numpy and SimpleITK alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

LONGEST_SECONDS = 300.0  # of decoding one file


class CodecError(Exception):
    """A file that GDCM does not decode, and in its words why."""


class Codecs:
    """A process that decodes, started with the first file and ended with the context.

    It is not to be used by two threads at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Codecs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def decode(self, file: str) -> np.ndarray:
        """Voxels of a DICOM file that holds nothing but these.

        Args:
            file: its path.

        Returns:
            Array `(frames, rows, columns)` as GDCM gives it.

        Raises:
            CodecError: GDCM refuses the file, or ends its process by it, or does not come to an
                end.
        """
        import numpy as np

        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        limit = threading.Timer(LONGEST_SECONDS, self._process.kill)
        limit.start()
        try:
            told, voxels = exchange(self._process, file)
        except (OSError, ValueError):  # a pipe that is closed, or half an answer
            self.close()
            raise CodecError("its process ended") from None
        finally:
            limit.cancel()
        if "error" in told:
            raise CodecError(told["error"])
        return np.frombuffer(voxels, told["dtype"]).reshape(told["shape"])


def exchange(process: subprocess.Popen[bytes], file: str) -> tuple[dict[str, Any], bytes]:
    """Send a path, and take in the answer: a line of JSON, and the voxels it tells of."""
    requests, answers = process.stdin, process.stdout
    assert requests is not None  # as the process was started
    assert answers is not None
    requests.write(f"{json.dumps(file)}\n".encode())
    requests.flush()
    told = json.loads(answers.readline())
    voxels = answers.read(told.get("bytes", 0))
    if len(voxels) != told.get("bytes", 0):
        raise ValueError("half an answer")
    return told, voxels


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Decode the file of each line, until there are no more lines."""
    import SimpleITK as sitk

    for line in requests:
        try:
            image = sitk.ReadImage(json.loads(line), imageIO="GDCMImageIO")
            array = sitk.GetArrayViewFromImage(image)
            told = {"dtype": array.dtype.str, "shape": array.shape, "bytes": array.nbytes}
            voxels = array.tobytes()
        except (RuntimeError, MemoryError) as error:
            told, voxels = {"error": (str(error) or "too large").strip().splitlines()[-1]}, b""
        answers.write(f"{json.dumps(told)}\n".encode() + voxels)
        answers.flush()


if __name__ == "__main__":
    # What GDCM itself prints must not come between the answers.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, channel)
