"""Names without content say how to get it, in every place where a scan is looked for."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.errors import ReadError
from medgen.volumes import Geometry, Volume, find_scans, read_volume, write_volume
from medgen.volumes.fetched import is_in_annex, is_missing, leads_nowhere, require_fetched

SCAN = Volume(
    np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry.from_spacing((3, 4, 5), (1, 2, 3))
)
KEY = "SHA256E-s352--0f343b0931126a20f133d67c2b018a3b.nii.gz"
ANNEX_POINTER = f"/annex/objects/{KEY}\n"
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture
def repository(tmp_path):
    """A git-annex repository as a clone of it is: links to nothing, and a subject's folder."""
    (tmp_path / ".git" / "annex" / "objects").mkdir(parents=True)
    (tmp_path / "sub-01").mkdir()
    return tmp_path


def annexed(path, content=None):
    """A file of git-annex, fetched if there is content for it."""
    place = f".git/annex/objects/Gx/4z/{KEY}/{KEY}"
    up = "../" * (len(path.relative_to(path.parents[1]).parts) - 1)
    path.symlink_to(up + place)
    if content is not None:
        (path.parents[1] / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(content, path.parents[1] / place)
    return path


def pointer(path, text):
    path.write_text(text)
    return path


# === One name ===


def test_a_link_of_git_annex(repository):
    scan = annexed(repository / "sub-01" / "a.nii.gz")
    message = rf"{scan} is not fetched yet; run: datalad get {scan} \(or git annex get {scan}\)\.$"
    with pytest.raises(ReadError, match=message):
        require_fetched(scan)
    with pytest.raises(ReadError, match=message):
        read_volume(scan)
    with pytest.raises(ReadError, match=message):
        find_scans([scan])
    write_volume(SCAN, repository / "b.nii.gz")
    scan.unlink()
    annexed(scan, repository / "b.nii.gz")
    assert not is_missing(scan)
    np.testing.assert_array_equal(read_volume(scan).array, SCAN.array)


@pytest.mark.parametrize(
    ("text", "command"),
    [(ANNEX_POINTER, "datalad get"), (LFS_POINTER, "git lfs pull")],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mgz", "a.mha", "a.dcm", "a"])
def test_a_pointer_is_no_damaged_file(tmp_path, text, command, name):
    scan = pointer(tmp_path / name, text)
    with pytest.raises(ReadError, match=rf"{name} is not fetched yet; run: {command}"):
        read_volume(scan)


def test_a_link_to_nothing_and_what_is_there(tmp_path):
    (tmp_path / "a.nii").symlink_to("/archive/a.nii")
    with pytest.raises(ReadError, match=r"is a link to /archive/a\.nii, which is not there"):
        read_volume(tmp_path / "a.nii")
    assert leads_nowhere(tmp_path / "a.nii")
    (tmp_path / "b").write_text("/annex/other")
    (tmp_path / "c").mkdir()
    (tmp_path / "d").write_bytes(LFS_POINTER.encode() + bytes(1 << 16))  # too long for a pointer
    assert not any(is_missing(tmp_path / name) for name in ("b", "c", "d", "nothing"))


@pytest.mark.parametrize("missing", [".img", ".hdr"])
def test_half_of_a_pair(shared_data, tmp_path, missing):
    for suffix in (".hdr", ".img"):
        source = shared_data / "odd" / f"mr_pair_20slices{suffix}"
        if suffix != missing:
            shutil.copy(source, tmp_path / f"a{suffix}")
    pointer(tmp_path / f"a{missing}", ANNEX_POINTER)
    for suffix in (".hdr", ".img"):
        with pytest.raises(ReadError, match=rf"a\{missing} is not fetched yet"):
            read_volume(tmp_path / f"a{suffix}")


def detached(folder):
    """A MetaImage header, and the voxels that it names beside it."""
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 3 4 5\nElementType = MET_SHORT\n"
        "ElementSpacing = 1 2 3\nElementDataFile = a.raw\n"
    )
    (folder / "a.mhd").write_text(header)
    voxels = folder.parent / "voxels"
    voxels.write_bytes(SCAN.array.tobytes(order="F"))
    return voxels


def test_voxels_beside_their_header(repository):
    voxels = detached(repository / "sub-01")
    raw = annexed(repository / "sub-01" / "a.raw")
    with pytest.raises(ReadError, match=r"a\.raw is not fetched yet"):
        read_volume(repository / "sub-01" / "a.mhd")
    raw.unlink()
    annexed(raw, voxels)
    np.testing.assert_array_equal(read_volume(repository / "sub-01" / "a.mhd").array, SCAN.array)


def test_only_the_annex_of_the_repository_around_is_trusted(repository, tmp_path):
    voxels = detached(repository / "sub-01")
    other = tmp_path / "other" / ".git" / "annex" / "objects"
    other.mkdir(parents=True)
    shutil.copy(voxels, other / "x")
    (repository / "sub-01" / "a.raw").symlink_to(other / "x")
    assert not is_in_annex(repository / "sub-01" / "a.raw")
    with pytest.raises(ReadError, match="lies outside its folder"):
        read_volume(repository / "sub-01" / "a.mhd")


# === Folders ===


def test_a_series_that_is_not_fetched(repository):
    for number in range(3):
        annexed(repository / "sub-01" / f"IM{number:04}")
    annexed(repository / "sub-01" / "notes.txt")
    (repository / "sub-02").mkdir()
    pointer(repository / "sub-02" / "1.2.840.7", ANNEX_POINTER)
    pointer(repository / "sub-02" / "README", ANNEX_POINTER)
    assert find_scans([repository]) == [repository / "sub-01", repository / "sub-02"]
    with pytest.raises(ReadError, match=r"IM0000 is not fetched yet; run: datalad get"):
        read_volume(repository / "sub-01")
    with pytest.raises(ReadError, match=r"1\.2\.840\.7 is not fetched yet"):
        read_volume(repository / "sub-02")


def test_data_sets_and_folders_that_are_not_there(tmp_path):
    (tmp_path / "data" / "sub-02").mkdir(parents=True)
    (tmp_path / "data" / "empty").mkdir()
    (tmp_path / "data" / "sub-01").symlink_to("/archive/sub-01")
    (tmp_path / "data" / "notes.txt").symlink_to("/archive/notes.txt")
    (tmp_path / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = data/sub-02\n\turl = ../x\n[submodule "y"]\n\tpath = y\n'
    )
    scans = [tmp_path / "data" / name for name in ("sub-01", "sub-02")]
    assert find_scans([tmp_path]) == scans
    with pytest.raises(ReadError, match="is a link to /archive/sub-01, which is not there"):
        read_volume(scans[0])
    with pytest.raises(ReadError, match=r"not installed yet; run: datalad get .*sub-02\.$"):
        read_volume(scans[1])


def test_a_folder_run_names_all_of_them(repository, tmp_path):
    subject = repository / "sub-01"
    write_volume(SCAN, subject / "a.nii")
    annexed(subject / "b.nii.gz")
    pointer(subject / "c.nii", LFS_POINTER)
    (repository / "sub-02").symlink_to("/archive/sub-02")
    arguments = ["interpolate", repository, "-o", tmp_path / "out", "--model", "linear"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{tmp_path}/out/sub-01/a.nii: 3 x 4 x 9 voxels")
    failed = [line for line in result.stderr.splitlines() if line.startswith("Failed: ")]
    assert len(failed) == 3
    assert (
        f"{subject}/b.nii.gz is not fetched yet; run: datalad get {subject}/b.nii.gz" in failed[0]
    )
    assert f"{subject}/c.nii is not fetched yet; run: git lfs pull" in failed[1]
    assert f"{repository}/sub-02 is a link to /archive/sub-02" in failed[2]
