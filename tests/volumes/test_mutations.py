"""Damaged files of every format end as a volume or a `MedgenError`, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import AFFINE, FORMATS, VOXELS, write_valid

from medgen.errors import GeometryError, MedgenError, ReadError
from medgen.volumes import Volume, read_volume

MUTATIONS = Path(__file__).with_name("mutations.py")
FEW, MANY = 60, 1500


def read_mutations(kind, first, count, folder):
    """Run `mutations.py` in a process of its own, for ITK may end it."""
    result = subprocess.run(
        [sys.executable, str(MUTATIONS), kind, str(first), str(count), str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 0, f"{lines[-1:]}\n{result.stderr[-2000:]}"
    assert len(lines) == count
    # Harmless and harmful damage, or the run would show nothing.
    assert sum(line.endswith(" read") for line in lines) >= count / 50
    assert sum(" refused: " in line for line in lines) >= count / 10


@pytest.mark.parametrize("kind", ["nii.gz", "mgh", "nrrd-packed", "mha", "dcm"])
def test_damaged_files(kind, tmp_path):
    read_mutations(kind, 0, FEW, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_many_damaged_files(kind, tmp_path):
    read_mutations(kind, FEW, MANY, tmp_path)


# === Headers that lie ===


def edit(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "mgz"])
def test_a_nifti_or_mgh_of_terabytes(kind, tmp_path):
    path = tmp_path / f"scan.{kind}"
    image = (nib.MGHImage if kind == "mgz" else nib.Nifti1Image)(VOXELS, AFFINE)
    nib.save(image, path)
    huge = nib.load(path)
    huge.header["dims" if kind == "mgz" else "dim"][:4] = (
        (32000, 32000, 32000, 1) if kind == "mgz" else (3, 32000, 32000, 32000)
    )
    if kind != "mgz":
        huge.header["vox_offset"] = 352
    with huge.file_map["image"].get_prepare_fileobj("wb") as file:
        file.write(huge.header.binaryblock + b"\0" * 1000)
    with pytest.raises(ReadError, match=r"65536000000000 bytes of voxels.*fetch the file again"):
        read_volume(path)


@pytest.mark.parametrize("kind", ["nrrd", "mha", "nrrd-packed", "mha-packed"])
def test_a_text_header_of_terabytes(kind, tmp_path):
    path, *_ = write_valid(kind, tmp_path)
    edit(path, b"4 5 6\n", b"40000 50000 60000\n")
    with pytest.raises(ReadError, match="needs 240000000000000 bytes of voxels"):
        read_volume(path)


def test_a_dicom_of_billions_of_frames(tmp_path):
    path, *_ = write_valid("dcm-frames", tmp_path)
    header = pydicom.dcmread(path)
    header.NumberOfFrames = 2_000_000_000
    header.save_as(path)
    with pytest.raises(ReadError, match="for each of its 2000000000 frames"):
        read_volume(path)
    header.NumberOfFrames = -3
    header.save_as(path)
    with pytest.raises(ReadError, match="for each of its -3 frames"):
        read_volume(path)


@pytest.mark.parametrize("kind", ["dcm-rle", "dcm-JPEG", "dcm-JPEG2000"])
def test_compressed_voxels_of_another_size(kind, tmp_path):
    for path in write_valid(kind, tmp_path):
        header = pydicom.dcmread(path)
        header.Rows = header.Columns = 8192
        header.save_as(path)
    with pytest.raises(ReadError, match="tells of 134217728 bytes of voxels but holds"):
        read_volume(tmp_path)
    if kind != "dcm-rle":
        for path in tmp_path.iterdir():
            header = pydicom.dcmread(path)
            header.Rows = header.Columns = 33
            header.save_as(path)
        with pytest.raises(
            ReadError, match=r"image of \(32, 40, 1\).*header tells \(33, 33, 1\) and 16"
        ):
            read_volume(tmp_path)


def test_a_jpeg_of_more_bits_than_there_are(tmp_path):
    """GDCM writes past its buffers on such a stream."""
    path, *_ = write_valid("dcm-JPEG", tmp_path)
    edit(path, b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x87")
    with pytest.raises(ReadError, match=r"and 135 bits where its header tells .* and 16"):
        read_volume(path)


# === Text headers that ITK's parsers do not survive ===


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("nrrd", b"endian: little", b"endian:" + b"A" * 5000, "odd endian"),
        ("nrrd", b"dimension: 3", b"dimension: 3\ndimension: 3", "dimension twice"),
        ("nrrd", b"dimension: 3", b"dimensions: 3", "unknown line 'dimensions: 3'"),
        ("nrrd", b"(0,0,4.5)", b"(0,0,4.5) (0,0,4.5)", "odd spacedirections"),
        ("nrrd", b"(0,0,4.5)", b"(0,0,4.5,1)", "odd spacedirections"),
        ("nrrd", b"kinds: domain", b"kinds: \x01domain", "control characters"),
        ("nrrd", b"4 5 6", b"4 -5 6", "odd sizes: '4 -5 6'"),
        ("mha", b"NDims = 3", b"NDims = -1", "does not tell NDims"),
        ("mha", b"NDims = 3", b"NDims = 4", "odd TransformMatrix"),
        ("mha", b"Matrix = 1 0 0", b"Matrix = 1e308 0 0", "odd TransformMatrix"),
        ("mha", b"BinaryData = True", b"B" * 300 + b" = True", "odd line"),
        ("mha", b"BinaryData = True", b"BinaryData", "odd line 'BinaryData'"),
        ("mha", b"DimSize = 4 5 6", b"DimSize = 4 5 6 7", "odd DimSize: '4 5 6 7'"),
    ],
)
def test_odd_text_headers_are_refused(kind, old, new, words, tmp_path):
    path, *_ = write_valid(kind, tmp_path)
    edit(path, old, new)
    with pytest.raises(ReadError, match=words):
        read_volume(path)


def test_user_fields_are_no_hindrance(tmp_path):
    for kind, old, new in (
        ("nrrd", b"dimension: 3", b"dimension: 3\n# Kopf, Sch\xc3\xa4del\nkey:=" + b"v" * 9000),
        ("mha", b"NDims = 3", b"NDims = 3\nITK_original = -1 -0 x\ndim[0] = 3"),
    ):
        path, *_ = write_valid(kind, tmp_path)
        edit(path, old, new)
        np.testing.assert_array_equal(read_volume(path).array, VOXELS)
        path.unlink()


@pytest.mark.parametrize("offset", [0, 348, 351])
def test_voxels_within_the_header(offset, tmp_path):
    path = tmp_path / "scan.nii"
    header = nib.Nifti1Image(VOXELS, AFFINE).header
    header["vox_offset"] = offset
    header["magic"] = b"n+1"
    path.write_bytes(header.binaryblock + b"\0" * 4 + VOXELS.tobytes(order="F"))
    with pytest.raises(ReadError, match=rf"vox.offset {offset}"):
        read_volume(path)


# === Any affine ===


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    entries=st.lists(st.floats(width=32), min_size=12, max_size=12),
    slope=st.floats(width=32),
    intercept=st.floats(width=32),
    units=st.integers(0, 63),
)
def test_any_affine_and_scaling_of_a_nifti(entries, slope, intercept, units, tmp_path):
    path = tmp_path / "scan.nii"
    image = nib.Nifti1Image(VOXELS, AFFINE)
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        image.header[name] = entries[4 * row : 4 * row + 4]
    image.header["scl_slope"], image.header["scl_inter"] = slope, intercept
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header["xyzt_units"], image.header["vox_offset"] = units, 352
    with open(path, "wb") as file:
        file.write(image.header.binaryblock + b"\0" * 4 + VOXELS.tobytes(order="F"))
    try:
        scan = read_volume(path)
    except (ReadError, GeometryError):
        return
    assert isinstance(scan, Volume)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert np.isfinite([*scan.geometry.affine.flat, scan.slope, scan.intercept]).all()
    scale = {0: 1, 1: 1000, 2: 1, 3: 0.001}[units & 7]
    expected = np.reshape(entries, (3, 4)) * scale
    np.testing.assert_allclose(scan.geometry.affine[:3], expected, rtol=1e-6)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=600), suffix=st.sampled_from([".nii", ".mgh", ".nrrd", ".dcm"]))
def test_any_bytes(content, suffix, tmp_path):
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    with pytest.raises(MedgenError, match="scan"):
        read_volume(path)
