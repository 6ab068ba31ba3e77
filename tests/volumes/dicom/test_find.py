"""Which files of a folder make a series, and what is said of the others."""

import json
import shutil
import struct

import numpy as np
import pydicom
import pytest
from dicom_slices import (
    COUNT,
    SERIES,
    VOXELS,
    make_slice,
    save,
    series,
)
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medgen.errors import GeometryError, ReadError
from medgen.volumes import describe, find_scans, read_volume


def test_names_without_suffix_and_strangers_in_the_folder(tmp_path):
    folder = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)], "1.2.3.{}")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.dcm").write_bytes(b"junk")
    report = make_slice(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SeriesInstanceUID="1.9")
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    make_slice(0).save_as(folder / "DICOMDIR", enforce_file_format=True)
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    told = "Left out, being no DICOM image: notes.txt, report.dcm."
    assert scan.metadata["notes"] == (told,)


def strip(path, kind):
    """Take the preamble from a file, or all that comes before the first element of its data set."""
    header = pydicom.dcmread(path)
    syntax = {"implicit": ImplicitVRLittleEndian, "big": ExplicitVRBigEndian}.get(kind)
    if kind == "big":
        header.PixelData = np.frombuffer(header.PixelData, "<i2").astype(">i2").tobytes()
    if syntax is not None:
        header.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path, header, implicit_vr=syntax.is_implicit_VR, force_encoding=True,
            little_endian=syntax.is_little_endian,
        )  # fmt: skip
    whole = path.read_bytes()
    start = 132
    if kind != "meta":
        (length,) = struct.unpack_from("<I", whole, 140)
        start = 144 + length
    path.write_bytes(whole[start:])


@pytest.mark.parametrize("kind", ["meta", "explicit", "implicit", "big"])
def test_files_without_preamble_and_suffix_among_others(tmp_path, kind):
    """Half of a series, which would else be three slices of twice the distance."""
    folder = series(tmp_path / "scan")
    for number, path in enumerate(sorted(folder.iterdir())):
        if number % 2:
            strip(path, kind)
            path.rename(folder / f"IM{number}")
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.spacing[2], 3, atol=1e-5)
    assert "notes" not in scan.metadata
    assert find_scans([tmp_path]) == [folder]
    for path in folder.iterdir():
        assert read_volume(path).shape == (4, 5, 1)


def test_files_that_begin_like_a_data_set(tmp_path):
    """Numbers that could be the tag and the length of an element: named, not read, no hindrance."""
    folder = series(tmp_path / "scan")
    (folder / "counts").write_bytes(np.array([8, 0, 4, 0, 7, 9], "<u2").tobytes() * 100)
    (folder / "big").write_bytes(np.array([8, 22], ">u2").tobytes() + b"UI\0\x08abcdefgh" * 9)
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.metadata["notes"] == ("Left out, being no DICOM image: big, counts.",)


def test_names_that_a_terminal_would_obey(tmp_path):
    folder = series(tmp_path / "scan")
    for number in range(9):
        (folder / f"{number}\x1b[31m\n").touch()
    (note,) = read_volume(folder).metadata["notes"]
    names = ", ".join(rf"{number}\x1b[31m\n" for number in range(5))
    assert note == f"Left out, being no DICOM image: {names} and 4 more."
    with pytest.raises(ReadError) as error:
        read_volume(folder / "0\x1b[31m\n")
    assert rf"{folder}/0\x1b[31m\n is of no format" in str(error.value)


def test_headers_that_a_terminal_would_obey(tmp_path):
    headers = [make_slice(0, SeriesDescription="a\x1b[2Jb"), make_slice(1, SeriesInstanceUID="1.9")]
    folder = save(tmp_path / "scan", headers)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"CT", b"\x07\n"))
    with pytest.raises(ReadError) as error:
        read_volume(folder)
    assert str(error.value).isprintable()
    assert r"\x07\n, a\x1b[2Jb, 1 image" in str(error.value)
    folder = save(tmp_path / "other", [make_slice(0, PhotometricInterpretation="\x1b" * 9000)])
    with pytest.raises(ReadError, match=r"colour image \((\\x1b){39}\\\.\.\.\), not grey"):
        read_volume(folder)


# === Several folders ===


def spread(folder, places, **attributes):
    """A series of which slice k lies in the folder `places[k]`, all files of the same name."""
    for k, place in enumerate(places):
        (folder / place).mkdir(parents=True, exist_ok=True)
        same = "image.dcm" if places.count(place) == 1 else f"{k}.dcm"
        make_slice(k, **attributes).save_as(folder / place / same, enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    "places",
    [list("aababb"), list("abcdef"), ["a", "a", "a/b", "a/b", "a/b/c", "."], list("aaaaab")],
)
def test_a_series_in_several_folders_is_one_scan(tmp_path, places):
    folder = spread(tmp_path / "scan", places)
    scan = read_volume(folder)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.geometry == read_volume(series(tmp_path / "whole")).geometry
    assert find_scans([tmp_path]) == [folder, tmp_path / "whole"]
    assert find_scans([folder]) == [folder]


def test_each_series_belongs_to_the_folder_that_holds_all_of_it(tmp_path):
    spread(tmp_path / "study", list("aabbcc"))
    spread(tmp_path / "study" / "d", list("......"), SeriesInstanceUID="1.9", Modality="MR")
    spread(tmp_path / "study" / "d" / "e", list("xyxyxy"), SeriesInstanceUID="1.10")
    folders = [tmp_path / "study", tmp_path / "study" / "d", tmp_path / "study" / "d" / "e"]
    assert find_scans([tmp_path]) == folders
    assert [read_volume(folder).metadata["modality_tag"] for folder in folders] == [
        "CT",
        "MR",
        "CT",
    ]
    assert read_volume(tmp_path / "study", series="1.10").shape == (4, 5, 6)
    listing = rf"holds 3 series; choose .* 1\.10 \(CT, 6 images\); {SERIES} \(CT, 6 images\); 1\.9"
    with pytest.raises(ReadError, match=listing):
        read_volume(tmp_path)


def test_a_missing_slice_of_several_folders_is_named_with_its_folder(tmp_path):
    spread(tmp_path / "scan", list("abcdef"))
    (tmp_path / "scan" / "c" / "image.dcm").unlink()
    with pytest.raises(GeometryError, match=r"6 mm between b/image\.dcm and d/image\.dcm; add"):
        read_volume(tmp_path / "scan")


def test_copies_are_scans_of_their_own(tmp_path):
    folder = spread(tmp_path / "scans" / "study", list("aaabbb"))
    shutil.copytree(folder / "a", tmp_path / "scans" / "backup" / "a")
    whole = tmp_path / "scans" / "all"
    whole.mkdir()
    for path in folder.rglob("*.dcm"):
        shutil.copy(path, whole)
    # `backup/a` lacks half of the series, as the copy that it is; the others are whole.
    assert find_scans([tmp_path]) == [whole, tmp_path / "scans" / "backup" / "a", folder]
    for path in (whole, folder):
        np.testing.assert_array_equal(read_volume(path).array, VOXELS)
    words = rf"holds the series {SERIES} 3 times, as copies .*, in all, backup/a, study; give one"
    for uid in (None, SERIES):
        with pytest.raises(ReadError, match=words):
            read_volume(tmp_path / "scans", series=uid)


@pytest.mark.parametrize("attribute", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_what_has_other_identifiers_stays_apart(tmp_path, attribute):
    spread(tmp_path / "one", list("......"))
    spread(tmp_path / "two", list("......"), **{attribute: "1.7"})
    assert find_scans([tmp_path]) == [tmp_path / "one", tmp_path / "two"]
    words = "2 series" if attribute == "SeriesInstanceUID" else "2 times, as copies"
    with pytest.raises(ReadError, match=words) as error:
        read_volume(tmp_path)
    assert "4711" not in str(error.value)


def test_other_images_at_the_same_places_are_another_scan(tmp_path):
    """Times of one series, or scans whose identifiers an anonymiser made the same."""
    spread(tmp_path / "one", list("......"))
    spread(tmp_path / "two", list("aaabbb"))
    assert find_scans([tmp_path]) == [tmp_path / "one", tmp_path / "two"]
    for name in ("one", "two"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, VOXELS)


def test_images_that_lie_in_two_of_the_folders(tmp_path):
    """Two exports that overlap are no two scans; which file is to go the user has to say."""
    folder = spread(tmp_path / "scan", list("aaabbb"))
    shutil.copy(folder / "a" / "2.dcm", folder / "b")
    assert find_scans([tmp_path]) == [folder]
    words = r"7 slices for 6 positions: .* or copies, such as a/2\.dcm and b/2\.dcm; move"
    with pytest.raises(GeometryError, match=words):
        read_volume(folder)


def test_images_without_a_series_are_of_their_folder(tmp_path):
    spread(tmp_path, list("aaabbb"), SeriesInstanceUID=None)
    assert find_scans([tmp_path]) == [tmp_path / "a", tmp_path / "b"]
    np.testing.assert_array_equal(read_volume(tmp_path / "b").array, VOXELS[:, :, 3:])


def test_damage_counts_where_the_series_lies(tmp_path):
    folder = spread(tmp_path / "scan", list("aaabbb"))
    (folder / "c").mkdir()
    (folder / "c" / "other.dcm").write_bytes(b"junk")
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)
    assert find_scans([folder]) == [folder, folder / "c"]
    (folder / "b" / "lost.dcm").write_bytes(b"junk")
    with pytest.raises(ReadError, match=r"b/lost\.dcm is not a .*fetch it again or remove it"):
        read_volume(folder)


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
