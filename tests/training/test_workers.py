"""Two processes that train one net, over the loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from medgen.errors import TrainingError
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.training import session
from medgen.training.checkpoint import FolderStore
from medgen.training.schedule import Plan
from medgen.training.workers import ALONE, join_workers

STEPS = 4
LEVELS = 64


def net() -> PixelMinerLean:
    keras.utils.set_random_seed(5)
    model = PixelMinerLean(LEVELS, 1, 16, 1, 2, 16, 1, 2)
    model.build()
    return model


def batch_at(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {
        "target": rng.integers(0, LEVELS, (2, 8, 9)),
        "context": rng.integers(0, LEVELS, (2, 8, 9, 2)),
        "present": np.ones((2, 2), np.float32),
        "position": rng.uniform(0.2, 0.8, 2).astype(np.float32),
        "gap_mm": np.full(2, 4, np.float32),
    }


def two_batches_at(step: int) -> dict[str, np.ndarray]:
    halves = batch_at(2 * step), batch_at(2 * step + 1)
    return {key: np.concatenate([half[key] for half in halves]) for key in halves[0]}


class PixelTask:
    """A net on random levels, whose batches are given."""

    averages_weights = True

    def __init__(self, batches):
        self.net, self.batch, self.identity = net(), batches, {}

    def prepare(self):
        pass

    def measure(self):
        return {"loss": 1.0}


def train(folder: Path, batches, workers=ALONE) -> PixelMinerLean:
    task = PixelTask(batches)
    plan = Plan(STEPS, STEPS, 1e-2, optimizer="muon")
    session.train(task, plan, FolderStore(folder), workers=workers)
    return task.net


def processes(addresses: list[str], *words: str) -> list[subprocess.Popen]:
    """One for each address, with its `TF_CONFIG`."""

    def config(index: int) -> str:
        return json.dumps(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        )

    return [
        subprocess.Popen(
            [sys.executable, *words],
            env=os.environ | {"TF_CONFIG": config(k)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(len(addresses))
    ]


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def test_two_take_the_steps_that_one_takes_with_both_batches(tmp_path):
    started = processes(free_addresses(2), __file__, str(tmp_path))
    outputs = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    alone = train(tmp_path / "alone", two_batches_at)
    for k, weight in enumerate(alone.weights):
        np.testing.assert_array_equal(first[f"arr_{k}"], second[f"arr_{k}"])
        np.testing.assert_allclose(first[f"arr_{k}"], weight.numpy(), rtol=0, atol=2e-4)
    start = net()
    moved = [
        np.abs(a.numpy() - b.numpy()).max()
        for a, b in zip(alone.weights, start.weights, strict=True)
    ]
    assert np.median(moved) > 5e-3


@pytest.mark.parametrize(
    "config",
    ["{", "[]", "{}", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 2}}'],
)
def test_a_config_that_makes_no_sense(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(TrainingError, match="TF_CONFIG must be like"):
        join_workers()


def test_alone_without_a_config_or_with_one_worker(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert join_workers() is ALONE
    one = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(one))
    assert join_workers() is ALONE


if __name__ == "__main__":
    joined = join_workers()
    folder = Path(sys.argv[1])
    trained = train(folder / "run", batch_at, joined)
    np.savez(folder / f"{joined.rank}.npz", *[weight.numpy() for weight in trained.weights])
    joined.wait()
