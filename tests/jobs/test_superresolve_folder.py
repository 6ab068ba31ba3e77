"""Folders of scans made finer: names, places, sidecars, what is done already, and BIDS."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import run

from medgen.jobs.done import is_done
from medgen.jobs.runners import attempt
from medgen.jobs.superresolve import Task
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


def write_scan(path, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(phantom_volume("ct", (9, 8, 4), (40.0, 40.0, 60.0), seed), path)
    return path


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a.nii.gz", "p1/b.nrrd")):
        write_scan(tmp_path / "scans" / name, seed)
    told = {"SliceThickness": 60, "SpacingBetweenSlices": 60, "Manufacturer": "Acme"}
    (tmp_path / "scans" / "a.json").write_text(json.dumps(told))
    return tmp_path / "scans"


def test_a_folder_is_worked_through_and_gone_on_with(folder, tmp_path):
    out = tmp_path / "out"
    words = ["superresolve", folder, "-o", out, "--model", "linear", "--factor", 3]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("27 x 24 x 12 voxels") == 2
    for name in ("a.nii.gz", "p1/b.nrrd"):
        coarse, finer = read_volume(folder / name), read_volume(out / name)
        assert finer.geometry == coarse.geometry.subdivide(3)
    facts = json.loads((out / "a.json").read_text())
    assert (facts["factor"], facts["Manufacturer"]) == (3, "Acme")
    assert facts["SpacingBetweenSlices"] == pytest.approx(20)
    assert facts["acquired_slices"]["SliceThickness"] == 60
    assert "SliceThickness" not in facts

    (out / "p1" / "b.nrrd").unlink()
    again = run(*words)
    assert "a.nii.gz is there already." in again.stdout
    assert "b.nrrd: 27 x 24 x 12 voxels" in again.stdout
    other = run(*words[:-1], 2)
    assert other.exit_code == 1
    assert "2 of 2 scans failed" in other.output
    assert "exists" in (out / "failures.csv").read_text()

    for wrong, sentence in (
        (["--uncertainty", tmp_path / "u"], "leave it out for a folder"),
        (["--model", "nothing"], "no model named 'nothing'"),
    ):
        refused = run("superresolve", folder, "-o", tmp_path / "new", *wrong)
        assert refused.exit_code in (1, 2)
        assert sentence in " ".join(refused.output.split())
        assert not (tmp_path / "new").exists()
    refused = run("superresolve", folder / "a.nii.gz", "-o", tmp_path / "x.nii", "--jobs", 2)
    assert "a.nii.gz is one scan" in " ".join(refused.output.split())


def test_what_is_done_follows_from_options_and_bytes(folder, tmp_path):
    task = Task(folder / "a.nii.gz", tmp_path / "a.nii.gz", "nearest")
    assert not is_done(task)
    assert "by nearest" in attempt(task).line
    assert attempt(task).line.endswith("is there already.")
    assert is_done(task)
    for change in ({"factor": 3}, {"in_plane": True}, {"model": "linear"}, {"modality": "mr"}):
        assert not is_done(replace(task, **change))
    write_volume(phantom_volume("ct", (9, 8, 4), (40.0, 40.0, 60.0), 9), task.scan, overwrite=True)
    assert not is_done(task)


def test_a_bids_data_set_becomes_a_derivative(tmp_path):
    root, out = tmp_path / "bids", tmp_path / "derivative"
    image = write_scan(root / "sub-01" / "anat" / "sub-01_CT.nii.gz")
    labels = np.digitize(read_volume(image).array, (-500, 100)).astype(np.uint8)
    scan = read_volume(image)
    write_volume(
        scan.with_array(labels, scan.geometry), root / "sub-01" / "anat" / "sub-01_dseg.nii.gz"
    )
    (root / "dataset_description.json").write_text('{"Name": "Chests", "BIDSVersion": "1.8.0"}')
    refused = run("superresolve", root, "-o", out, "--model", "lanczos")
    assert "give --factor beside --model" in refused.output
    done = run("superresolve", root, "-o", out, "--model", "lanczos", "--factor", 2)
    assert done.exit_code == 0, done.output
    place = out / "sub-01" / "anat"
    assert read_volume(place / "sub-01_res-2x_CT.nii.gz").shape == (18, 16, 8)
    split = read_volume(place / "sub-01_res-2x_dseg.nii.gz").array
    np.testing.assert_array_equal(split, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    facts = json.loads((place / "sub-01_res-2x_CT.json").read_text())
    assert facts["Sources"] == ["bids:raw:sub-01/anat/sub-01_CT.nii.gz"]
    assert facts["Resolution"] == (
        "Voxels of 20 x 20 x 30 mm, where those of the source are of 40 x 40 x 60 mm."
    )
    told = json.loads((out / "dataset_description.json").read_text())
    assert told["Name"] == "Chests, finer voxels"
    assert "all of them estimates" in told["GeneratedBy"][0]["Description"]
    assert (out / "README.md").read_text().startswith("# Finer voxels\n")
