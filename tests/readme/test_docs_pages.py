"""Every example in docs/ is run, in one folder a page, on small scans made for it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shown import ROOT, commands, fenced

from medgen.cli import COMMANDS, main
from medgen.cli.bids_app import main as bids_app
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

sys.path.insert(0, str(ROOT / "tests" / "volumes" / "dicom"))
from dicom_slices import COUNT, make_slice, save

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
PROGRAMS = {"medgen": main, "medgen-bids": bids_app}
# Commands that run for long, until they are ended, or on what people did: they have to parse; other
# tests run them.
PARSED = {
    "serve", "export", "train-pixelminer", "train-vqvae", "train-prior", "read", "view",
    "study-report", "encode",
}  # fmt: skip
# What is for other programs or machines, and how it begins.
ELSEWHERE = ("python3 -m venv", ".venv/bin/pip install", "eval ")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")
# Pages whose examples load trained models, start a cluster or ask a server.
SLOW = {"index.md", "train.md", "conventions.md", "cluster.md", "serve.md"}
# nipype would ask the internet for a newer version of it.
os.environ.setdefault("NO_ET", "1")
# Where serve.md finds the server that it starts.
SERVER = "localhost:8501"
# As SLURM would, but at once and on this machine.
SBATCH = """#!/bin/sh
bash "$1" >"$1.log" 2>&1 &
echo "Submitted batch job $!"
"""


def examples(page: str) -> list[tuple[str, str]]:
    """Language and text of every block of a page but those for Sphinx and those of mere text."""
    found = fenced(PAGES[page].read_text())
    return [(language, text) for language, text in found if language not in ("text", "")]


def with_examples(slow: bool) -> list[str]:
    return [page for page in PAGES if examples(page) and (page in SLOW) == slow]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages name, which is the current one."""
    monkeypatch.chdir(tmp_path)
    scan = phantom_volume("ct", (24, 20, 9), (9.0, 9.0, 12.0), seed=3)
    organs = np.digitize(scan.array, (-500, -100, 300)).astype(np.uint8)
    for name in ("scan.nii.gz", "scans/a.nii.gz", "scans/deeper/b.mha", "data/a.nii.gz"):
        Path(name).parent.mkdir(exist_ok=True)
        write_volume(scan, Path(name))
    write_volume(scan.with_array(organs, scan.geometry), Path("organs.nii.gz"))
    save(Path("series"), [make_slice(k) for k in range(COUNT)])
    save(Path("series_with_gap"), [make_slice(k) for k in range(COUNT) if k != 2])
    for subject in ("01", "02"):
        head = phantom_volume("mr", (12, 10, 5), (15.0, 15.0, 25.0), seed=int(subject))
        path = Path(f"bids/sub-{subject}/anat/sub-{subject}_T1w.nii.gz")
        path.parent.mkdir(parents=True)
        write_volume(head, path)
    description = {"Name": "Heads", "BIDSVersion": "1.8.0"}
    Path("bids/dataset_description.json").write_text(json.dumps(description))
    return tmp_path


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> None:
    """What stands for SLURM's commands, and medgen, on the PATH."""
    (tmp_path / "bin").mkdir()
    for name, script in (("sbatch", SBATCH), ("scancel", '#!/bin/sh\nkill "$@"\n')):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    places = [tmp_path / "bin", Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))


def run_command(line_words: tuple[str, ...]) -> None:
    program, *words = line_words
    command = PROGRAMS[program]
    if words[0] in PARSED:
        command.get_command(None, words[0]).make_context(words[0], words[1:])
        return
    if words[0] in ("evaluate", "audit"):
        words += ["--jobs", "1"]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, f"{' '.join(line_words)}: {result.output}"


@contextmanager
def served(model: str) -> Iterator[str]:
    """Host and port of a server of a model."""
    command = [sys.executable, "-u", "-m", "medgen", "serve", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().split("/")[2]
        server.send_signal(signal.SIGTERM)


def run_page(page: str, server: str = SERVER) -> None:
    for language, text in examples(page):
        if language == "bash":
            for command in commands(text):
                if not " ".join(command.words).startswith(ELSEWHERE):
                    run_command(command.words)
        elif language == "python":
            exec(compile(text.replace(SERVER, server), page, "exec"), {})
        elif language == "json":
            json.loads(text)
        else:
            assert language.startswith("{"), f"{page}: nobody runs a block of {language!r}"


@pytest.mark.parametrize("page", with_examples(slow=False))
def test_examples_run(page, place):
    run_page(page)
    if page == "dicom.md":
        assert len(list(Path("finer_series").iterdir())) == 2 * COUNT - 1
        assert len(list(Path("filled_series").iterdir())) == COUNT
    if page == "folders.md":
        assert read_volume("finer/deeper/b.mha").shape == (24, 20, 17)
        assert read_volume("fine_organs.nii.gz").shape == (24, 20, 17)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_examples(slow=True))
def test_examples_with_models_clusters_and_servers_run(page, place, slurm):
    if page == "cluster.md":
        pytest.importorskip("dask_jobqueue")
    with served("ct-pixelminer") if page == "serve.md" else nullcontext(SERVER) as server:
        run_page(page, server)
    if page == "cluster.md":
        assert len(list(Path("derivative").rglob("*_res-2x_T1w.nii.gz"))) == 2


def test_pages_compute_with_values_in_their_units():
    """And not with what files store: a CT's is often HU + 1024."""
    for page in PAGES:
        text = "".join(text for language, text in examples(page) if language == "python")
        assert not re.search(r"\b(scan|series|volume)\.array\b", text), page


def test_the_table_of_variables_names_those_that_are_read():
    """And each variable that medgen's own code names stands in it."""
    page = PAGES["conventions.md"].read_text()
    table = set(re.findall(r"`([A-Z][A-Z_]+)`", page))
    sources = "".join(path.read_text() for path in (ROOT / "medgen").rglob("*.py"))
    used = set(re.findall(r'environ[^\n"]*"([A-Z_]+)"', sources)) | {"MEDGEN_MODELS"}
    assert used - {"PYTHONPATH"} <= table


def test_every_page_is_in_the_contents():
    contents = "".join(PAGES[page].read_text() for page in ("index.md", "how/index.md"))
    for page in PAGES:
        name = page.removesuffix(".md").removeprefix("how/")
        assert page == "index.md" or re.search(rf"^(how/)?{name}$", contents, re.MULTILINE), page


def test_options_that_the_pages_name_exist():
    known = {"--nthreads", "--from"}  # of Dask, of uvx
    for benchmark in (ROOT / "benchmarks").glob("*.py"):
        known |= set(OPTION.findall(benchmark.read_text()))
    known |= {"--array", "--cpus-per-task", "--mem", "--time"}  # SLURM's
    for command in [*(main.get_command(None, name) for name in COMMANDS), bids_app]:
        known |= {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    known |= {"--help"}
    for page, path in PAGES.items():
        if page != "changes.md":
            assert set(OPTION.findall(path.read_text())) <= known, page


def test_it_builds_without_a_warning(tmp_path):
    """In a process of its own, as modules are imported there without Keras."""
    for package in ("sphinx", "myst_nb", "sphinx_click", "furo"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", DOCS, tmp_path / "html"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "commands.html").read_text()
    for name in COMMANDS:
        assert f'id="medgen-{name}"' in page
    assert "interpolate_volume" in (tmp_path / "html" / "python.html").read_text()
