"""Seconds a training step of PixelMiner takes, by precision and by Keras backend.

    python benchmarks/training.py [--recipe default] [--steps 5]

Compared are float32, float32 with oneDNN allowed to compute in bfloat16
(TF_SET_ONEDNN_FPMATH_MODE=BF16, which gains where the processor has matrix units for it), Keras's
mixed_bfloat16, and JAX and PyTorch where they are installed. Each runs in a process of its own. The
last line is one JSON object: float32 on TensorFlow over each of the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys

WAYS = {
    "tensorflow float32": {"KERAS_BACKEND": "tensorflow"},
    "tensorflow float32, oneDNN in bfloat16": {
        "KERAS_BACKEND": "tensorflow",
        "TF_SET_ONEDNN_FPMATH_MODE": "BF16",
    },
    "tensorflow mixed_bfloat16": {"KERAS_BACKEND": "tensorflow", "POLICY": "mixed_bfloat16"},
    "jax float32": {"KERAS_BACKEND": "jax"},
    "torch float32": {"KERAS_BACKEND": "torch"},
}
STEP = """
import os, sys, time
import keras
import numpy as np
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.training.step import Step

keras.config.set_dtype_policy(os.environ.get("POLICY", "float32"))
recipe, steps = PIXELMINER_RECIPES[sys.argv[1]], int(sys.argv[2])
rng = np.random.default_rng(0)
shape = (recipe.batch_size, recipe.crop, recipe.crop)
slices = 2 * recipe.context
inputs = {
    "target": rng.integers(0, recipe.levels, shape).astype(np.int32),
    "context": rng.integers(0, recipe.levels, (*shape, slices)).astype(np.int32),
    "present": np.ones((shape[0], slices), np.float32),
    "position": np.full(shape[0], 0.5, np.float32),
    "gap_mm": np.full(shape[0], 4.0, np.float32),
}
net = pixelminer_from(recipe, recipe.levels)
take = Step(net, average=True, optimizer=recipe.optimizer)
for number in (1, 2):
    take(inputs, number, 1e-3)
start = time.perf_counter()
for number in range(3, steps + 3):
    take(inputs, number, 1e-3)
print((time.perf_counter() - start) / steps)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    seconds = {}
    for way, variables in WAYS.items():
        if importlib.util.find_spec(variables["KERAS_BACKEND"]) is None:
            print(f"{way:40s} not installed")
            continue
        done = subprocess.run(
            [sys.executable, "-c", STEP, options.recipe, str(options.steps)],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if done.returncode:
            print(f"{way:40s} failed")
            continue
        seconds[way] = float(done.stdout.split()[-1])
        print(f"{way:40s} {seconds[way]:.3f} s a step", flush=True)
    first = seconds["tensorflow float32"]
    print(json.dumps({way: first / value for way, value in seconds.items()}))


if __name__ == "__main__":
    main()
