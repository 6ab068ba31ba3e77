"""Stored values, whatever their bits and encoding."""

import base64

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_slices import COLUMNS, COUNT, ROWS, VOXELS, make_slice, save
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medgen.errors import MedgenError, ReadError
from medgen.volumes import read_volume
from medgen.volumes.dicom.codec import CodecError, Codecs

# Images of 12 bits without a sign, five rows of four, encoded by imagecodecs 2026.3.6 as
# jpeg_encode(image, lossless=True, bitspersample=12, predictor=1) and
# jpeg2k_encode(image, level=0, codecformat="j2k", bitspersample=12, resolutions=1), and by
# pyjpegls 1.5.1 as encode_pixel_data(image, rows=5, columns=4, bits_stored=12, ...).
TWELVE_BITS = (np.arange(20).reshape(5, 4) * 211 - 2000) & 0x0FFF
STREAMS = {
    JPEGLosslessSV1: (
        "|JeWF01!$>Nk#wx0RR9200961|HA+a3;+cH1OWjN0RO}Q7XSeP0RaF20000000000000OI3<m$&00;pA00961>>6!0o"
        "u)L}Z97b9;L>U1OKG&)c9_#?wEqDA*#"
    ),
    JPEGLSLossless: (
        "|JeWc01FHN1povA0TBTI+5iXv0RR910000003V$LD@M?O000&M%+djvQq2=V0i_@S000&mK}$2t<3#`2"
    ),
    JPEG2000Lossless: (
        "|4;u>04V?f0000400005000000000000004000050000000000009dD0sm3}3;+NC0RR951ONg5TmS?>VE<$QB>(|Ka"
        "%Ew3Wn>^?c_2@4Wo}APMMofZWpZ<AZ*CwmE;TMR|BwI*0000005AXn|C7(;d<d3ZPW1D6l;xhS(j0kFm+Ml7O)N`y8X"
        "cORhnaC{|Je"
    ),
}


# === Bits ===

LAYOUTS = {
    "overlay above": (11, lambda low: low | 0xA000),
    "no sign above": (11, lambda low: low),
    "high": (15, lambda low: low << 4),
    "high, overlay below": (15, lambda low: low << 4 | 0x000B),
    "between": (13, lambda low: low << 2 | 0x8001),
}


def packed(layout, signed, shape):
    """Values of 12 bits, the cells that hold them, and the highest bit of these."""
    values = np.random.default_rng(2).integers(0, 4096, shape) - 2048 * signed
    high_bit, cells_of = LAYOUTS[layout]
    return values, cells_of(values.astype(np.uint16) & 0x0FFF).astype(np.uint16), high_bit


@pytest.mark.parametrize("encoding", ["plain", "run lengths"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_where_the_header_says(tmp_path, layout, signed, encoding):
    values, cells, high_bit = packed(layout, signed, (COUNT, ROWS, COLUMNS))
    headers = [
        make_slice(
            k, pixels=cells[k], BitsStored=12, HighBit=high_bit, PixelRepresentation=signed,
        )
        for k in range(COUNT)
    ]  # fmt: skip
    if encoding == "run lengths":
        for header, image in zip(headers, cells, strict=True):
            frames = pydicom.pixels.get_encoder(RLELossless).encode(
                image, rows=ROWS, columns=COLUMNS, samples_per_pixel=1, number_of_frames=1,
                bits_allocated=16, bits_stored=16, pixel_representation=0,
                photometric_interpretation="MONOCHROME2", encoding_plugin="pydicom",
            )  # fmt: skip
            header.file_meta.TransferSyntaxUID = RLELossless
            header.PixelData = encapsulate([frames])
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == (np.int16 if signed else np.uint16)
    np.testing.assert_array_equal(scan.array, values.T)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_of_compressed_cells_are_where_the_header_says(tmp_path, layout, signed, compressor):
    values, cells, high_bit = packed(layout, signed, (32, 40))
    encoded = tmp_path / "encoded.dcm"
    sitk.WriteImage(sitk.GetImageFromArray(cells[None]), str(encoded), True, compressor=compressor)
    encoded = pydicom.dcmread(encoded)
    header = make_slice(
        0, pixels=cells, BitsStored=12, HighBit=high_bit, PixelRepresentation=signed, Rows=32,
        Columns=40,
    )  # fmt: skip
    header.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    header["PixelData"] = encoded["PixelData"]
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").array[:, :, 0], values.T)


@pytest.mark.parametrize("high_bit", [11, 15])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: syntax.keyword)
def test_a_stream_of_12_bits_holds_the_values_themselves(tmp_path, syntax, signed, high_bit):
    header = make_slice(0, BitsStored=12, HighBit=high_bit, PixelRepresentation=signed)
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate([base64.b85decode(STREAMS[syntax])])
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "a.dcm")
    expected = TWELVE_BITS - 4096 * (signed and TWELVE_BITS >= 2048)
    assert scan.array.dtype == (np.int16 if signed else np.uint16)
    np.testing.assert_array_equal(scan.array[:, :, 0], expected.T)


@pytest.mark.parametrize(("stored", "high_bit"), [(12, 3), (17, 16), (12, 16), (12, -1)])
def test_bits_that_cannot_be(tmp_path, stored, high_bit):
    header = make_slice(0)
    header.add_new("BitsStored", "US", stored)
    header.add_new("HighBit", "SS" if high_bit < 0 else "US", high_bit)
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    words = rf"tells of {stored} bits up to bit {high_bit} in 16, which cannot be.*mend its header"
    with pytest.raises(ReadError, match=words):
        read_volume(tmp_path / "a.dcm")


def test_padding_of_12_bits_without_its_sign(tmp_path):
    header = make_slice(
        0, pixels=TWELVE_BITS.astype(np.uint16), BitsStored=12, HighBit=11, Modality="CT"
    )
    header.add_new("PixelPaddingValue", "US", 0x0830)  # -2000 in 12 bits
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    scan = read_volume(tmp_path / "a.dcm")
    assert scan.array[0, 0, 0] == -2000
    assert scan.metadata["padding_value"] == -3024


# === Encodings ===


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


@pytest.mark.parametrize(("name", "kind"), [("Float", "<f4"), ("DoubleFloat", "<f8")])
@pytest.mark.parametrize("bits", [True, False])
def test_floating_point_pixels(tmp_path, name, kind, bits):
    headers = [make_slice(k, PixelData=None, Modality="MR") for k in range(COUNT)]
    for k, header in enumerate(headers):
        header.BitsAllocated = 8 * np.dtype(kind).itemsize
        if not bits:
            for absent in ("BitsStored", "HighBit", "PixelRepresentation"):
                delattr(header, absent)
        values = np.ascontiguousarray(VOXELS[:, :, k].T / 7, kind)
        setattr(header, f"{name}PixelData", values.tobytes())
    scan = read_volume(save(tmp_path / "scan", headers))
    assert scan.array.dtype == np.dtype(kind)
    np.testing.assert_array_equal(scan.array, (VOXELS / 7).astype(kind))


def test_a_file_that_does_not_name_its_encoding(tmp_path):
    """Explicit value representation, as the element's own letters tell."""
    folder = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)], "{}")
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        assert header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        whole, start = path.read_bytes(), b"\x08\0\x16\0UI"
        path.write_bytes(whole[whole.index(start) :])
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


# === Damage ===


def overflowing(folder):
    """A bare file whose JPEG stream says 135 bits, which has GDCM write past its buffers."""
    path = folder / "packed.dcm"
    image = np.arange(32 * 40, dtype=np.uint16).reshape(1, 32, 40)
    sitk.WriteImage(sitk.GetImageFromArray(image), str(path), True, compressor="JPEG")
    whole = path.read_bytes()
    assert whole.count(b"\xff\xc3\x00\x0b\x10") == 1
    damaged = path.with_name("damaged.dcm")
    damaged.write_bytes(whole.replace(b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x87"))
    return path, damaged, image


def test_a_codec_that_crashes_takes_nothing_with_it(tmp_path):
    sound, damaged, image = overflowing(tmp_path)
    with Codecs() as codecs:
        np.testing.assert_array_equal(codecs.decode(str(sound)), image)
        for _ in range(3):
            with pytest.raises(CodecError):
                codecs.decode(str(damaged))
        np.testing.assert_array_equal(codecs.decode(str(sound)), image)
        with pytest.raises(CodecError):
            codecs.decode(str(tmp_path / "missing.dcm"))
        np.testing.assert_array_equal(codecs.decode(str(sound)), image)


def test_a_codec_whose_process_is_killed(tmp_path, monkeypatch):
    sound, _, image = overflowing(tmp_path)
    stub = tmp_path / "killed.py"
    stub.write_text("import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)")
    with monkeypatch.context() as patch:
        patch.setattr("medgen.volumes.dicom.codec.__file__", str(stub))
        header = make_slice(0, Rows=32, Columns=40)
        encoded = pydicom.dcmread(sound)
        header.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
        header.PixelData = encapsulate([*generate_frames(encoded.PixelData, number_of_frames=1)])
        header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        words = (
            r"a\.dcm has voxels that GDCM cannot decode \(as JPEG Lossless.*fetch the file again"
        )
        with pytest.raises(ReadError, match=words):
            read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").array, image.T)


def test_a_codec_that_does_not_come_to_an_end(tmp_path, monkeypatch):
    stub = tmp_path / "endless.py"
    stub.write_text("import time\nwhile True: time.sleep(1)")
    monkeypatch.setattr("medgen.volumes.dicom.codec.__file__", str(stub))
    monkeypatch.setattr("medgen.volumes.dicom.codec.LONGEST_SECONDS", 0.5)
    with Codecs() as codecs, pytest.raises(CodecError, match="its process ended"):
        codecs.decode(str(tmp_path / "any.dcm"))
