"""Under JAX, where TensorFlow cannot be imported: the same levels and losses, and the commands."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.recipes import to_json
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw, logistic_mixture_draw
from medgen.sampling.fixed_point import FixedPointSampler
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.wavefront import WavefrontSampler
from medgen.training.step import Step

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None or keras.backend.backend() != "tensorflow",
    reason="compares JAX with TensorFlow, which runs this test",
)
BLOCKED = "import sys; sys.modules['tensorflow'] = None\n"

FIRST = VQVAERecipe(filters=8, residual_blocks=1, num_embeddings=9, embedding_dim=4)
SECOND = PriorRecipe(filters=6, blocks=2, conditioner_filters=5, conditioner_blocks=2, dropout=0.0)
PIXELS = replace(
    PIXELMINER_RECIPES["small"], filters=6, conditioner_filters=5, dropout=0.0, input_noise=0.0
)
LEVELS, SHAPE = 64, (2, 8, 12)
# Of the values drawn, those that may be others: rounding moves one, which leads to more.
SHARE = 0.02

THERE = """
import json
from pathlib import Path
import numpy as np
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.recipe import VQVAERecipe
from test_jax import answers, nets

folder = Path(sys.argv[1])
kinds = VQVAERecipe, PriorRecipe, PixelMinerRecipe
recipes = json.loads((folder / "recipes.json").read_text())
for name, net in nets(*(kind(**values) for kind, values in zip(kinds, recipes))).items():
    net.load_weights(folder / f"{name}.weights.h5")
    np.savez(folder / f"{name}.npz", **answers(name, net))
"""


def nets(first, second, pixels) -> dict[str, keras.Model]:
    return {
        "prior": pixelcnn_from(second, first, seed=1),
        "pixelminer": pixelminer_from(pixels, LEVELS, seed=1),
    }


def inputs(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    place = {"position": np.array([0.3, 0.6], "float32"), "gap_mm": np.array([3, 5], "float32")}
    if name == "prior":
        return place | {key: rng.integers(0, 9, SHAPE) for key in ("codes", "previous", "next")}
    around = 2 * PIXELS.context
    return place | {
        "target": rng.integers(0, LEVELS, SHAPE).astype("int32"),
        "context": rng.integers(0, LEVELS, (*SHAPE, around)).astype("int32"),
        "present": np.ones((2, around), "float32"),
    }


def answers(name: str, net: keras.Model) -> dict[str, np.ndarray]:
    """What each sampler draws, and the losses of two steps."""
    given = inputs(name)
    known = net.condition(given)
    draw = categorical_draw() if name == "prior" else logistic_mixture_draw(LEVELS, net.center)
    numbers = uniforms(5, range(SHAPE[0]), (*SHAPE[1:], 1 if name == "prior" else 2))
    drawn = {
        "raster": RasterSampler(net, draw)(known, numbers),
        "cached": CachedSampler(net, draw)(known, numbers),
        "wavefront": WavefrontSampler(net, draw)(known, numbers),
        "fixed-point": FixedPointSampler(net, draw)(known, numbers, np.zeros(SHAPE, "int32"))[0],
    }
    step = Step(net, average=True)
    losses = [step(given, i, 1e-3)["loss"] for i in (1, 2)]
    return {key: keras.ops.convert_to_numpy(x) for key, x in drawn.items()} | {"losses": losses}


def run(code: str, *arguments: object) -> str:
    """Output of a Python of its own, under JAX and without TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *map(str, arguments)],
        env=os.environ
        | {
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": str(Path(__file__).parent),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",  # as users run it, other than further tests
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_levels_and_losses_are_those_under_tensorflow(tmp_path):
    here = nets(FIRST, SECOND, PIXELS)
    recipes = [to_json(recipe) for recipe in (FIRST, SECOND, PIXELS)]
    (tmp_path / "recipes.json").write_text(json.dumps(recipes))
    for name, net in here.items():
        net.save_weights(tmp_path / f"{name}.weights.h5")
    run(THERE, tmp_path)
    for name, net in here.items():
        expected, got = answers(name, net), np.load(tmp_path / f"{name}.npz")
        for key in ("cached", "wavefront", "fixed-point"):
            assert np.mean(got[key] != got["raster"]) <= SHARE, (name, key)
        assert np.mean(got["raster"] != expected["raster"]) <= SHARE, name
        assert len(np.unique(got["raster"])) > 4
        np.testing.assert_allclose(got["losses"], expected["losses"], rtol=1e-4)


COMMANDS = """
from medgen.cli import main

for line in sys.argv[1].splitlines():
    main(line.split(), standalone_mode=False)
"""


@pytest.mark.slow
def test_training_interpolation_and_evaluation_without_tensorflow(tmp_path):
    phantom = f"phantom --shape 32,32,9 -o {tmp_path}"
    train = f"--steps 2 --validation {tmp_path}/b.nii {tmp_path}/a.nii -o {tmp_path}"
    run(
        COMMANDS,
        f"""{phantom}/a.nii
{phantom}/b.nii --seed 1
train-vqvae --recipe small {train}/first
train-prior --recipe small --vqvae {tmp_path}/first {train}/two-stage
train-pixelminer --recipe small {train}/pixelminer
interpolate {tmp_path}/b.nii --model {tmp_path}/two-stage -o {tmp_path}/finer.nii
interpolate {tmp_path}/b.nii --model {tmp_path}/pixelminer -o {tmp_path}/fine.nii
evaluate {tmp_path}/b.nii --method {tmp_path}/pixelminer --jobs 1 -o {tmp_path}/report""",
    )
    assert (tmp_path / "fine.nii").exists()
    assert (tmp_path / "finer.nii").exists()
    assert "pixelminer" in (tmp_path / "report" / "slices.csv").read_text()
