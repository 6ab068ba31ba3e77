"""Whole or nothing, nothing replaced unasked, nothing left behind, nobody else's removed."""

import csv
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from medgen import storage
from medgen.errors import ReadError, WriteError
from medgen.storage import (
    checksum,
    claim,
    clear,
    csv_text,
    json_fields,
    make_folder,
    move,
    staging,
    write_text,
)


def make(path, *, overwrite=False, kind="file", before_move=lambda: None):
    """A file, or a folder with a file in it, that says `new`."""
    with staging(path) as folder:
        new = folder / "new"
        if kind == "folder":
            new.mkdir()
        (new / "a" if kind == "folder" else new).write_text("new")
        before_move()
        move(new, path, overwrite=overwrite)


def content(path):
    return (path / "a" if path.is_dir() else path).read_text()


# === Whole or nothing ===


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_appears_whole_and_leaves_nothing_else(tmp_path, kind):
    place = tmp_path / "x"
    before = []
    make(place, kind=kind, before_move=lambda: before.append(place.exists()))
    assert (before, content(place)) == ([False], "new")
    assert list(tmp_path.iterdir()) == [place]
    plain = tmp_path / "plain"
    plain.mkdir() if kind == "folder" else plain.touch()
    assert place.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("there", ["file", "folder", "dangling link"])
def test_what_appeared_meanwhile_is_not_replaced(tmp_path, kind, there):
    place = tmp_path / "x"

    def appear():
        if there == "file":
            place.write_text("theirs")
        elif there == "folder":
            place.mkdir()
            (place / "a").write_text("theirs")
        else:
            place.symlink_to(tmp_path / "nowhere")

    with pytest.raises(WriteError, match=r"x exists; choose another name or pass --overwrite\."):
        make(place, kind=kind, before_move=appear)
    if there == "dangling link":
        assert os.readlink(place) == str(tmp_path / "nowhere")
    else:
        assert content(place) == "theirs"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_overwriting(tmp_path, kind):
    place = tmp_path / "x"
    make(place, kind=kind)
    (place / "a" if kind == "folder" else place).write_text("old")
    if kind == "folder":
        (place / "b").touch()
    make(place, kind=kind, overwrite=True)
    assert content(place) == "new"
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "a"][: 1 + (kind == "folder")]


def test_a_folder_that_cannot_take_its_place_gives_the_old_one_back(tmp_path, monkeypatch):
    place, rename = tmp_path / "x", os.rename
    make(place, kind="folder")
    (place / "a").write_text("old")

    def fail(source, target):
        if Path(target) == place and Path(source).name == "new":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(WriteError, match=r"Cannot write .*x: Input/output error\."):
        make(place, kind="folder", overwrite=True)
    assert content(place) == "old"


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_without_hard_links(tmp_path, monkeypatch, there):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    place = tmp_path / "x"
    if there:
        with pytest.raises(WriteError, match="exists"):
            make(place, before_move=lambda: place.write_text("theirs"))
    else:
        make(place)
    assert content(place) == ("theirs" if there else "new")
    assert list(tmp_path.iterdir()) == [place]
    place.unlink()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WriteError, match="Operation not permitted"):
        make(place)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(WriteError, match=r"Cannot write .*no/x: No such file or directory"):
        make(tmp_path / "no" / "x")
    with (
        pytest.raises(WriteError, match=r"No space left on device; make room\.$"),
        staging(tmp_path / "x", advice="; make room"),
    ):
        raise OSError(28, "No space left on device")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Cannot write to .*file"):
        make_folder(tmp_path / "file")


def test_the_longest_name(tmp_path):
    make(tmp_path / ("x" * 255))
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_name_that_is_no_text(tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    write_text(f"of {place.name}", place)
    assert place.read_bytes() == b"of \\udcff"


# === After a kill, and beside others ===

HOLDING = """
import sys, time
from pathlib import Path
from medgen.storage import staging
with staging(Path(sys.argv[1])) as folder:
    (folder / "half").mkdir()
    (folder / "half" / "file").write_text("half")
    print("there", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """A process that is making `x`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / "x"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "there\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def kill(process):
    process.kill()
    process.wait()


def test_what_a_killed_process_left_is_removed(tmp_path, other):
    kill(other)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".medgen-")
    foreign = [tmp_path / name for name in (".medgen-0123456789abcdef", ".medgen-mine", "x.y")]
    for path in foreign:
        path.mkdir()
    write_text("other", tmp_path / "other")
    assert left.exists()  # it is not that of `other`
    make(tmp_path / "x")
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, tmp_path / "other", tmp_path / "x"])


def test_what_a_killed_process_left_is_cleared(tmp_path, other):
    kill(other)
    clear(tmp_path / "y")
    assert len(list(tmp_path.iterdir())) == 1
    clear(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_live_process_is_waited_for(tmp_path, other):
    said, made = [], []

    def wait():
        with claim(tmp_path / "x", tell=said.append) as folder:
            made.append(sorted(path.name for path in folder.iterdir()))

    thread = threading.Thread(target=wait)
    thread.start()
    while not said:
        time.sleep(0.01)
    (folder,) = tmp_path.iterdir()
    assert (folder / "half" / "file").read_text() == "half"
    assert made == []
    kill(other)
    thread.join(60)
    assert made == [["lock"]]
    assert said == ["Another process is making the same output; waiting until it ends."]
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_take_turns(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(30):
            with claim(tmp_path / "x") as folder:
                inside.append(1)
                (folder / "file").touch(exist_ok=False)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 120
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_away_while_it_is_claimed(tmp_path, monkeypatch):
    """Between making the folder, as it is there, and opening its lock, as it is no longer."""
    there = Path.mkdir

    def mkdir(folder, *args, **kwargs):
        monkeypatch.setattr(Path, "mkdir", there)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with claim(tmp_path / "x") as folder:
        assert [path.name for path in folder.iterdir()] == ["lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with claim(tmp_path / "x") as one, claim(tmp_path / "x") as two:
        assert one != two
        assert one.parent == two.parent == tmp_path
    make(tmp_path / "x")
    assert content(tmp_path / "x") == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


# === Contents ===


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", "holds no|no JSON object of fields"),
        (b'{"a": 1', "no JSON file"),
        (b"\xff", "no JSON file"),
        (b"[" * 100_000, "no JSON file"),
        (b'{"a": "' + b"x" * 50 + b'"}', "longer than 50 bytes"),
    ],
)
def test_what_is_no_object_of_fields(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ReadError, match=rf"a\.json .*({message}).*; mend or remove it\."):
        json_fields(tmp_path / "a.json", longest=50 if "longer" in message else 1 << 20)


def test_fields(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa4"}')
    assert json_fields(tmp_path / "a.json") == {"a": "ä"}
    with pytest.raises(ReadError, match="No such file or directory"):
        json_fields(tmp_path / "b.json")


def test_checksum(tmp_path):
    name = os.fsdecode(b"\xff")
    for file in ("b", name):
        (tmp_path / file).write_text("text")
    sha = hashlib.sha256(b"text").hexdigest()
    assert checksum([tmp_path / "b"]) == sha
    listing = f"{sha}  b\n".encode() + f"{sha}  ".encode() + b"\xff\n"
    assert checksum([tmp_path / name, tmp_path / "b"]) == hashlib.sha256(listing).hexdigest()


def test_formulas_become_text_and_numbers_stay():
    cells = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=b", "ä", -1.5, -3, float("nan"), None]
    text = csv_text([["scan"], cells])
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [
        "'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "a=b", "ä", "-1.5", "-3", "nan", "",
    ]  # fmt: skip
    assert csv_text([[1 / 3, -2.0, 5, "-x"]], digits=3) == "0.333,-2,5,'-x\n"
    assert csv_text([[1 / 3]]) == f"{1 / 3!r}\n"


def test_importing_storage_loads_little():
    code = "import sys, medgen.storage; print([m for m in ('numpy', 'keras') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"
    assert storage.LONGEST_JSON == 1 << 26
