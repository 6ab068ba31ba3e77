import os

import pytest

from medgen.volumes.walk import walk


def names(folder, **options):
    return [str(path.relative_to(folder)) for path in walk(folder, **options)]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    for name in ("b/2", "b/10", "a/deep/1", ".hidden/x", "a/.y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "elsewhere" / "in").mkdir(parents=True)
    (tmp_path / "elsewhere" / "in" / "3").touch()
    return root


def test_every_file_in_order(tree):
    (tree / "empty").mkdir()
    assert names(tree) == ["a/deep/1", "b/10", "b/2", "empty"]
    assert names(tree, leave_out=[tree / "a", tree / "nothing"]) == ["b/10", "b/2", "empty"]
    (tree / "c").symlink_to(tree / "a")
    assert names(tree, leave_out=[tree / "a"]) == ["b/10", "b/2", "empty"]
    assert names(tree, leave_out=[tree]) == []


def test_links_are_followed(tree, tmp_path):
    (tree / "c").symlink_to(tmp_path / "elsewhere")
    (tree / "d").symlink_to(tree / "b")
    (tree / "e").symlink_to(tree / "b" / "2")
    (tree / "f").symlink_to(tmp_path / "nowhere")
    assert names(tree) == ["a/deep/1", "b/10", "b/2", "c/in/3", "d/10", "d/2", "e", "f"]


def test_links_that_lead_back_are_not(tree):
    (tree / "a" / "deep" / "up").symlink_to(tree / "a")
    (tree / "a" / "self").symlink_to(tree / "a" / "self")
    (tree / "a" / "b").symlink_to(tree / "b")
    (tree / "b" / "a").symlink_to(tree / "a")
    assert names(tree) == [
        "a/b/10", "a/b/2", "a/deep/1", "a/self",
        "b/10", "b/2", "b/a/deep/1", "b/a/self",
    ]  # fmt: skip


def test_a_folder_that_may_not_be_read(tree, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if path == tree / "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tree) == ["a", "b/10", "b/2"]
