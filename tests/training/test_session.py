"""The loop on a net of one weight, whose every step is known."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from medgen.errors import TrainingError
from medgen.training import checkpoint, session
from medgen.training.checkpoint import (
    CHECKPOINT,
    FolderStore,
    MemoryStore,
    discard_checkpoints,
)
from medgen.training.schedule import Plan


class Weight(keras.Model):
    """One weight that starts at 0 and is drawn to the batch."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(name="w", shape=(), initializer="zeros")
        self.built = True

    def call(self, x):
        return self.w + 0 * x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((x - y_pred) ** 2)


@dataclass(frozen=True)
class Run:
    """What the tests vary."""

    folder: Path
    steps: int | None = 10
    average_weights: bool = False
    identity: dict = field(default_factory=lambda: {"seed": (1, 2)})
    minutes: float | None = None


class WeightTask:
    """Draw the weight to `target`; losses are those given, or the distance from it."""

    def __init__(self, run, losses=None, target=1.0, prepare=lambda: None):
        self.net, self.target, self.prepare = Weight(), target, prepare
        self.identity, self.averages_weights = run.identity, run.average_weights
        self.given, self.losses, self.validated = iter(losses or []), losses, []

    def batch(self, step):
        return np.full((2, 1), self.target, np.float32)

    def measure(self):
        self.validated.append(float(self.net.w))
        return {"loss": next(self.given) if self.losses else abs(self.target - self.validated[-1])}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def train(run, losses=None, target=1.0, prepare=lambda: None, store=None, **options):
    task = WeightTask(run, losses, target, prepare)
    plan = Plan(run.steps, 4, 0.1, run.minutes)
    rows = session.train(task, plan, store or FolderStore(run.folder), **options)
    return float(task.net.w), task.validated, rows


def test_validates_every_so_often_and_at_the_end(run):
    seen, told = [], []
    final, validated, rows = train(
        run,
        report=seen.append,
        progress=lambda step, share, logs: told.append((step, share, logs["loss"])),
    )
    assert [row["step"] for row in rows] == [4, 8, 10]
    assert seen == rows
    assert [(step, share) for step, share, _ in told] == [(n, n / 10) for n in range(1, 11)]
    # Training values are means over the steps since the last validation: 4, 4 and 2.
    losses = [loss for _, _, loss in told]
    for row, part in zip(rows, (losses[:4], losses[4:8], losses[8:]), strict=True):
        assert row["train_loss"] == pytest.approx(np.mean(part), rel=1e-5)
    assert 0 < validated[0] < validated[1] < validated[2] == final
    text = (run.folder / "metrics.csv").read_text().splitlines()
    assert text[0] == "step,train_loss,train_examples_per_second,loss,seconds"
    assert [float(line.split(",")[3]) for line in text[1:]] == [row["loss"] for row in rows]


def test_fewer_steps_than_validate_every(run):
    final, validated, rows = train(replace(run, steps=3))
    assert [row["step"] for row in rows] == [3]
    assert validated == [final]


def test_the_weights_that_validated_best_are_kept(run):
    final, validated, _ = train(run, [3.0, 1.0, 2.0])
    assert final == validated[1] != validated[2]


def test_averaged_weights_are_validated_and_training_goes_on_from_its_own(run):
    _, plain, _ = train(run)
    averaged = replace(run, folder=run.folder.with_name("averaged"), average_weights=True)
    told, own = [], []
    final, validated, _ = train(
        averaged, [3.0, 2.0, 1.0], progress=lambda step, share, logs: told.append(logs["loss"])
    )
    assert all(a < p for a, p in zip(validated, plain, strict=True))
    assert final == validated[2]
    # The training losses are those of the weights themselves.
    other = replace(run, folder=run.folder.with_name("own"))
    train(other, progress=lambda step, share, logs: own.append(logs["loss"]))
    assert told == own


def stop_at(step):
    def progress(at, share, logs):
        if at == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("average", [False, True])
def test_an_interrupted_run_ends_like_one_that_was_not(run, average):
    run = replace(run, average_weights=average)
    whole = train(replace(run, folder=run.folder.with_name("whole")))
    for step in (5, 8, 9):
        with pytest.raises(KeyboardInterrupt):
            train(run, progress=stop_at(step), resume=step > 5)
    final, validated, rows = train(run, resume=True)
    assert final == whole[0]
    assert validated == whole[1][2:]

    def timeless(rows):
        return [{key: row[key] for key in row if "second" not in key} for row in rows]

    assert timeless(rows) == timeless(whole[2])


def test_an_interruption_between_the_row_and_its_checkpoint(run, monkeypatch):
    whole = train(replace(run, folder=run.folder.with_name("whole")))
    write = checkpoint._write_npz

    def interrupt(path, arrays, step=0, seconds=0.0):
        if (path.name, step) == (CHECKPOINT, 8):
            raise KeyboardInterrupt
        write(path, arrays, step, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_npz", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(run)
    assert (run.folder / "metrics.csv").read_text().count("\n") == 3
    final, validated, rows = train(run, resume=True)
    assert (final, validated) == (whole[0], whole[1][1:])
    assert [row["step"] for row in rows] == [4, 8, 10]


def test_a_finished_run_can_be_picked_up_before_it_was_saved(run):
    final, _, rows = train(run, [3.0, 1.0, 2.0])
    again, validated, same = train(run, resume=True)
    assert (again, validated, same) == (final, [], rows)


def test_preparation_happens_once(run):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        train(run, prepare=lambda: calls.append("new"), progress=stop_at(6))
    train(run, prepare=lambda: calls.append("resumed"), resume=True)
    assert calls == ["new"]


def test_resume_without_a_checkpoint_starts(run):
    with pytest.raises(KeyboardInterrupt):
        train(run, progress=stop_at(2))
    assert [row["step"] for row in train(run, resume=True)[2]] == [4, 8, 10]


def test_another_run_in_the_folder(run):
    with pytest.raises(KeyboardInterrupt):
        train(run, progress=stop_at(5))
    with pytest.raises(TrainingError, match="holds an unfinished run; continue it with --resume"):
        train(run)
    with pytest.raises(TrainingError, match="started with another recipe, seed, number of workers"):
        train(replace(run, identity={"seed": (1, 3)}), resume=True)
    discard_checkpoints(run.folder)
    assert sorted(path.name for path in run.folder.iterdir()) == ["logs", "metrics.csv"]
    assert len(train(run)[2]) == 3


def test_losses_that_are_not_finite_end_the_run(run):
    with pytest.raises(TrainingError, match="training loss is nan at step 1; lower"):
        train(run, target=np.nan)
    with pytest.raises(TrainingError, match="validation loss is inf at step 8; lower"):
        train(run, [1.0, np.inf])


def test_what_goes_wrong_with_a_batch_is_told(run):
    class NoMore(WeightTask):
        def batch(self, step):
            if step == 3:
                raise TrainingError("no more")
            return super().batch(step)

    with pytest.raises(TrainingError, match="no more"):
        session.train(NoMore(run), Plan(10, 4, 0.1), FolderStore(run.folder))


class Clock:
    """Seconds that pass with every look at it."""

    def __init__(self, per_look=1.0, at=0.0):
        self.per_look, self.at = per_look, at

    def __call__(self):
        self.at += self.per_look
        return self.at


def test_a_run_by_the_clock_ends_validated_when_its_time_is_over(run):
    """Also when it was interrupted, however fast the machine is then."""
    timed, shares = replace(run, steps=None, minutes=1.0), []
    _, validated, rows = train(
        timed, clock=Clock(1.0), progress=lambda step, share, logs: shares.append(share)
    )
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert 0.9 < shares[-1] <= 1
    taken = rows[-1]["step"]
    assert 8 < taken < 20
    assert [row["step"] for row in rows] == [*range(4, taken, 4), taken]
    assert len(validated) == len(rows)

    again = replace(timed, folder=run.folder.with_name("again"))
    with pytest.raises(KeyboardInterrupt):
        train(again, clock=Clock(1.0), progress=stop_at(9))
    _, _, resumed = train(again, clock=Clock(0.5, at=1e6), resume=True)
    # 8 steps were kept; what was left of the minute held twice as many as it would have before.
    assert taken < resumed[-1]["step"] < 8 + 2 * (taken - 8) + 4


def test_a_run_in_memory_leaves_nothing_behind(run):
    final, validated, rows = train(run, [3.0, 1.0, 2.0], store=MemoryStore())
    assert final == validated[1]
    assert [row["step"] for row in rows] == [4, 8, 10]
    assert not run.folder.exists()


def test_the_average_covers_the_last_twentieth(run):
    """In step t it keeps (t - 1) / (t + 19), from a start at the first weights."""
    averaged = replace(run, average_weights=True, steps=4)
    weights = []
    for steps in (1, 2, 3, 4):  # a peak reached at once: rates are those of a run of four
        task = WeightTask(averaged)
        step = session.Step(task.net, average=True)
        for number in range(1, steps + 1):
            step(task.batch(0), number, 0.1)
        weights.append(float(task.net.w))
    expected = 0.0
    for t, weight in enumerate(weights, 1):
        keep = (t - 1) / (t + 19)
        expected = keep * expected + (1 - keep) * weight
    with step.averaged():
        assert float(task.net.w) == pytest.approx(expected, rel=1e-5)
    assert float(task.net.w) == weights[-1]
