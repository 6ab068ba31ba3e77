"""From phantoms to a two-stage model and what it makes, by commands alone."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import assert_refused, run, succeed
from skimage.io import imread

from medgen.bundles.bundle import load_bundle
from medgen.phantoms.phantom import phantom_volume
from medgen.training.checkpoint import FolderStore
from medgen.volumes import Geometry, Volume, read_volume, write_volume

VQVAE = {
    "filters": 8,
    "residual_blocks": 1,
    "num_embeddings": 16,
    "embedding_dim": 4,
    "crop": 16,
    "batch_size": 4,
    "steps": 12,
    "validate_every": 8,
}
PRIOR = {
    "filters": 8,
    "blocks": 2,
    "conditioner_filters": 8,
    "conditioner_blocks": 1,
    "dropout": 0.0,
    "max_gap_mm": 30.0,
    "crop": 6,
    "batch_size": 4,
    "steps": 6,
    "validate_every": 4,
}


def assert_misused(result, message):
    """Wrong options: click's usage and one line."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Usage: ")
    assert message in result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Two CT in a folder, recipes, and the models trained on them."""
    folder = tmp_path_factory.mktemp("work of a user")
    (folder / "data").mkdir()
    for seed, slices in enumerate((18, 5)):
        volume = phantom_volume("ct", (32, 36, slices), (10.0, 8.0, 12.0), seed=seed)
        write_volume(volume, folder / "data" / f"ct{slices}.nii.gz")
    mr = phantom_volume("mr", (32, 36, 4), (6.0, 6.0, 9.0), seed=1)
    write_volume(mr, folder / "mr.nii.gz")
    (folder / "vqvae.json").write_text(json.dumps(VQVAE))
    (folder / "prior.json").write_text(json.dumps(PRIOR))
    return folder


@pytest.fixture(scope="module")
def vqvae_run(work):
    return succeed(
        *("train-vqvae", work / "data", "-o", work / "vqvae", "--recipe", work / "vqvae.json")
    )


@pytest.fixture(scope="module")
def prior_run(work, vqvae_run):
    return succeed(
        *("train-prior", work / "data", "--vqvae", work / "vqvae", "-o", work / "model"),
        *("--recipe", work / "prior.json", "--seed", 3),
        env={"FORCE_COLOR": "1"},
    )


@pytest.fixture(scope="module")
def model(work, prior_run) -> Path:
    return work / "model"


# === Training ===


def test_a_first_stage(work, vqvae_run):
    lines = vqvae_run.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["step", "8"], ["step", "12"]]
    for name in ("loss", "ssim", "psnr_db", "codebook_usage", "perplexity", "train_nll"):
        assert f"  {name} " in lines[0]
    assert lines[-1] == f"Model written to {work / 'vqvae'}."
    assert {path.name for path in (work / "vqvae").iterdir()} == {
        *("README.md", "recipe.json", "intensity.json", "metrics.json", "vqvae.weights.h5"),
        *("metrics.csv", "logs"),
    }
    recipe = json.loads((work / "vqvae" / "recipe.json").read_text())
    assert (recipe["kind"], recipe["format_version"]) == ("vqvae", 1)
    assert VQVAE.items() <= recipe["vqvae"].items()
    assert load_bundle(work / "vqvae").rule.modality == "ct"
    measured = json.loads((work / "vqvae" / "metrics.json").read_text())["vqvae"]
    rows = np.genfromtxt(work / "vqvae" / "metrics.csv", delimiter=",", names=True)
    best = rows[rows["loss"].argmin()]
    assert {name: best[name] for name in measured} == pytest.approx(measured)


def test_a_second_stage(work, prior_run):
    lines = prior_run.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["step", "4"], ["step", "6"]]
    for name in ("bits_per_code", "bits_per_code_shuffled", "unigram_bits"):
        assert f"  {name} " in lines[0]
    # On a terminal a bar with the loss and the steps.
    assert "6/6" in prior_run.stderr
    assert "loss" in prior_run.stderr
    first, second = load_bundle(work / "vqvae"), load_bundle(work / "model")
    assert (second.kind, second.name) == ("two-stage", "model")
    for a, b in zip(first.nets["vqvae"].weights, second.nets["vqvae"].weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.metrics["vqvae"] == first.metrics["vqvae"]
    assert second.metrics["prior"].keys() >= {"bits_per_code", "unigram_bits"}


def test_the_command_in_the_card_trains_the_same_model_again(work, vqvae_run):
    card = (work / "vqvae" / "README.md").read_text()
    (line,) = (line for line in card.splitlines() if line.startswith("    medgen "))
    _, *words = shlex.split(line)
    words[words.index("-o") + 1] = str(work / "again")
    assert succeed(*words).stdout.count("step") == 2
    a, b = load_bundle(work / "vqvae"), load_bundle(work / "again")
    for one, other in zip(a.nets["vqvae"].weights, b.nets["vqvae"].weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "| ct18.nii.gz | " in card
    assert "12 x 10 x 8" in card


def test_options_replace_the_recipe_s(work, tmp_path, monkeypatch):
    monkeypatch.setattr("medgen.families.vqvae.fit.LOW_USAGE", 1.1)
    result = succeed(
        *("train-vqvae", work / "data" / "ct5.nii.gz", "-o", tmp_path / "new" / "out"),
        *("--recipe", work / "vqvae.json", "--validation", work / "data" / "ct18.nii.gz"),
        *("--steps", 2, "--batch-size", 3, "--learning-rate", 0.5),
    )
    recipe = load_bundle(tmp_path / "new" / "out").recipes["vqvae"]
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate) == (2, 3, 0.5)
    assert recipe.filters == 8
    card = (tmp_path / "new" / "out" / "README.md").read_text()
    assert "| ct5.nii.gz | 0-4 | 12 x 10 x 8 | training |" in card
    assert "| ct18.nii.gz | 0-17 | 12 x 10 x 8 | validation |" in card
    assert "of the codebook is used; lower num_embeddings or train longer." in result.stderr


def test_a_run_of_minutes_ends_with_a_model(work, tmp_path):
    """As fast as the machine is; the command in the card asks for the same time."""
    recipe = work / "vqvae.json"
    command = ("train-vqvae", work / "data", "-o", tmp_path / "out", "--recipe", recipe)
    assert_refused(run(*command, "--minutes", 1, "--steps", 3), "Give --steps or --minutes")
    result = succeed(*command, "--minutes", 0.02)
    *validations, last = result.stdout.splitlines()
    assert validations[-1].startswith("step ")
    assert last == f"Model written to {tmp_path / 'out'}."
    assert " --minutes 0.02 " in (tmp_path / "out" / "README.md").read_text()


def test_an_interrupted_run_continues(work, vqvae_run, tmp_path, monkeypatch):
    command = ("train-vqvae", work / "data", "-o", tmp_path, "--recipe", work / "vqvae.json")
    keep = FolderStore.keep

    def interrupt(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "keep", interrupt)
        interrupted = run(*command)
    assert interrupted.exit_code == 130
    assert interrupted.stderr.strip() == "Interrupted; no output is half written."
    assert_refused(run(*command), "unfinished run; continue it with --resume")
    assert_refused(
        run(*command, "--resume", "--seed", 1),
        "another recipe, seed, number of workers or other data",
    )
    resumed = succeed(*command, "--resume")
    assert [line.split()[1] for line in resumed.stdout.splitlines()[:-1]] == ["12"]
    a, b = load_bundle(work / "vqvae"), load_bundle(tmp_path)
    for one, other in zip(a.nets["vqvae"].weights, b.nets["vqvae"].weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert a.metrics == b.metrics
    assert "--resume" not in (tmp_path / "README.md").read_text()
    assert not list(tmp_path.glob("*.npz"))
    assert_refused(run(*command, "--resume"), "already holds a trained model")


# === What the model makes ===


def test_interpolate(work, model, tmp_path):
    scan = work / "data" / "ct5.nii.gz"
    for name in "ab":
        out = tmp_path / f"{name}.nii.gz"
        result = succeed("interpolate", scan, "-o", out, "--model", model, "--seed", 4)
        assert result.stdout == (
            f"{out}: 32 x 36 x 9 voxels of 10 x 8 x 6 mm by model, "
            "from 32 x 36 x 5 voxels of 10 x 8 x 12 mm\n"
        )
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    before, after = read_volume(scan), read_volume(tmp_path / "a.nii.gz")
    assert after.array.dtype == before.array.dtype
    np.testing.assert_array_equal(after.array[..., ::2], before.array)
    assert after.geometry == before.geometry.refine(2, 2)


def test_interpolate_refuses_what_the_model_cannot_do(work, model, tmp_path):
    scan, out = work / "data" / "ct5.nii.gz", tmp_path / "out.nii.gz"
    for arguments, message in (
        ((work / "mr.nii.gz", "--model", model), "trained on CT and the scan looks like MR"),
        ((scan, "--model", work / "vqvae"), "vqvae is a VQ-VAE without a prior"),
        ((scan, "--model", work / "data"), "no complete model: recipe.json is missing"),
    ):
        assert_refused(run("interpolate", *arguments, "-o", out), message)
    assert not list(tmp_path.iterdir())


def test_reconstruct(work, model, tmp_path):
    scan, out = work / "data" / "ct5.nii.gz", tmp_path / "out.nii.gz"
    result = succeed("reconstruct", scan, "-o", out, "--model", model)
    first, second = result.stdout.splitlines()
    assert first.startswith("5 slices: mean SSIM 0.")
    assert "dB over -1024 … 1023; " in first
    assert first.endswith("% of the codebook used")
    assert second == f"{out} written"
    before, after = read_volume(scan), read_volume(out)
    assert after.geometry == before.geometry
    assert after.array.dtype == before.array.dtype
    assert (after.array != before.array).mean() > 0.5
    assert_refused(
        run("reconstruct", scan, "-o", out, "--model", model), "exists; choose another name"
    )
    assert_refused(
        run("reconstruct", scan, "-o", tmp_path / "b.nii", "--model", "none"), "no model named"
    )


def test_reconstruct_nothing_but_air(model, tmp_path):
    air = Volume(np.full((9, 8, 3), -1000, np.int16), Geometry.from_spacing((9, 8, 3), (1, 1, 4)))
    write_volume(air, tmp_path / "air.nii.gz")
    result = succeed(
        *("reconstruct", tmp_path / "air.nii.gz", "-o", tmp_path / "out.nii", "--model", model),
        *("--modality", "ct"),
    )
    assert "none has the contrast or the size to be measured" in result.stdout


def test_sample(model, tmp_path):
    command = ("sample", "--model", model, "-n", 5, "--size", "18,22", "-o", tmp_path / "new")
    result = succeed(*command)
    assert result.stdout == f"5 slices of 18 x 22 pixels (HU) written to {tmp_path / 'new'}\n"
    slices = read_volume(tmp_path / "new" / "samples.nii.gz")
    assert slices.shape == (18, 22, 5)
    assert -1024 <= slices.array.min() < slices.array.max() <= 1023
    sheet = imread(tmp_path / "new" / "samples.png")
    # Three by two slices with a margin of two pixels.
    assert sheet.shape == (3 * 20 + 2, 3 * 24 + 2)
    gray = np.clip((slices.array[..., 0] + 1024) / 2047, 0, 1) * 255
    np.testing.assert_allclose(sheet[2:20, 2:24], gray, atol=1)
    assert_refused(run(*command), "already holds samples; add --overwrite")
    succeed(*command, "--overwrite", "--seed", 1)
    assert (read_volume(tmp_path / "new" / "samples.nii.gz").array != slices.array).any()


def test_sample_refuses(work, model, tmp_path):
    (tmp_path / "file").write_text("mine")
    for arguments, message in (
        (("--model", work / "vqvae", "-o", tmp_path / "out"), "no prior to sample"),
        (("--model", tmp_path, "-o", tmp_path / "out"), "recipe.json is missing"),
        (("--model", model, "-o", tmp_path / "file"), "cannot be a folder"),
        (("--model", model, "-o", tmp_path / "out", "--size", "0,8"), "at least 1, got"),
    ):
        assert_refused(run("sample", *arguments), message)
    for size in ("8", "8,9,10", "a,b"):
        result = run("sample", "--model", model, "-o", tmp_path / "out", "--size", size)
        assert_misused(result, "expected two whole numbers such as 80,80")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# === Wrong input ===


@pytest.fixture
def wrong(work, tmp_path) -> Path:
    """Folders and files with which no training can start."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no scan")
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "recipe.json").write_text("{}")
    (tmp_path / "bad.json").write_text('{"filters": "many"}')
    one = phantom_volume("ct", (20, 22, 1), (16.0, 16.0, 20.0), seed=0)
    write_volume(one, tmp_path / "one.nii.gz")
    array = np.full((9, 10, 12), -500, np.float32)
    array[2, 3, 4] = np.nan
    nan = Volume(array, Geometry.from_spacing(array.shape, (1, 1, 2)))
    write_volume(nan, tmp_path / "nan.nii.gz")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("missing -o out", "missing does not exist; check the path."),
        ("empty -o out", "No scan in "),
        ("file -o out", "file is of no format medgen reads"),
        ("DATA MR -o out", "one modality, CT or MR; got ct: ct18.nii.gz, ct5.nii.gz; mr: mr.nii"),
        ("DATA -o trained", "trained already holds a trained model; choose another output."),
        ("DATA -o file", "file cannot be a folder to write to"),
        ("DATA -o file/below", "below cannot be a folder to write to"),
        (
            "DATA -o out --recipe huge",
            "'huge'; the recipes are default, oasis-80, small, conditional.",
        ),
        ("DATA -o out --recipe bad.json", "filters must be a whole number above 0, got 'many'"),
        ("DATA -o out --learning-rate nan", "learning_rate must be a finite number"),
        ("DATA -o out --validation empty", "No scan in "),
        ("DATA -o out --validation DATA", "no scans to train on besides those set aside"),
        (
            "DATA nan.nii.gz -o out --modality ct",
            "nan.nii.gz: The scan has 1 NaN or infinite voxels",
        ),
        ("one.nii.gz -o out", "too few slices to set some aside for validation"),
    ],
)
def test_no_first_stage_comes_of(work, wrong, monkeypatch, words, message):
    monkeypatch.chdir(wrong)
    places = {"DATA": work / "data", "MR": work / "mr.nii.gz"}
    arguments = [places.get(word, word) for word in words.split()]
    if "--recipe" not in words:
        arguments += ["--recipe", work / "vqvae.json"]
    assert_refused(run("train-vqvae", *arguments), message)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("DATA --vqvae none -o out", "There is no folder and no model named 'none'"),
        ("DATA --vqvae empty -o out", "empty is no complete model: recipe.json is missing"),
        ("DATA --vqvae trained -o out", "trained has format version None"),
        ("missing --vqvae VQVAE -o out", "missing does not exist"),
        ("MR --vqvae VQVAE -o out", "mr.nii.gz: This model was trained on CT"),
        ("DATA --vqvae VQVAE -o trained", "already holds a trained model"),
    ],
)
def test_no_second_stage_comes_of(work, vqvae_run, wrong, monkeypatch, words, message):
    monkeypatch.chdir(wrong)
    places = {"DATA": work / "data", "MR": work / "mr.nii.gz", "VQVAE": work / "vqvae"}
    arguments = [places.get(word, word) for word in words.split()]
    result = run("train-prior", *arguments, "--recipe", work / "prior.json")
    assert_refused(result, message)
    assert not Path("out").exists()


def test_a_prior_needs_three_slices_in_a_row(work, vqvae_run, wrong):
    result = run(
        *("train-prior", work / "data" / "ct5.nii.gz", "--vqvae", work / "vqvae"),
        *("-o", wrong / "out"),
        *("--recipe", work / "prior.json", "--validation", wrong / "one.nii.gz"),
    )
    assert_refused(result, "has three slices in a row")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train-vqvae -o out", "Missing argument 'DATA...'"),
        ("train-vqvae a", "Missing option '-o' / '--output'"),
        ("train-vqvae a -o out --steps 0", "Invalid value for '--steps'"),
        ("train-vqvae a -o out --batch-size x", "Invalid value for '--batch-size'"),
        ("train-vqvae a -o out --learning-rate 0", "Invalid value for '--learning-rate'"),
        ("train-vqvae a -o out --seed -1", "Invalid value for '--seed'"),
        ("train-prior a -o out", "Missing option '--vqvae'"),
        ("sample -o out", "Missing option '--model'"),
        ("sample --model a -o out -n 0", "Invalid value for '-n'"),
        ("reconstruct a -o out.nii", "Missing option '--model'"),
        ("train a", "No such command 'train'"),
    ],
)
def test_wrong_options(words, message):
    assert_misused(run(*words.split()), message)
