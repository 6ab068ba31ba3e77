"""The training loop: batches by step, checkpoints that continue to the same result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import keras
import numpy as np

from medgen.backends import Tensor, accelerators
from medgen.errors import TrainingError
from medgen.recipes import Recipe
from medgen.training.checkpoint import Checkpoint, FolderStore, Row, Store
from medgen.training.schedule import Plan
from medgen.training.step import AT_ONCE, Step, assign
from medgen.training.workers import ALONE, Workers

if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle

Report = Callable[[Row], None]
# Called with the step, how much of the run is over (0 to 1), and the step's losses.
Progress = Callable[[int, float, dict[str, float]], None]
Logs = dict[str, float]
# From the steps taken and rates of the next ones to the logs of these, and examples a step.
Take = Callable[[int, Sequence[float]], tuple[list[Logs], int]]
# Steps that a device takes in one call last about so long, in seconds.
CALL_SECONDS = 2.0


class Task(Protocol):
    """What a family gives the loop.

    Attributes:
        net: built, with `compute_loss`.
        averages_weights: whether a moving average of the weights is validated and kept.
    """

    net: keras.Model
    averages_weights: bool

    @property
    def identity(self) -> Mapping[str, object]:
        """Plain values that must be the same when a run is resumed."""

    def batch(self, step: int) -> Any:
        """Inputs of a step; a function of the step alone, called from another thread."""

    def prepare(self) -> None:
        """Called once before the first step of a new run (initialisation from data)."""

    def measure(self) -> Row:
        """Measure the net as it stands; `loss` decides which weights are best."""


class DeviceExamples(Protocol):
    """Batches of a task as a function of tensors, to be compiled into its step.

    Attributes:
        tensors: nested, what the function is to be given.
        size: examples a batch.
    """

    tensors: Any
    size: int

    def __call__(self, tensors: Any, step: Tensor) -> Any:
        """Inputs of a step."""


@runtime_checkable
class OnDevice(Protocol):
    """A task whose batches an accelerator can make by itself."""

    def on_device(self) -> DeviceExamples | None:
        """What makes them there; None if its recipe asks for what only the host makes."""


class Fitting(Task, Protocol):
    """A task that knows how long it takes and what comes of it."""

    @property
    def recipe(self) -> Recipe:
        """For its steps, learning rate and validations."""

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of the best of `rows`."""


def fit(
    task: Fitting,
    folder: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    report: Report = lambda row: None,
    progress: Progress = lambda step, share, logs: None,
    workers: Workers = ALONE,
) -> Bundle:
    """Train what a family's task says, in a folder.

    Args:
        task: see the families' `fit` modules, such as `families.vqvae.fit.VQVAETask`.
        folder: see `FolderStore`.
        minutes: see `Plan`; None for the recipe's steps.
        resume: continue an interrupted run in `folder`.
        report: receives a row for each validation, see the task's `measure` and `train`.
        progress: called after every step, see `Progress`.
        workers: see `train`.

    Returns:
        The bundle, with the metrics of its best validation.

    Raises:
        TrainingError: see `train`.
    """
    rows = train(
        task,
        Plan.of(task.recipe, minutes),
        FolderStore(folder),
        resume=resume,
        report=report,
        progress=progress,
        workers=workers,
    )
    return task.bundle(rows)


def train(
    task: Task,
    plan: Plan,
    store: Store,
    *,
    resume: bool = False,
    report: Report = lambda row: None,
    progress: Progress = lambda step, share, logs: None,
    workers: Workers = ALONE,
    clock: Callable[[], float] = time.monotonic,
) -> list[Row]:
    """Train a net and leave it with the weights that validated best.

    Args:
        task: what is trained, on what.
        plan: how long and how fast.
        store: where checkpoint, best weights and rows are kept.
        resume: continue from the checkpoint in `store` if there is one.
        report: receives every row.
        progress: called after every step, see `Progress`.
        workers: who trains it together; in step n, worker k of m takes batch n m + k. All need the
            same `store`, where the chief writes.
        clock: seconds, from any start.

    Returns:
        A row for each validation: `step`, means of the training values since the last one as
        `train_...`, how many examples it trained on in a second, what `task.measure` gave, and
        `seconds`.

    Raises:
        TrainingError: the store holds another run or one that must be resumed explicitly, or the
            loss is no longer finite.
    """
    net = task.net
    shared = {"workers": workers.count} if workers.count > 1 else {}
    saved = store.open({**task.identity, **shared}, resume=resume, write=workers.is_chief)
    take_step, taking = _steps_of(task, plan.optimizer, workers)
    if saved is None:
        task.prepare()
        saved = Checkpoint((), 0, 0.0)
    else:
        take_step.restore(saved.arrays)
    rows = list(saved.rows)
    best = min((row["loss"] for row in rows), default=np.inf)
    began = clock() - saved.seconds

    step = saved.step
    with _scalars(store, workers) as scalars, taking(step) as take:
        sums: Logs = {}
        since, counted, trained, pace = clock(), 0, 0, CALL_SECONDS
        while plan.share_done(step, (seconds := clock() - began)) < 1:
            taken, size = take(step, plan.coming(step, seconds, pace, _at_once(pace)))
            pace = (clock() - began - seconds) / len(taken)
            for logs in taken:
                step, seconds = step + 1, seconds + pace
                require_finite(logs["loss"], "training", step)
                sums = {key: sums.get(key, 0.0) + value for key, value in logs.items()}
                progress(step, plan.share_done(step, seconds), logs)
            counted += len(taken)
            trained += len(taken) * size * workers.count
            done = plan.share_done(step, clock() - began)
            if not workers.is_chief or (step % plan.validate_every and done < 1):
                continue
            row = {"step": step, **{f"train_{key}": sums[key] / counted for key in sums}}
            row["train_examples_per_second"] = trained / (clock() - since)
            row |= _validated(task, take_step, store, step, best)
            best = min(best, row["loss"])
            row["seconds"] = round(clock() - since, 1)
            rows.append(row)
            store.keep(Checkpoint(take_step.arrays(), step, clock() - began, rows))
            scalars(row)
            report(row)
            sums, since, counted, trained = {}, clock(), 0, 0

    workers.wait()  # until the chief has written the best
    weights, rows = store.best()
    assign(net.variables, weights)
    workers.wait()  # until all have read it, as it may be removed then
    net.optimizer = None  # or Keras would save its state with the weights
    return rows


def _steps_of(
    task: Task, optimizer: str, workers: Workers
) -> tuple[Step, Callable[[int], AbstractContextManager[Take]]]:
    """What changes the net, and from the steps taken so far to a context that takes more."""
    net, average = task.net, task.averages_weights
    if (
        isinstance(task, OnDevice)
        and workers is ALONE
        and makes_examples()
        and (examples := task.on_device()) is not None
    ):
        from medgen.training.steps_jax import StepsOnDevice

        steps = StepsOnDevice(net, examples, average=average, optimizer=optimizer)
        return steps, lambda first: nullcontext(
            lambda step, rates: (steps.take(step, rates), examples.size)
        )
    take_step = Step(net, average=average, optimizer=optimizer, workers=workers)
    return take_step, partial(_with_batches, task, take_step, workers)


@contextmanager
def _with_batches(task: Task, take_step: Step, workers: Workers, first: int) -> Iterator[Take]:
    """A step a call, on a batch that was made on the host while the last one was taken."""

    def own_batch(step: int) -> Any:
        return task.batch(step * workers.count + workers.rank)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(own_batch, first)

        def take(step: int, rates: Sequence[float]) -> tuple[list[Logs], int]:
            nonlocal coming
            batch = coming.result()
            coming = pool.submit(own_batch, step + 1)
            return [take_step(batch, step + 1, rates[0])], _examples(batch)

        yield take


def makes_examples() -> bool:
    """Whether the net is trained where examples are made and many steps taken without the host."""
    return keras.backend.backend() == "jax" and bool(accelerators())


def _at_once(pace: float) -> int:
    """How many steps to take in one call when one takes `pace` seconds."""
    return int(np.clip(CALL_SECONDS / max(pace, 1e-9), 1, AT_ONCE))


def _validated(task: Task, take_step: Step, store: Store, step: int, best: float) -> Row:
    """What the task measures of the averaged weights, which are kept if they are the best yet."""
    with take_step.averaged():
        row = task.measure()
        require_finite(row["loss"], "validation", step)
        if row["loss"] < best:
            variables = task.net.variables
            store.keep_best([np.array(keras.ops.convert_to_numpy(v)) for v in variables])
    return row


def _examples(batch: Any) -> int:
    """How many a batch holds."""
    return len(keras.tree.flatten(batch)[0])


def require_finite(loss: float, what: str, step: int) -> None:
    """Raise `TrainingError` if a loss is NaN or infinite."""
    if not np.isfinite(loss):
        raise TrainingError(
            f"The {what} loss is {loss} at step {step}; lower --learning-rate and start again."
        )


def best_of(rows: list[Row]) -> Row:
    """The row whose weights were kept."""
    return min(rows, key=lambda row: row["loss"])


def _scalars(store: Store, workers: Workers) -> AbstractContextManager[Report]:
    """A context that gives what writes a row as TensorBoard's, where there is a folder for it."""
    if not isinstance(store, FolderStore) or not workers.is_chief:
        return nullcontext(lambda row: None)
    return _TensorBoard(store.folder / "logs")


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Callable[[Row], None]:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(self.folder))
        return self.write

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.close()

    def write(self, row: Row) -> None:
        for key, value in row.items():
            self.writer.add_scalar(key, value, row["step"])
