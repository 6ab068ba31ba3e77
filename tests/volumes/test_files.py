"""Finding scans, and writing so that there is the whole file or none."""

import os
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medgen.errors import ReadError, WriteError
from medgen.volumes import Geometry, Volume, find_scans, read_volume, write_volume
from medgen.volumes import files as volume_files

SCAN = Volume(
    np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry.from_spacing((3, 4, 5), (1, 2, 3))
)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_existing_file_is_replaced_only_when_told(tmp_path, name):
    write_volume(SCAN, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    other = Volume(SCAN.array + 1, SCAN.geometry)
    with pytest.raises(WriteError, match=r"exists; choose another name or pass --overwrite"):
        write_volume(other, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    write_volume(other, tmp_path / name, overwrite=True)
    np.testing.assert_array_equal(read_volume(tmp_path / name).array, other.array)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [b"precious", None])
def test_a_failure_midway_leaves_things_as_they_were(tmp_path, monkeypatch, failure, existing):
    path = tmp_path / "a.nii.gz"
    if existing:
        path.write_bytes(existing)

    def write_half(volume, unfinished):
        unfinished.write_bytes(b"half a file")
        raise failure

    monkeypatch.setitem(volume_files.WRITABLE, ".nii.gz", write_half)
    expected = WriteError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_volume(SCAN, path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == (["a.nii.gz"] if existing else [])
    assert not existing or path.read_bytes() == existing


def test_written_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_volume(SCAN, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["a", "a.gz", "a.dcm", "a.hdr", "a.mhd", "a.nii.bz2"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(WriteError, match=r"must end in \.nii, \.nii\.gz, \.nrrd, \.mha\."):
        write_volume(SCAN, tmp_path / name)


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(WriteError, match="there is no folder"):
        write_volume(SCAN, tmp_path / "missing" / "a.nii")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(WriteError, match="exists"):
        write_volume(SCAN, tmp_path / "folder.nii", overwrite=True)


def test_reading_what_is_not_there_or_not_a_scan(tmp_path):
    with pytest.raises(ReadError, match="does not exist"):
        read_volume(tmp_path / "a.nii")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ReadError, match=r"no format medgen reads.*\.nii\.gz"):
        read_volume(tmp_path / "a.txt")
    write_volume(SCAN, tmp_path / "a.nii")
    with pytest.raises(ReadError, match="no series"):
        read_volume(tmp_path / "a.nii", series="1.2")


@pytest.fixture
def library(tmp_path):
    """Folders as people have them."""
    pair = nib.Nifti1Pair(SCAN.array, SCAN.geometry.affine)
    for folder in ("b/deep", "a", ".hidden", "c"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("b/deep/scan.nii.gz", "b/scan.NRRD", "a/scan.mha", ".hidden/scan.nii", "a/.x.nii"):
        (tmp_path / name).touch()
    nib.save(pair, tmp_path / "a" / "pair.img")
    (tmp_path / "a" / "orphan.img").touch()
    for number in range(3):
        (tmp_path / "c" / f"{number}").write_bytes(bytes(128) + b"DICM")
    for name in ("c/report.pdf", "DICOMDIR", "b/readme.txt", "a/scan.raw"):
        (tmp_path / name).write_bytes(bytes(128) + b"PDF")
    return tmp_path


def test_folders_are_searched_and_each_scan_counts_once(library):
    names = ["a/pair.hdr", "a/scan.mha", "b/deep/scan.nii.gz", "b/scan.NRRD", "c"]
    assert find_scans([library]) == [library / name for name in names]
    assert find_scans([library / "c", library, library / "a" / "pair.img"]) == find_scans([library])


def test_files_count_as_given(library):
    given = [library / "b" / "readme.txt", library / "a" / "pair.img", library / "a" / "pair.hdr"]
    assert find_scans(map(str, given)) == [library / "a" / "pair.hdr", given[0]]


def test_finding_nothing(library):
    with pytest.raises(ReadError, match="does not exist"):
        find_scans([library, library / "missing"])
    os.remove(library / "b" / "scan.NRRD")
    os.remove(library / "b" / "deep" / "scan.nii.gz")
    with pytest.raises(ReadError, match=r"No scan in .*b; give folders of DICOM files"):
        find_scans([library / "b"])
    with pytest.raises(ReadError, match="No scan in no path at all"):
        find_scans([])


def test_importing_volumes_imports_neither_tensorflow_nor_itk():
    code = (
        "import sys, medgen.volumes; "
        "print([m for m in ('tensorflow', 'keras', 'SimpleITK') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_what_the_user_says_a_scan_is_overrules_its_values(tmp_path):
    air_and_tissue = np.where(np.arange(60).reshape(3, 4, 5) % 2, -1000, 40).astype(np.int16)
    write_volume(SCAN.with_array(air_and_tissue, SCAN.geometry), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").modality == "ct"
    for name in ("ct", "mr", "labels"):
        scan = read_volume(tmp_path / "a.nii", modality=name)
        assert (scan.modality, scan.guess.words) == (name, "you say so")


def test_the_name_and_the_intent_are_evidence(tmp_path):
    brain = np.where(np.arange(60).reshape(3, 4, 5) % 2, 30 + np.arange(60).reshape(3, 4, 5) % 9, 0)
    scan = SCAN.with_array(brain.astype(np.int16), SCAN.geometry)
    write_volume(scan, tmp_path / "a.nii")
    write_volume(scan, tmp_path / "a_ct.nii")
    assert read_volume(tmp_path / "a.nii").modality == "unknown"
    assert read_volume(tmp_path / "a_ct.nii").modality == "ct"
    pieces = np.repeat(np.arange(12).reshape(3, 4, 1), 5, axis=2).astype(np.uint8)
    write_volume(
        replace(SCAN.with_array(pieces, SCAN.geometry), metadata={"nifti": {"intent_code": 1002}}),
        tmp_path / "b.nii",
    )
    labels = read_volume(tmp_path / "b.nii")
    assert labels.guess.words.startswith("its NIfTI intent says labels, and")


def test_an_intercept_that_the_file_lacks_keeps_stored_values(tmp_path):
    shifted = SCAN.with_array(np.where(SCAN.array % 2, 24, 1064).astype(np.uint16), SCAN.geometry)
    write_volume(shifted, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").modality != "ct"
    scan = read_volume(tmp_path / "a.nii", intercept=-1024)
    assert (scan.modality, scan.intercept) == ("ct", -1024.0)
    np.testing.assert_array_equal(scan.array, shifted.array)
    assert set(np.unique(scan.to_physical())) == {-1000, 40}
    write_volume(scan, tmp_path / "b.nii")
    assert read_volume(tmp_path / "b.nii").modality == "ct"  # the file says it from now on
