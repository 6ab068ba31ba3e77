"""Which files of a folder make a series, and what is said of the others."""

import json

import numpy as np
import pytest
from dicom_slices import (
    COUNT,
    SERIES,
    VOXELS,
    make_slice,
    save,
    series,
)

from medgen.errors import ReadError
from medgen.volumes import describe, read_volume


def test_names_without_suffix_and_strangers_in_the_folder(tmp_path):
    folder = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)], "1.2.3.{}")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.dcm").write_bytes(b"junk")
    report = make_slice(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SeriesInstanceUID="1.9")
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    make_slice(0).save_as(folder / "DICOMDIR", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


def test_file_without_preamble(tmp_path):
    folder = series(tmp_path / "scan")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


def test_nothing_of_the_patient_comes_out(tmp_path):
    folder = series(tmp_path / "scan")
    scan = read_volume(folder)
    texts = [json.dumps(describe(scan)), repr(scan), str(dict(scan.metadata))]
    make_slice(0, SeriesInstanceUID="1.2.9").save_as(folder / "x.dcm", enforce_file_format=True)
    with pytest.raises(ReadError) as error:
        read_volume(folder)
    for text in (*texts, str(error.value)):
        assert not any(secret in text for secret in ("Doe", "Jane", "4711", "1970"))


def test_several_series_are_listed_and_one_can_be_picked(tmp_path):
    headers = [make_slice(k, SeriesDescription="thick lung") for k in range(COUNT)]
    headers += [make_slice(k, SeriesInstanceUID="1.2.9", Modality="MR") for k in range(2)]
    folder = save(tmp_path / "scan", headers)
    listing = (
        rf"2 series; choose one with --series UID: {SERIES} \(CT, thick lung, 6 images\); "
        r"1\.2\.9 \(MR, 2 images\)\."
    )
    with pytest.raises(ReadError, match=listing):
        read_volume(folder)
    assert read_volume(folder, series=SERIES).shape == (4, 5, 6)
    assert read_volume(folder, series="1.2.9").shape == (4, 5, 2)
    with pytest.raises(ReadError, match=r"no series 7\.7; choose one"):
        read_volume(folder, series="7.7")


def test_folders_without_images(tmp_path):
    with pytest.raises(ReadError, match="no DICOM image"):
        read_volume(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(ReadError, match=r"a\.dcm is not a"):
        read_volume(tmp_path)
