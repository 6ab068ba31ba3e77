"""What every command has in common: `--quiet`, `--json`, `--device`, exit codes, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run

import medgen.jobs.run
from medgen.cli import COMMANDS, main
from medgen.cli.bids_app import main as bids_app
from medgen.cli.device import tell_accelerator
from medgen.errors import BundleError
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

# Commands that compute with a trained model.
WITH_DEVICE = {
    "train-vqvae", "train-prior", "train-pixelminer", "train-autoencoder", "train-image-espcn",
    "train-espcn", "adapt", "interpolate", "superresolve", "reconstruct", "encode",
    "refine-images",
    "sample", "evaluate", "audit", "doctor", "serve", "study",
}  # fmt: skip


@pytest.fixture
def scan(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    volume = phantom_volume("ct", (16, 12, 5), (20.0, 18.0, 30.0), 1)
    write_volume(volume, Path("ct.nii.gz"))
    return "ct.nii.gz"


def options(command: str) -> set[str]:
    parameters = main.get_command(None, command).params
    return {option for parameter in parameters for option in parameter.opts}


def test_every_command_has_the_common_options():
    for command in COMMANDS:
        assert options(command) >= {"--quiet", "--json"}, command
        assert options(command) >= {"--device"} or command not in WITH_DEVICE, command


def commands(scan: str) -> dict[str, list[str]]:
    """Of each cheap command its words, and the keys of what it answers."""
    return {
        "info": (["info", scan], {"shape", "spacing_mm", "modality"}),
        "interpolate": (
            ["interpolate", scan, "-o", "finer.nii.gz", "--model", "linear"],
            {"outputs", "model", "shape", "spacing_mm", "notes", "labels"},
        ),
        "superresolve": (
            ["superresolve", scan, "-o", "voxels.nii.gz", "--model", "linear"],
            {"output", "model", "shape", "spacing_mm", "notes"},
        ),
        "phantom": (
            ["phantom", "-o", "p.nii", "--shape", "9,8,4"],
            {"output", "modality", "seed", "shape", "spacing_mm"},
        ),
        "models": (["models", "ct-pixelminer"], {"name", "kind", "folder", "card"}),
    }


@pytest.mark.parametrize("command", ["info", "interpolate", "superresolve", "phantom", "models"])
def test_json_and_quiet(scan, command):
    words, keys = commands(scan)[command]
    said = run(*words)
    assert said.exit_code == 0, said.output
    assert said.stdout
    again = words if command in ("info", "models") else [*words, "--overwrite"]
    answered = run(*again, "--json")
    assert keys <= set(json.loads(answered.stdout))
    assert run(*again, "--quiet").stdout == ""
    assert run(*again, "--quiet", "--json").stdout == answered.stdout


def test_answers_of_interpolate_are_those_of_the_file(scan):
    facts = json.loads(
        run("interpolate", scan, "-o", "a.nii", "--model", "linear", "--json").stdout
    )
    assert facts["outputs"] == ["a.nii"]
    assert (facts["model"], facts["shape"]) == ("linear", [16, 12, 9])
    assert facts["spacing_mm"] == pytest.approx([20, 18, 15])


def test_a_folder_answers_scan_by_scan(scan, tmp_path):
    Path("bad.nii").write_text("no scan")
    result = run("interpolate", ".", "-o", tmp_path / "out", "--model", "linear", "--json")
    assert result.exit_code == 1
    fates = {Path(one["scan"]).name: one["fate"] for one in json.loads(result.stdout)}
    assert fates == {"ct.nii.gz": "done", "bad.nii": "failed"}
    assert "1 of 2 scans failed" in result.stderr


def test_errors_show_in_any_case(scan):
    for option in ("--quiet", "--json"):
        result = run("info", "missing.nii", option)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: missing.nii does not exist")


def test_exit_codes(scan, monkeypatch):
    assert run("info", scan).exit_code == 0
    assert run("info", "missing.nii").exit_code == 1
    assert run("info", scan, "--nonsense").exit_code == 2
    assert "0, done; 1, refused or failed" in " ".join(run("--help").output.split())


def test_ctrl_c_leaves_one_sentence_and_nothing_else(scan, monkeypatch):
    """As it comes while the output is written, the worst of times."""

    def interrupted(volume, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(medgen.jobs.run, "encode_volume", interrupted)
    result = run("interpolate", scan, "-o", "finer.nii.gz", "--model", "linear")
    assert result.exit_code == 130
    assert result.output.strip() == "Interrupted; no output is half written."
    assert sorted(os.listdir()) == [scan]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_what_is_computed_on_is_told(scan, device, monkeypatch):
    for variable in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    monkeypatch.setattr("medgen.backends.accelerators", lambda: [])
    result = run("doctor", "no-such-model", "--device", device)
    assert "There is no folder and no model named" in result.stderr  # before anything is loaded
    result = run("interpolate", scan, "-o", "a.nii", "--model", "linear", "--device", device)
    assert "computed on" not in result.output  # as a classical method needs none

    def stop(folder):
        raise BundleError("Loaded.")

    monkeypatch.setattr("medgen.bundles.bundle.load_bundle", stop)
    result = run("doctor", "oasis-80", "--device", device)
    assert result.stderr == "Note: Models are computed on the CPU.\nError: Loaded.\n"


@pytest.mark.parametrize("found", [[], ["NVIDIA H100"]])
def test_what_is_trained_on_is_told_where_it_is_an_accelerator(found, monkeypatch, capsys):
    monkeypatch.setattr("medgen.backends.accelerators", lambda: found)
    tell_accelerator()
    assert capsys.readouterr().err == "".join(
        f"Note: Trained on {device} by TensorFlow in float32.\n" for device in found
    )


def test_devices_that_are_not_there(scan, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("medgen.backends.accelerators", lambda: [])
    result = run(
        "interpolate", scan, "-o", "a.nii", "--model", "ct-pixelminer", "--device", "gpu:3"
    )
    assert result.exit_code == 1
    assert "finds no gpu:3 here; leave out --device for the CPU" in result.stderr
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert run("info", scan, "--device", "cpu").exit_code == 2
    result = run("doctor", "oasis-80", "--device", "tpu")
    assert (result.exit_code, "expected auto, cpu, gpu or gpu:N" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("shell", "words", "at", "printed"),
    [
        ("bash", "medgen interp", "1", "plain,interpolate\n"),
        ("bash", "medgen info --mod", "2", "plain,--modality\n"),
        ("zsh", "medgen cit", "1", "plain\ncite\nPrint what a paper says of a finer scan, with"),
        ("fish", "medgen cit", "cit", "plain,cite\tPrint what a paper says of a finer scan, with"),
    ],
)
def test_shells_complete(shell, words, at, printed):
    """As the script that `_MEDGEN_COMPLETE=SHELL_source medgen` prints asks for it."""
    environment = {
        "_MEDGEN_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": at
    }  # fmt: skip
    code = "from medgen.cli import main; main(prog_name='medgen')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(printed)
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_shells_are_to_read_is_printed(shell):
    """Not that of bash, which click asks for its version first."""
    result = CliRunner().invoke(
        main, [], prog_name="medgen", env={"_MEDGEN_COMPLETE": f"{shell}_source"}
    )
    assert result.exit_code == 0
    assert f"_MEDGEN_COMPLETE={shell}_complete" in result.output


# === The BIDS App ===


@pytest.fixture
def data_set(tmp_path) -> Path:
    root = tmp_path / "raw"
    for subject in ("01", "02", "10"):
        folder = root / f"sub-{subject}" / "anat"
        folder.mkdir(parents=True)
        head = phantom_volume("mr", (9, 8, 4), (20.0, 20.0, 30.0), int(subject))
        write_volume(head, folder / f"sub-{subject}_T1w.nii.gz")
    description = {"Name": "Heads", "BIDSVersion": "1.8.0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


def bids(*words: object):
    return CliRunner().invoke(bids_app, [*map(str, words)])


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.nii.gz")}


def test_participants_of_a_bids_app(data_set, tmp_path):
    words = [data_set, tmp_path / "out", "participant", "--model", "linear", "--factor", "3"]
    result = bids(*words, "--participant-label", "02", "--participant-label", "sub-10")
    assert result.exit_code == 0, result.output
    some = {"sub-02_res-3x_T1w.nii.gz", "sub-10_res-3x_T1w.nii.gz"}
    assert made(tmp_path / "out") == some
    told = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert told["DatasetType"] == "derivative"
    answer = json.loads(bids(*words, "--json").stdout)
    assert [Path(one["scan"]).parts[-3] for one in answer] == ["sub-01", "sub-02", "sub-10"]
    assert made(tmp_path / "out") == some | {"sub-01_res-3x_T1w.nii.gz"}


def test_what_a_bids_app_refuses(data_set, tmp_path):
    words = ["participant", "--model", "linear"]
    result = bids(data_set, tmp_path / "out", *words, "--participant-label", "7")
    assert result.exit_code == 1
    assert "has no subject 7; there are 01, 02, 10." in result.stderr
    result = bids(data_set / "sub-01", tmp_path / "out", *words)
    assert "is no BIDS data set: it holds no dataset_description.json" in result.stderr
    assert bids(data_set, tmp_path / "out", "group").exit_code == 2
    assert not (tmp_path / "out").exists()
    assert bids("--version").output.startswith("medgen-bids, version ")
