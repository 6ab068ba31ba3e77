"""The training loop: batches by step, checkpoints that continue to the same result."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboardX import SummaryWriter

from medgen.errors import TrainingError
from medgen.storage import csv_text, move, staging, write_text
from medgen.training.workers import ALONE, Workers

CHECKPOINT = "checkpoint.npz"
BEST = "best.npz"
METRICS = "metrics.csv"
RUN = "run.json"
AVERAGED_SHARES = 20


@dataclass(frozen=True)
class Run:
    """How long and where to train.

    Args:
        folder: receives checkpoint, best weights, `metrics.csv` and TensorBoard logs.
        steps: gradient steps in all.
        validate_every: steps between validations, each followed by a checkpoint.
        learning_rate: peak; a tenth of the steps (at most 500) warms up to it, then a cosine falls
            to a hundredth of it.
        average_weights: whether a moving average of the weights, over about the last 1 in
            `AVERAGED_SHARES` of the steps, is validated and kept.
        identity: plain values that must be the same when a run is resumed.
    """

    folder: Path
    steps: int
    validate_every: int
    learning_rate: float
    average_weights: bool
    identity: dict[str, Any]


def fit(
    model: keras.Model,
    batch_at: Callable[[int], Any],
    validate: Callable[[], dict[str, float]],
    run: Run,
    *,
    prepare: Callable[[], None] = lambda: None,
    resume: bool = False,
    report: Callable[[dict[str, float]], None] = lambda row: None,
    progress: Callable[[int, dict[str, float]], None] = lambda step, logs: None,
    workers: Workers = ALONE,
) -> list[dict[str, float]]:
    """Train `model` and leave it with the weights that validated best.

    Args:
        model: built, with `compute_loss`.
        batch_at: inputs of a step; a function of the step alone, called from another thread.
        validate: measures the model as it stands; `loss` decides which weights are best.
        run: length, place and identity.
        prepare: called once before the first step of a new run (initialisation from data).
        resume: continue from the checkpoint in `run.folder` if there is one.
        report: receives every row of `metrics.csv`.
        progress: receives the step and the latest training values after every step.
        workers: who trains it together; in step n, worker k of m takes batch n m + k. All need the
            same `run.folder`, where the chief writes.

    Returns:
        Rows of `metrics.csv`.

    Raises:
        TrainingError: the folder holds another run or one that must be resumed explicitly, or the
            loss is no longer finite.
    """
    schedule = _schedule(run)
    model.compile(
        optimizer=keras.optimizers.Adam(
            schedule,
            clipnorm=1.0,
            use_ema=run.average_weights,
            ema_momentum=run.steps / (run.steps + AVERAGED_SHARES),
        ),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    start, rows = _open(model, run, resume, workers)
    if start == 0:
        prepare()
    take_step = workers.step_of(model)

    def own_batch(step: int) -> Any:
        return batch_at(step * workers.count + workers.rank)

    best = min((row["loss"] for row in rows), default=np.inf)

    with _summary_writer(run, workers) as writer, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(own_batch, start)
        sums, since = {}, time.monotonic()
        for step in range(start + 1, run.steps + 1):
            batch = coming.result()
            if step < run.steps:
                coming = pool.submit(own_batch, step)
            logs = take_step(batch)
            model.reset_metrics()
            if not np.isfinite(logs["loss"]):
                raise TrainingError(
                    f"The training loss is {logs['loss']} at step {step}; lower --learning-rate "
                    "and start again."
                )
            for key, value in logs.items():
                sums[key] = sums.get(key, 0.0) + float(value)
            progress(step, logs)
            if not workers.is_chief or (step % run.validate_every and step != run.steps):
                continue

            done = (step - 1) % run.validate_every + 1
            row = {"step": step, **{f"train_{k}": v / done for k, v in sums.items()}}
            with _averaged(model, run):
                row |= validate()
                if not np.isfinite(row["loss"]):
                    raise TrainingError(
                        f"The validation loss is {row['loss']} at step {step}; lower "
                        "--learning-rate and start again."
                    )
                if row["loss"] < best:
                    best = row["loss"]
                    _write_npz(run.folder / BEST, _arrays(model.variables))
            row["seconds"] = round(time.monotonic() - since, 1)
            rows.append(row)
            _write_rows(run.folder / METRICS, rows)
            _checkpoint(model, run, step)
            for key, value in row.items():
                writer.add_scalar(key, value, step)
            report(row)
            sums, since = {}, time.monotonic()

    workers.wait()  # until the chief has written the best
    _restore(model.variables, run.folder / BEST)
    rows = _read_rows(run.folder / METRICS)
    workers.wait()  # until all have read it, as it may be removed then
    model.optimizer = None  # or Keras would save its state with the weights
    return rows


def _schedule(run: Run) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = min(500, run.steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        run.learning_rate / 100,
        decay_steps=max(1, run.steps - warmup),
        alpha=0.01,
        warmup_target=run.learning_rate,
        warmup_steps=warmup,
    )


def _open(
    model: keras.Model, run: Run, resume: bool, workers: Workers
) -> tuple[int, list[dict[str, float]]]:
    """Step to go on from and the rows so far."""
    checkpoint = run.folder / CHECKPOINT
    identity = run.identity | ({"workers": workers.count} if workers.count > 1 else {})
    if not checkpoint.exists():
        if workers.is_chief:
            run.folder.mkdir(parents=True, exist_ok=True)
            write_text(json.dumps(identity, indent=1), run.folder / RUN, overwrite=True)
        return 0, []
    if not resume:
        raise TrainingError(
            f"{run.folder} holds an unfinished run; continue it with --resume, or choose another "
            "output."
        )
    if json.loads((run.folder / RUN).read_text()) != json.loads(json.dumps(identity)):
        raise TrainingError(
            f"The run in {run.folder} was started with another recipe, seed, number of workers or "
            "other data; repeat its options to resume it, or choose another output."
        )
    step = _restore([*model.variables, *model.optimizer.variables], checkpoint)
    return step, [row for row in _read_rows(run.folder / METRICS) if row["step"] <= step]


def _summary_writer(run: Run, workers: Workers) -> SummaryWriter | nullcontext:
    return SummaryWriter(str(run.folder / "logs")) if workers.is_chief else nullcontext()


class _averaged:
    """While entered, the model has its averaged weights, if it keeps any."""

    def __init__(self, model: keras.Model, run: Run):
        self.model, self.active = model, run.average_weights

    def __enter__(self):
        if self.active:
            self.kept = _arrays(self.model.trainable_variables)
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def __exit__(self, *_):
        if self.active:
            for variable, value in zip(self.model.trainable_variables, self.kept, strict=True):
                variable.assign(value)


def _arrays(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _checkpoint(model: keras.Model, run: Run, step: int) -> None:
    arrays = _arrays([*model.variables, *model.optimizer.variables])
    _write_npz(run.folder / CHECKPOINT, arrays, step)


def _write_npz(path: Path, arrays: Sequence[np.ndarray], step: int = 0) -> None:
    with staging(path) as folder:
        np.savez(folder / path.name, *arrays, step=step)
        move(folder / path.name, path, overwrite=True)


def _restore(variables: Sequence[keras.Variable], path: Path) -> int:
    """Assign the arrays in `path`, in order; the step they were written at."""
    with np.load(path, allow_pickle=False) as stored:
        for i, variable in enumerate(variables):
            variable.assign(stored[f"arr_{i}"])
        return int(stored["step"])


def _read_rows(path: Path) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [row | {"step": int(row["step"])} for row in rows]


def _write_rows(path: Path, rows: Sequence[dict[str, float]]) -> None:
    names = list(rows[-1])
    table = csv_text([names, *([row[name] for name in names] for row in rows)])
    write_text(table, path, overwrite=True)


def discard_checkpoints(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (CHECKPOINT, BEST, RUN):
        (folder / name).unlink(missing_ok=True)
