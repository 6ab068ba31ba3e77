"""Every command of the README runs, on small scans where it names others, and prints what is shown.

Placeholders (SCAN, DATA, SCANS, ...) stand for scans that the tests make; recipes are small.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shown
import test_readme_serving
from click.testing import CliRunner
from nibabel.testing import data_path
from shown import ROOT, Command, assert_shown, block, commands
from skimage.data import immunohistochemistry
from skimage.io import imsave

from medgen import web
from medgen.cli import COMMANDS, main
from medgen.cli.bids_app import main as bids_app
from medgen.evaluation.budgets import BUDGETS
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

sys.path.insert(0, str(ROOT / "tests" / "volumes" / "dicom"))
sys.path.insert(0, str(ROOT / "tests" / "study"))
from dicom_slices import COUNT, make_slice, save
from simulated import answer_all

EXAMPLE = f"{data_path}/example4d.nii.gz"
SIDES = (24, 20)
TWO_STEPS = {"steps": 2, "validate_every": 2, "batch_size": 2}
VQVAE = {"filters": 8, "residual_blocks": 1, "embedding_dim": 4, "crop": 16}
PRIOR = {"filters": 8, "blocks": 2, "conditioner_filters": 8, "conditioner_blocks": 1, "crop": 4}
PIXELS = {"filters": 4, "blocks": 2, "conditioner_filters": 4, "crop": 16}
# What a script of `benchmarks/` is given in a test beside what README gives it.
SHORT = {
    "benchmarks/sampling.py": ["--size", "8", "--batch", "2", "--raster-positions", "1"],
    "benchmarks/interpolation.py": [],
}

MAKE = block("make demo")
BY_HAND = block("python3 -m venv")
INFO = block("$ medgen info")
INTERPOLATE = block("$ medgen interpolate $SCAN")
LABELS = block("medgen interpolate scan.nii.gz")
VIEW = block("medgen view")
DICOM = block("medgen interpolate SERIES_FOLDER")
MANY = block("medgen interpolate SCANS")
ADAPT = block("medgen adapt SCAN")
FINER = block("medgen superresolve scan.nii.gz")
ESPCN = block("medgen train-espcn")
MODELS = block("$ medgen models")
DOCTOR = block("$ medgen doctor")
EVALUATE = block("$ medgen evaluate")
READER = block("medgen evaluate SCANS")
STUDY = block("medgen study")
PIXELMINER = block("medgen train-pixelminer")
TWO_STAGE = block("medgen train-vqvae")
WORKERS = block("TF_CONFIG=")
OTHERS = block("medgen reconstruct")
MICROSCOPY = block("medgen train-autoencoder")
FINER_IMAGES = block("medgen train-image-espcn")
COMPLETION = block("eval")
DOCKER = block("docker run")
PYTHON = block("from medgen.interpolation import")
SAMPLING = block("$ python benchmarks/sampling.py")
SPEED = block("$ python benchmarks/interpolation.py")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_scan(path: str, modality: str = "ct", slices: int = 4) -> None:
    """A phantom of 24 x 20 pixels a slice."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shape, spacing = (*SIDES, slices), (1.5, 1.5, 3.0)
    write_volume(phantom_volume(modality, shape, spacing, seed=slices), Path(path))


def with_instead(command: Command, **others: object) -> list[str]:
    """Words after `medgen`, where what stands for a placeholder is a word or a list of words."""
    words = []
    for word in command.words[1:]:
        other = others.get(word.strip("$."), word)
        words += [str(each) for each in (other if isinstance(other, list) else [other])]
    return words


def run(words: list[str]) -> str:
    """What a `medgen` command prints; it must succeed."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_medgen_command_parses():
    """At once, also those that take long or run on other machines."""
    seen = set()
    for text in shown.blocks():
        for command in [] if text == PYTHON else commands(text):
            if "medgen" in command.words[:1]:
                name, *words = command.words[1:]
                main.get_command(None, name).make_context(name, words)
                seen.add(name)
    assert seen >= {"evaluate", "serve", "export", "train-vqvae", "train-prior", "train-pixelminer"}


def test_make_knows_its_targets():
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    for command in commands(MAKE):
        done = subprocess.run([*command.words, "-n"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_by_hand():
    lines = BY_HAND.splitlines()
    assert "'.[test]'" in lines[1]
    code = re.search(r"-c '(.*?)'", lines[2])[1]
    folder = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert folder.strip() + lines[2].split(")")[-1] == EXAMPLE
    (shown_below,) = commands(INTERPOLATE)
    assert lines[3].removeprefix(".venv/bin/") == " ".join(shown_below.words)
    assert lines[4] == ".venv/bin/pytest"


@pytest.mark.parametrize("text", [INFO, INTERPOLATE], ids=["info", "interpolate"])
def test_the_example_of_nibabel(text):
    (command,) = commands(text)
    assert_shown(run(with_instead(command, SCAN=EXAMPLE)), command.printed)


def test_labels_of_a_scan(place):
    make_scan("scan.nii.gz")
    scan = read_volume("scan.nii.gz")
    organs = np.digitize(scan.array, (-500, -100, 300)).astype(np.uint8)
    write_volume(scan.with_array(organs, scan.geometry), place / "organs.nii.gz")
    (command,) = commands(LABELS)
    run(with_instead(command))
    finer, labels = read_volume("finer.nii.gz"), read_volume("finer_organs.nii.gz")
    assert finer.geometry == labels.geometry
    assert finer.shape == (*SIDES, 7)
    assert set(np.unique(labels.array)) <= set(np.unique(organs))


def test_looking_at_a_finer_scan(monkeypatch):
    """All but the browser, see `tests/viewing`."""
    make_scan("scan.nii.gz")
    run(["interpolate", "scan.nii.gz", "-o", "finer.nii.gz", "--model", "linear"])
    served = []
    monkeypatch.setattr(web, "answer_until_stopped", lambda app, listening: served.append(app))
    (command,) = commands(VIEW)
    assert run([*with_instead(command), "--no-browser"]).startswith("Look at http://127.0.0.1:")
    assert len(served) == 1


def test_a_dicom_series():
    whole, with_gaps = commands(DICOM)
    series = save(Path("series"), [make_slice(k) for k in range(COUNT)])
    run(with_instead(whole, SERIES_FOLDER=series))
    assert len(list(Path("NEW_FOLDER").iterdir())) == 2 * COUNT - 1
    lacking = save(Path("lacking"), [make_slice(k) for k in range(COUNT) if k != 2])
    run(with_instead(with_gaps, SERIES_FOLDER=lacking, NEW_FOLDER="filled"))
    assert len(list(Path("filled").iterdir())) == COUNT


def test_a_folder_of_scans():
    make_scan("SCANS/a/ct.nii.gz")
    make_scan("SCANS/mr.mha", "mr")
    folder, _ = commands(MANY)
    run(with_instead(folder))
    assert {str(path) for path in Path("FINER").rglob("*.*") if path.suffix in (".gz", ".mha")} == {
        "FINER/a/ct.nii.gz",
        "FINER/mr.mha",
    }


@pytest.mark.slow
def test_a_model_for_a_scan(place):
    """In a step or two, of a tiny model."""
    from medgen.bundles.bundle import save_bundle
    from medgen.families.pixelminer.adapt import ALONE, untaught
    from medgen.intensities.rule import IntensityRule

    save_bundle(untaught(IntensityRule("ct"), replace(ALONE, crop=16)), place / "tiny", "card")
    make_scan("scan.nii.gz", slices=9)
    adapt, adapted, alone = commands(ADAPT)
    run([*with_instead(adapt, SCAN="scan.nii.gz"), "--model", "tiny", "--steps", "1"])
    words = with_instead(adapted, **{"SCAN": "scan.nii.gz", "5": "0.001"})
    run([*words, "--model", "own_model", "--decode", "mean"])
    assert "adaptation" in json.loads(Path("finer.json").read_text())
    run([*with_instead(alone, SCAN="scan.nii.gz"), "--adapt-steps", "1"])
    assert read_volume("alone.nii.gz").shape == (*SIDES, 17)


@pytest.mark.slow
def test_a_bids_data_set_on_a_cluster():
    distributed = pytest.importorskip("distributed")
    make_scan("BIDS_ROOT/sub-01/anat/sub-01_T1w.nii.gz", "mr")
    description = {"Name": "Heads", "BIDSVersion": "1.8.0"}
    Path("BIDS_ROOT/dataset_description.json").write_text(json.dumps(description))
    _, command = commands(MANY)
    words = with_instead(command)
    at = words.index("--scheduler") + 1
    assert re.fullmatch(r"tcp://\w+:\d+", words[at])
    with distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=None) as cluster:
        words[at] = cluster.scheduler_address
        run(words)
    assert Path("DERIVATIVE/sub-01/anat/sub-01_res-2x_T1w.nii.gz").exists()


def test_finer_voxels():
    make_scan("scan.nii.gz")
    by_model, series = commands(FINER)
    run(with_instead(by_model))
    sides = tuple(2 * n for n in (*SIDES, 4))
    for name in ("finer", "sure_std", "sure_low", "sure_high"):
        assert read_volume(f"{name}.nii.gz").shape == sides
    folder = save(Path("series"), [make_slice(k) for k in range(COUNT)])
    run(with_instead(series, SERIES_FOLDER=folder))
    assert len(list(Path("NEW_FOLDER").iterdir())) == 3 * COUNT


def test_training_what_makes_voxels_finer():
    make_scan("scan.nii.gz", "mr", slices=16)
    recipe = TWO_STEPS | {"filters": 4, "blocks": 1, "patch": 4}
    Path("espcn.json").write_text(json.dumps(recipe))
    train, compare = commands(ESPCN)
    run([*with_instead(train, DATA="scan.nii.gz"), "--recipe", "espcn.json"])
    *_, row, last = run([*with_instead(compare, SCAN="scan.nii.gz"), "--jobs", "1"]).splitlines()
    assert row.split()[0] == "model"
    assert last == "Report written to report."


@pytest.mark.parametrize("text", [MODELS, DOCTOR], ids=["models", "doctor"])
def test_what_is_said_of_models(text):
    (command,) = commands(text)
    assert_shown(run(with_instead(command)), command.printed)


@pytest.mark.slow
def test_an_evaluation_has_the_rows_and_columns_that_are_shown(place):
    """On a small phantom, so only words count."""
    (command,) = commands(EVALUATE)
    chest = phantom_volume("ct", (48, 40, 9), (1.9, 1.9, 2.0), seed=1)
    write_volume(chest, place / command.words[2])
    assert_shown(run(with_instead(command)), command.printed, numbers=False)


@pytest.mark.slow
def test_the_classical_rows_of_the_evaluation(shared_data):
    """Of the scan itself; who won how many features depends on the models, too."""
    (command,) = commands(EVALUATE)
    scan = shared_data / command.words[2]
    if not scan.exists():
        pytest.skip(f"{scan.name} is not there")
    words, models = with_instead(command), [w for w in command.words if w.startswith("ct-")]
    words = [str(scan) if word == scan.name else word for word in words]
    for model in models:
        at = words.index(model)
        del words[at - 1 : at + 1]
    table = run(words).splitlines()
    for line, row in zip(table[1:5], command.printed.splitlines()[1:5], strict=True):
        name, *values = line.split()
        shown_name, *expected = row.replace("–", "").split()
        assert name == shown_name
        assert_shown(" ".join(values[:-1]), " ".join(expected[:-1]))


def test_a_machine_reader_reads_what_is_shown(monkeypatch):
    """Two steps of its 300, by methods that take no time."""
    monkeypatch.setitem(BUDGETS, "default", replace(BUDGETS["default"], steps=2, batch=2))
    scans = ["a.nii.gz", "b.nii.gz"]
    for number, scan in enumerate(scans):
        write_volume(phantom_volume("ct", (40, 40, 5), (2.0, 2.0, 2.5), seed=number), Path(scan))
    (command,) = commands(READER)
    words = with_instead(command, SCANS=scans, **{"ct-pixelminer": "sinc"})
    titles, *rows, _ = run([*words, "--jobs", "1"]).splitlines()
    assert "told" in titles.split()
    assert [row.split()[0] for row in rows] == ["linear", "sinc"]


def test_a_reader_study(place):
    """What is served between is tested in `tests/study`; here readers are played."""
    prepare, read, report = commands(STUDY)
    for seed in (1, 2):
        chest = phantom_volume("ct", (24, 20, 41), (1.9, 1.9, 2.0), seed=seed)
        write_volume(chest, place / f"{seed}.nii.gz")
    scans = {"SCANS": ["1.nii.gz", "2.nii.gz"]}
    printed = run(with_instead(prepare, **scans, **{"ct-pixelminer": "nearest"}))
    assert "16 readers, 14 questions each" in printed
    assert read.words[2] == report.words[2] == "STUDY"
    answer_all(Path("STUDY"), lambda reader, pair: 0.7)
    assert run(with_instead(report)).endswith("Report written to REPORT.\n")


@pytest.fixture
def recipes(place):
    """Names of recipe files, by the recipe that README names."""
    pixels = {"from": "small", **PIXELS, **TWO_STEPS}
    first = {**pixels, "autoregressive": False}
    for name, fields in (
        ("vqvae", VQVAE | TWO_STEPS),
        ("prior", PRIOR | TWO_STEPS),
        ("pixels", pixels),
        ("no-autoregression", first),
    ):
        (place / f"{name}.json").write_text(json.dumps(fields))
    make_scan("data/a.nii.gz", slices=20)
    make_scan("data/b.nii.gz", slices=5)
    return {"DATA": "data", "no-autoregression": "no-autoregression.json"}


def test_training_a_pixel_level_model(recipes):
    prediction, drawing = commands(PIXELMINER)
    words = with_instead(prediction, **recipes)
    assert "no-autoregression.json" in words
    run(words)
    run([*with_instead(drawing, **recipes), "--recipe", "pixels.json"])
    assert "--start prediction" in Path("model/README.md").read_text()


def test_training_a_two_stage_model(recipes):
    first, second = commands(TWO_STAGE)
    run([*with_instead(first, **recipes), "--recipe", "vqvae.json"])
    run([*with_instead(second, **recipes), "--recipe", "prior.json"])
    assert "two-stage" in Path("model/recipe.json").read_text()


@pytest.mark.slow
def test_training_on_two_machines(recipes):
    """Both on this one."""
    (command,) = commands(WORKERS)
    config = json.loads(command.environment["TF_CONFIG"])
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in config["cluster"]["worker"]]
    config["cluster"]["worker"] = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    words = [*with_instead(command, **recipes), "--recipe", "pixels.json"]
    processes = []
    for index in range(len(sockets)):
        config["task"]["index"] = index
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "medgen", *words],
                env=os.environ | {"TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "by each of 2 workers" in Path("model/README.md").read_text()


def test_reconstruct_sample_and_phantom():
    make_scan("scan.nii.gz", "mr")
    for command in commands(OTHERS):
        run(with_instead(command, SCAN="scan.nii.gz"))
    assert read_volume("seen.nii.gz").shape == (*SIDES, 4)
    assert read_volume("samples/samples.nii.gz").shape[2] == 16
    assert read_volume("phantom.nii.gz").modality == "mr"


def test_microscopy_images(place):
    tissue = immunohistochemistry()
    for name, tile in (("tiles/a.png", tissue[:40, :51]), ("others/b.png", tissue[90:130, :40])):
        Path(name).parent.mkdir()
        imsave(name, tile)
    recipe = {"fine": 4, "coarse": 4, "narrow": 4, "blocks": 1, "crop": 24, **TWO_STEPS}
    Path("tiny.json").write_text(json.dumps(recipe))
    train, encode = commands(MICROSCOPY)
    run([*with_instead(train, IMAGES="tiles", OTHERS="others"), "--recipe", "tiny.json"])
    assert "autoencoder" in Path("autoencoder/recipe.json").read_text()
    run(with_instead(encode, IMAGES=["tiles", "others"]))
    assert np.load("encodings/a_encoding.npy").shape == (10, 13)
    assert Path("encodings/likeness.csv").read_text().count("\n") == 3


def test_finer_microscopy_images(place):
    tissue = immunohistochemistry()
    for name, tile in (("tiles/a.png", tissue[:40, :52]), ("others/b.png", tissue[90:130, :40])):
        Path(name).parent.mkdir()
        imsave(name, tile)
    recipe = {"filters": 4, "blocks": 1, "crop": 24, **TWO_STEPS}
    Path("tiny.json").write_text(json.dumps(recipe))
    train, make = commands(FINER_IMAGES)
    run([*with_instead(train, IMAGES="tiles", OTHERS="others"), "--recipe", "tiny.json"])
    printed = run(with_instead(make, IMAGES=["tiles", "others"]))
    methods = [line.split()[0] for line in printed.splitlines()[1:4]]
    assert methods == ["bicubic", "he-superres-x4", "finer"]


def test_the_container_is_given_what_was_exported():
    serve, export = commands(test_readme_serving.SERVE)
    (docker,) = commands(DOCKER)
    (curl,) = commands(test_readme_serving.CURL)
    folder, name = export.words[-1], serve.words[2]
    port = serve.words[serve.words.index("--port") + 1]
    assert f"$PWD/{folder}:/models/{name}" in docker.words
    assert f"MODEL_NAME={name}" in docker.words
    assert f"{port}:{port}" in docker.words
    assert curl.words[-1] == f"localhost:{port}/v1/models/{name}:predict"


def test_completion_is_what_click_offers():
    (variable,) = re.findall(r"(\w+)=bash_source medgen", COMPLETION)
    code = "from medgen.cli import main; main(prog_name='medgen')"
    for shell in ("zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {variable: f"{shell}_source"},
            capture_output=True,
            text=True,
        )
        assert f"{variable}={shell}_complete" in done.stdout


def test_from_python():
    make_scan("thick.nii.gz")
    exec(compile(PYTHON, "README.md", "exec"), {})
    assert read_volume("finer.nii.gz").shape == (*SIDES, 7)


@pytest.mark.slow
@pytest.mark.parametrize("text", [SAMPLING, SPEED], ids=["sampling", "interpolation"])
def test_benchmarks_print_what_is_shown(text):
    """In small, so only words count."""
    (command,) = commands(text)
    script, *words = command.words[1:]
    if "--scan" in words:
        make_scan(words[words.index("--scan") + 1])
    done = subprocess.run(
        [sys.executable, ROOT / script, *words, *SHORT[script]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    printed = re.sub(r"(\d)\.?\d*e[-+]\d+", r"\1", done.stdout)
    assert_shown(printed, command.printed, numbers=False)


def test_options_that_the_text_names_exist():
    prose = re.sub(r"^```.*?^```$", "", shown.README, flags=re.MULTILINE | re.DOTALL)
    named = {
        option
        for code in re.findall(r"`([^`]+)`", prose)
        for option in re.findall(r"--[\w-]+", code)
    }
    known = {
        option
        for command in [*(main.get_command(None, name) for name in COMMANDS), bids_app]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert len(named) > 20
    assert named <= known


def test_every_block_is_covered():
    """By a test of this module or of `test_readme_serving`."""
    for text in shown.blocks():
        assert any(text.startswith(start) for start in shown.COVERED), f"No test covers:\n{text}"
