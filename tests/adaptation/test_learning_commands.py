"""`medgen interpolate --adapt-steps`, `evaluate --adapt-steps` and `adapt`, on a tiny model."""

import json
import shutil
from dataclasses import replace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from test_adapting import TINY, gentle  # noqa: F401

from medgen import memory
from medgen.adaptation import judging
from medgen.adaptation.adapting import Learning
from medgen.adaptation.naming import learning_recreators
from medgen.bundles.bundle import load_bundle, save_bundle
from medgen.cli import main
from medgen.cli.evaluate import _recreators, evaluate
from medgen.families.pixelminer import adapt
from medgen.intensities.rule import IntensityRule
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    bundle = replace(adapt.untaught(IntensityRule("ct"), TINY, seed=3), name="tiny")
    save_bundle(bundle, folder / "tiny", "card")
    scan = phantom_volume("ct", (24, 28, 17), (3.0, 3.0, 6.0), seed=1)
    write_volume(scan, folder / "scan.nii.gz")
    return folder


@pytest.fixture(autouse=True)
def ahead(monkeypatch):
    for name, value in (("AHEAD_DB", -1e3), ("EDGES_LOST", 10.0), ("NOISE_LOST", 1e3)):
        monkeypatch.setattr(judging, name, value)


def medgen(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_interpolate_tells_what_was_learnt(place, tmp_path):
    result = medgen(
        "interpolate", place / "scan.nii.gz", "-o", tmp_path / "out.nii", "--model",
        place / "tiny", "--decode", "mean", "--adapt-steps", 2, "--slice-thickness", 5,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (
        "Note: tiny adapted to this scan in 2 steps: where 6 rows and columns of pixels were"
        in result.stderr
    )
    assert "by tiny+adapt, from" in result.stdout
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["options"]["adapt_steps"] == 2
    facts = told["adaptation"]
    assert (facts["steps"], facts["held_out"], facts["taught_gap_mm"]) == (2, "rows 9-14", 6.0)
    assert (facts["slice_thickness_mm"], facts["slice_thickness_from"]) == (5.0, "user")
    assert {path.name for path in tmp_path.iterdir()} == {"out.nii", "out.json"}


def test_interpolate_without_learning_tells_nothing_of_it(place, tmp_path):
    words = ["interpolate", place / "scan.nii.gz", "-o", tmp_path / "out.nii", "--model", "linear"]
    assert medgen(*words).exit_code == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert "adaptation" not in told
    assert not [name for name in told["options"] if "adapt" in name or "thickness" in name]


@pytest.mark.slow
def test_evaluate_learns_from_the_slices_that_methods_see(place, tmp_path):
    scan = phantom_volume("ct", (50, 48, 33), (3.0, 3.0, 6.0), seed=1)
    write_volume(scan, tmp_path / "scan.nii.gz")
    result = medgen(
        "evaluate", tmp_path / "scan.nii.gz", "-o", tmp_path / "report", "--method", "linear",
        "--method", f"{place / 'tiny'}:decode=mean", "--adapt-steps", 2, "--jobs", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.stdout.splitlines()[1:4]]
    assert rows == ["linear", "tiny:decode=mean", "tiny+adapt:decode=mean"]
    assert (
        "where 8 rows and columns of pixels were left out" in result.stderr
    )  # 12 mm of the 17 seen


def test_models_of_one_name_learn_apart(place, tmp_path):
    other = shutil.copytree(place / "tiny", tmp_path / "tiny")
    names = [str(place / "tiny"), f"{place / 'tiny'}:decode=mean", str(other)]
    functions = learning_recreators(names, Learning(steps=1))
    assert list(functions) == [f"{names[0]}+adapt", "tiny+adapt:decode=mean", f"{other}+adapt"]
    drawn, mean, others = (each.keywords["interpolator"].lessons for each in functions.values())
    assert drawn is mean
    assert others is not mean


@pytest.mark.parametrize(
    ("steps", "expected"), [(None, ["tiny", "self"]), (2, ["tiny", "self", "tiny+adapt"])]
)
def test_evaluate_adapts_what_it_is_asked_to(place, steps, expected):
    learning = {"minutes": None, "steps": steps, "thickness_mm": None}
    with click.Context(evaluate):
        made = _recreators(("self", str(place / "tiny")), 0, learning)
    assert list(made) == expected


def test_a_model_is_written(place, tmp_path):
    words = ["adapt", place / "scan.nii.gz", "-o", tmp_path / "own", "--model", place / "tiny"]
    result = medgen(*words, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"Model written to {tmp_path / 'own'}.\n")
    bundle = load_bundle(tmp_path / "own")
    assert bundle.rule == IntensityRule("ct")
    card = (tmp_path / "own" / "README.md").read_text()
    assert "--steps 2" in card
    assert "adapted to, without rows 9-14" in card
    assert "already holds a trained model" in medgen(*words).output
    result = medgen(
        "interpolate", place / "scan.nii.gz", "-o", tmp_path / "out.nii", "--model",
        tmp_path / "own", "--decode", "mean", "--no-check",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read_volume(tmp_path / "out.nii").shape == (24, 28, 33)


def test_a_scan_that_memory_has_no_room_to_learn_from_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**28)
    words = ["adapt", place / "scan.nii.gz", "-o", tmp_path / "own", "--model", place / "tiny"]
    result = medgen(*words, "--steps", 2)
    assert result.exit_code == 1
    assert "Learning from the scan needs about 0.5 GiB of memory" in result.output
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_goes_on_to_the_same_model(place, tmp_path, monkeypatch):
    words = ["adapt", place / "scan.nii.gz", "--model", place / "tiny", "--steps", 6, "-o"]
    assert medgen(*words, tmp_path / "at_once").exit_code == 0
    batch = adapt.AdaptationTask.batch

    def interrupted(task, step):
        if step == 5:
            raise KeyboardInterrupt
        return batch(task, step)

    monkeypatch.setattr(adapt.AdaptationTask, "batch", interrupted)
    assert medgen(*words, tmp_path / "parts").exit_code == 130
    monkeypatch.setattr(adapt.AdaptationTask, "batch", batch)
    assert "continue it with --resume" in medgen(*words, tmp_path / "parts").output
    resumed = [*words, tmp_path / "parts", "--resume"]
    assert "started with another recipe, seed" in medgen(*resumed, "--seed", 1).output
    result = medgen(*resumed)
    assert result.exit_code == 0, result.output
    whole, parts = (load_bundle(tmp_path / name) for name in ("at_once", "parts"))
    for a, b in zip(*(each.nets["pixelminer"].weights for each in (whole, parts)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((tmp_path / "parts").glob("*.npz"))
    assert "--resume" not in (tmp_path / "parts" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "linear", "--adapt-steps", 2], "linear cannot learn from a scan"),
        (["--model", "ct-two-stage", "--adapt", 1], "ct-two-stage cannot learn from a scan"),
        (["--model", "self", "--decode", "mean"], "samples nothing and takes no decode"),
        (["--slice-thickness", 5], "is for a model that learns from the scan"),
        (["--adapt", 1, "--adapt-steps", 2], "Give --adapt or --adapt-steps, not both"),
        (["--adapt", 1, "--resume"], "keeps nothing to go on from; leave out --resume"),
        (["--model", "self", "--resume"], "keeps nothing to go on from; leave out --resume"),
        (["--adapt", 1, "--modality", "labels"], "is a label map, from which no model learns"),
    ],
)
def test_what_makes_no_sense_is_refused(place, tmp_path, words, message):
    result = medgen("interpolate", place / "scan.nii.gz", "-o", tmp_path / "a.nii", *words)
    assert result.exit_code != 0
    assert message in result.output
    assert not list(tmp_path.iterdir())
