"""A killed run goes on and gives the same; nothing is lost, half-written or left behind."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from medgen.errors import ReadError, WriteError
from medgen.interpolation.contract import Filling, Interpolator
from medgen.jobs.job import Job
from medgen.jobs.keeping import KeepingInterpolator, Partial
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@dataclass
class Drawn(Interpolator):
    """Stands for a model: a slice depends on seed and position alone; may end at one of them."""

    seed: int = 0
    stop_at: float | None = None
    kill: bool = False
    name: str = "drawn"
    draws: bool = True
    tells_uncertainty: bool = True
    asked: list = field(default_factory=list)

    def draw(self, shape, seed, position):
        return np.random.default_rng([seed, round(position * 1000)]).normal(40, 9, shape)

    def stop(self, position):
        if self.stop_at is not None and position >= self.stop_at:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt

    def fill(self, stack, positions, progress, *, samples=1, uncertainty=False):
        self.asked += positions.tolist()
        for done, position in enumerate(positions, start=1):
            self.stop(position)
            progress(done, len(positions))
            images = [self.draw(stack.shape[1:], self.seed + k, position) for k in range(samples)]
            names = ("std", "entropy", "low", "high")
            maps = {n: self.draw(stack.shape[1:], k, position) for k, n in enumerate(names)}
            yield Filling(np.array(images, np.float32), maps if uncertainty else None)


@pytest.fixture
def job(tmp_path):
    """A scan of 5 slices, and a folder that stands for a model's."""
    write_volume(phantom_volume("ct", (9, 8, 5), (40.0, 40.0, 60.0), 3), tmp_path / "scan.nii.gz")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "recipe.json").write_text("{}")
    return Job(tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", str(tmp_path / "model"), factor=3)


def images_of(fillings):
    return [filling.images for filling in fillings]


def partial_folder(job):
    return job.output.with_name(f".{job.output.name}.partial")


def stopped(job, at, **options):
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Drawn(stop_at=at), **options)


def test_goes_on_with_what_is_missing(job, tmp_path):
    run_job(job, Drawn())
    expected, provenance = job.output.read_bytes(), (tmp_path / "out.json").read_bytes()
    job.output.unlink()
    stopped(job, 1.5)
    assert not job.output.exists()
    assert len(list(partial_folder(job).glob("*.npz"))) == 3
    stopped(replace(job, resume=True), 2.5)
    model, calls = Drawn(), []
    run_job(
        replace(job, resume=True), model, progress=lambda done, total: calls.append((done, total))
    )
    np.testing.assert_allclose(model.asked, [8 / 3, 10 / 3, 11 / 3])
    assert calls == [(6, 8), (7, 8), (8, 8), (8, 8)]
    assert job.output.read_bytes() == expected
    assert (tmp_path / "out.json").read_bytes() == provenance
    assert not partial_folder(job).exists()


def test_all_drawn_but_not_written(job):
    run_job(job, Drawn())
    expected = job.output.read_bytes()
    job.output.unlink()
    job.output.mkdir()  # in the way when the work is done, of the same name as the output
    (job.output / "x").touch()
    partial = Partial.beside(job.output, "same")
    stack = read_volume(job.scan)
    keeping = KeepingInterpolator(Drawn(), partial)
    positions = np.array([0.25, 1.5])
    slices = list(keeping.fill(stack, positions, lambda done, total: None))
    model = Drawn()
    again = KeepingInterpolator(model, partial).fill(stack, positions, lambda done, total: None)
    np.testing.assert_array_equal(images_of(again), images_of(slices))
    assert model.asked == []
    assert expected


def test_several_samples_and_their_uncertainty(job, tmp_path):
    job = replace(job, samples=2, uncertainty=tmp_path / "map")
    names = ["out_1.nii.gz", "out_2.nii.gz", *(f"map_{n}.nii.gz" for n in ("std", "low"))]
    run_job(job, Drawn())
    expected = {name: (tmp_path / name).read_bytes() for name in names}
    for path in [*job.outputs, *job.maps.values()]:
        path.unlink()
    stopped(job, 2.5)
    # Fewer samples are other slices, so what is left does not do for them.
    alone = Drawn()
    run_job(replace(job, samples=1, uncertainty=None, resume=True), alone)
    assert len(alone.asked) == 8
    stopped(job, 2.5)
    model = Drawn()
    run_job(replace(job, resume=True), model)
    assert len(model.asked) == 3
    assert {name: (tmp_path / name).read_bytes() for name in names} == expected


@pytest.mark.parametrize("change", [{"seed": 1}, {"factor": 2}, {"volume": 0}, {"resume": False}])
def test_what_another_run_left_is_not_used(job, change):
    stopped(job, 1.5)
    model = Drawn()
    changed = replace(job, **{"resume": True, **change})
    run_job(changed, model)
    assert len(model.asked) == 4 * ((changed.factor or 2) - 1)
    assert not partial_folder(job).exists()


@pytest.mark.parametrize("what", ["scan", "model"])
def test_another_scan_or_model_starts_anew(job, what, tmp_path):
    stopped(job, 1.5)
    if what == "model":
        (tmp_path / "model" / "recipe.json").write_text('{"other": 1}')
    else:
        other = phantom_volume("ct", (9, 8, 5), (40.0, 40.0, 60.0), 4)
        write_volume(other, job.scan, overwrite=True)
    model = Drawn()
    run_job(replace(job, resume=True), model)
    assert len(model.asked) == 8


def test_a_damaged_slice_is_named(job):
    stopped(job, 1.5)
    slices = sorted(partial_folder(job).glob("*.npz"))
    slices[1].write_bytes(slices[1].read_bytes()[:50])
    with pytest.raises(
        ReadError, match=r"000001\.npz is damaged; remove .*\.out\.nii\.gz\.partial"
    ):
        run_job(replace(job, resume=True), Drawn())
    (partial_folder(job) / "identity.json").write_bytes(b"\xff")
    run_job(replace(job, resume=True), Drawn())


# === Faults ===


def test_a_scan_that_changes_underfoot(job):
    class Meddler(Drawn):
        def stop(self, position):
            if position > 2:
                job.scan.write_bytes(job.scan.read_bytes() + b"\0")

    with pytest.raises(ReadError, match=r"scan\.nii\.gz changed while it was worked on"):
        run_job(job, Meddler())
    assert not job.output.exists()
    assert not job.output.with_name("out.json").exists()


class Appearing(Drawn):
    """Somebody's file appears while slices are drawn."""

    path: Path

    def stop(self, position):
        if position > 2 and not self.path.exists():
            self.path.write_text("theirs")


@pytest.mark.parametrize("name", ["out.json", "out.nii.gz", "mask.nii", "map_low.nii.gz"])
def test_what_appears_meanwhile_is_not_replaced(job, tmp_path, name):
    job = replace(job, mask=tmp_path / "mask.nii", uncertainty=tmp_path / "map")
    before = {path.name for path in tmp_path.iterdir()}
    model = Appearing()
    model.path = tmp_path / name
    with pytest.raises(WriteError, match=name):
        run_job(job, model)
    assert model.path.read_text() == "theirs"
    # Nor is anything else put there, and the slices that were drawn are not lost.
    assert {path.name for path in tmp_path.iterdir()} == before | {name, ".out.nii.gz.partial"}
    model.path.unlink()
    again = Drawn()
    run_job(replace(job, resume=True), again)
    assert again.asked == []


@pytest.mark.parametrize("moved", ["out.nii.gz", "out.json"])
def test_what_appears_at_the_last_moment_is_not_replaced(job, tmp_path, monkeypatch, moved):
    """Between the last look and the move of what was made."""
    link = os.link

    def late(new, path):
        if Path(path).name == moved:
            Path(path).write_text("theirs")
        link(new, path)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(WriteError, match=f"{moved} exists"):
        run_job(job, Drawn())
    assert (tmp_path / moved).read_text() == "theirs"
    assert {path.name for path in tmp_path.iterdir()} == {
        "scan.nii.gz", "model", moved, ".out.nii.gz.partial"
    }  # fmt: skip


def test_a_provenance_without_its_output_is_a_killed_run_s(job, tmp_path):
    run_job(job, Drawn())
    job.output.unlink()
    with pytest.raises(ReadError):
        run_job(replace(job, volume=7), Drawn())
    assert not (tmp_path / "out.json").exists()
    run_job(job, Drawn())
    assert (tmp_path / "out.json").exists()


def test_an_output_is_never_beside_the_provenance_of_another(job, monkeypatch):
    run_job(job, Drawn())
    provenance = job.output.with_name("out.json")
    before = job.output.read_bytes(), provenance.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    other = replace(job, seed=5, overwrite=True)
    monkeypatch.setattr("medgen.jobs.run.encode_volume", full)
    with pytest.raises(WriteError, match=r"Cannot write .*out\.nii\.gz: No space left on device"):
        run_job(other, Drawn(seed=5))
    assert (job.output.read_bytes(), provenance.read_bytes()) == before
    monkeypatch.undo()
    # What cannot take its place leaves the old output, without a word on the new one beside it.
    monkeypatch.setattr("medgen.jobs.provenance.move", full)
    with pytest.raises(WriteError, match="No space left on device"):
        run_job(replace(other, resume=True), Drawn(seed=5))
    assert (job.output.read_bytes(), provenance.exists()) == (before[0], False)
    job.output.unlink()
    with pytest.raises(WriteError, match="No space left on device"):
        run_job(replace(other, resume=True), Drawn(seed=5))
    assert not provenance.exists()
    monkeypatch.undo()
    model = Drawn(seed=5)
    run_job(replace(other, resume=True), model)
    assert model.asked == []
    assert json.loads(provenance.read_text())["options"]["seed"] == 5


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_keeping import Drawn
from medgen.interpolation.contract import Filling, Interpolator
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
scan, out, model, at = sys.argv[2:]
run_job(Job(Path(scan), Path(out), model, factor=3, resume=True),
        Drawn(stop_at=float(at), kill=True))
"""


def test_killed_runs_go_on_to_the_same_end(job, tmp_path):
    run_job(job, Drawn())
    expected, scan = job.output.read_bytes(), job.scan.read_bytes()
    job.output.unlink()
    for at in (0.5, 2.9):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, Path(__file__).parent, job.scan, job.output, job.model,
             str(at)],
            check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL
        assert not job.output.exists()
    assert len(list(partial_folder(job).glob("*.npz"))) == 6
    model = Drawn()
    run_job(replace(job, resume=True), model)
    assert len(model.asked) == 2
    assert job.output.read_bytes() == expected
    assert job.scan.read_bytes() == scan
    assert {path.name for path in tmp_path.iterdir()} == {
        "scan.nii.gz", "model", "out.nii.gz", "out.json"
    }  # fmt: skip


FULL = """
import resource, signal, sys
from medgen.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
main(sys.argv[1:])
"""


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_no_room_for_the_output(job, suffix, tmp_path):
    """As on a full disk, no file may grow beyond 4000 bytes."""
    big = phantom_volume("ct", (40, 30, 6), (9.0, 9.0, 40.0), 3)
    write_volume(big, job.scan, overwrite=True)
    out = tmp_path / f"full{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, "interpolate", job.scan, "-o", out, "--model", "linear"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("Error: Cannot write")
    assert "File too large" in error or "is there room on the disk, " in error
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz", "model"}


def test_no_room_for_a_slice(job, monkeypatch):
    def full(file, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(WriteError, match=r"No space left on device; .*go on with --resume\.$"):
        run_job(job, Drawn())
    monkeypatch.undo()
    run_job(replace(job, resume=True), Drawn())
    assert not partial_folder(job).exists()
