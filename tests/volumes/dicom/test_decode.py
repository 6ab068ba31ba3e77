"""Stored values, whatever their bits and encoding."""

import numpy as np
import pytest
from dicom_slices import (
    COUNT,
    VOXELS,
    make_slice,
    save,
)
from pydicom.uid import RLELossless

from medgen.errors import MedgenError
from medgen.volumes import read_volume


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_beyond_those_stored_do_not_count(tmp_path, signed):
    values = VOXELS % 4096 - 2048 * signed
    dirty = values.astype(np.uint16) & 0x0FFF | 0xA000  # an overlay in the upper four bits
    headers = [
        make_slice(
            k, pixels=dirty[:, :, k].T, BitsStored=12, HighBit=11, PixelRepresentation=signed
        )
        for k in range(COUNT)
    ]
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == (np.int16 if signed else np.uint16)
    np.testing.assert_array_equal(scan.array, values)


def test_run_length_encoding(tmp_path):
    headers = [make_slice(k) for k in range(COUNT)]
    for header in headers:
        header.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(read_volume(save(tmp_path / "scan", headers)).array, VOXELS)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_truncated_file(tmp_path, kept):
    make_slice(0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    raw = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(MedgenError):
        read_volume(tmp_path / "a.dcm")
