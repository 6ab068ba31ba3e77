"""Under JAX: many steps in one call are the single steps, on examples that the device makes."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None or keras.backend.backend() != "tensorflow",
    reason="starts a process with JAX, once",
)
THERE = """
import sys
sys.modules["tensorflow"] = None
from test_steps_on_device import check
check(sys.argv[1])
"""


def test_many_steps_in_one_call_are_single_steps(tmp_path):
    """In a process of its own, where TensorFlow cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", THERE, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Net(keras.Model):
    """A target from the slices around it, with noise, and a metric beside the loss."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(1)
        self.noise = keras.layers.GaussianNoise(0.3, seed=2)
        self.hidden = [keras.layers.Conv2D(16, 3, padding="same") for _ in range(2)]
        self.conv = keras.layers.Conv2D(1, 3, padding="same")
        self.error = keras.metrics.Mean(name="error")
        for layer, channels in zip([*self.hidden, self.conv], (2, 16, 16), strict=True):
            layer.build((None, None, None, channels))
        self.built = True

    def call(self, inputs, training=False):
        around = keras.ops.cast(inputs["context"], "float32") / 1024 - 1
        features = self.noise(around, training=training)
        for layer in self.hidden:
            features = keras.ops.silu(layer(features))
        return self.conv(features)[..., 0]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = y_pred - keras.ops.cast(x["target"], "float32") / 1024 + 1
        self.error.update_state(keras.ops.mean(keras.ops.abs(error)))
        return keras.ops.mean(error**2)


def check(cache: str) -> None:
    """What the process tests; programs that are compiled again come from the folder `cache`."""
    import jax
    import numpy as np

    from medgen.backends import compiled
    from medgen.examples.augmentation import Augmentation
    from medgen.examples.stacks import Slab, Stack
    from medgen.training import session
    from medgen.training.checkpoint import MemoryStore
    from medgen.training.schedule import Plan
    from medgen.training.windows_on_device import WindowsOnDevice

    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    volume = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 70, 72)).astype(np.float32)
    slab = Slab(Stack("scan", volume, (2.0, 1.0, 1.0)), 0, 30)
    changes = Augmentation(
        edge=0.3, other_axes=0.4, thickness=1.0, zoom=0.3, noise=0.02, kernel=0.8
    )

    class OnHost:
        """Windows are made one step ahead of each step, by the same function."""

        averages_weights, identity = True, {}

        def __init__(self):
            self.net = Net()
            self.windows = WindowsOnDevice(
                [slab], levels=2048, crop=8, size=3, context=1, max_gap_mm=8.0,
                augmentation=changes, seed=2,
            )  # fmt: skip
            self.made = compiled(self.windows)

        def batch(self, step):
            made = self.made(self.windows.tensors, np.int32(step))
            return {key: np.asarray(values) for key, values in made.items()}

        def prepare(self):
            pass

        def measure(self):
            total = sum(np.abs(np.asarray(v.value)).sum() for v in self.net.trainable_variables)
            return {"loss": float(total)}

    class ByDevice(OnHost):
        def batch(self, step):
            raise AssertionError("made by the host")

        def on_device(self):
            return self.windows

    class Store(MemoryStore):
        """Goes on where it was left."""

        checkpoint = None

        def open(self, identity, *, resume, write):
            return self.checkpoint if resume else None

        def keep(self, checkpoint):
            super().keep(checkpoint)
            self.checkpoint = checkpoint

    def trained(task, store=None, progress=lambda step, share, logs: None, **options):
        logs = []

        def told(step, share, one):
            progress(step, share, one)
            logs.append(one)

        rows = session.train(
            task, Plan(10, 4, 0.01, optimizer="muon"), store or Store(), progress=told, **options
        )
        return logs, rows, [np.asarray(v.value) for v in task.net.variables]

    expected, rows, weights = trained(OnHost())
    session.makes_examples = lambda: True
    calls, coming = [], Plan.coming
    Plan.coming = lambda *given: calls.append(coming(*given)) or calls[-1]
    got, same_rows, same_weights = trained(ByDevice())
    # The first call tells how long a step takes; none goes beyond a validation.
    assert [len(rates) for rates in calls] == [1, 3, 4, 2], calls
    for one, other in zip(got, expected, strict=True):
        assert set(one) == set(other) == {"loss", "error"}
        np.testing.assert_allclose([one[k] for k in other], list(other.values()), rtol=1e-5)
    assert expected[-1]["loss"] < expected[0]["loss"]
    for one, other in zip(same_weights, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [row["step"] for row in same_rows] == [row["step"] for row in rows] == [4, 8, 10]
    assert same_rows[0]["train_examples_per_second"] > 0

    class Stop(Exception):
        pass

    def stop(step, share, logs):
        if step == 7:
            raise Stop

    store = Store()
    with contextlib.suppress(Stop):
        trained(ByDevice(), store, stop)
    assert store.checkpoint.step == 4
    resumed, _, resumed_weights = trained(ByDevice(), store, resume=True)
    assert resumed == got[4:]
    for one, other in zip(resumed_weights, same_weights, strict=True):
        np.testing.assert_array_equal(one, other)
