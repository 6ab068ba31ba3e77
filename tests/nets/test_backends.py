"""The nets under Keras's other backends: the same outputs, and training whose weights come back."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.recipes import to_json

FIRST = VQVAERecipe(filters=8, residual_blocks=1, num_embeddings=9, embedding_dim=4)
SECOND = PriorRecipe(filters=6, blocks=2, conditioner_filters=5, conditioner_blocks=2)
PIXELS = replace(PIXELMINER_RECIPES["small"], filters=6, conditioner_filters=5)
LEVELS = 64

OTHER_BACKEND = """
import json, sys
from pathlib import Path
import keras
import numpy as np
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.vqvae.build import vqvae_from
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.recipe import VQVAERecipe

folder = Path(sys.argv[1])
recipes = json.loads((folder / "recipes.json").read_text())
first, second, pixels = (
    kind(**values) for kind, values in zip((VQVAERecipe, PriorRecipe, PixelMinerRecipe), recipes)
)
nets = {
    "vqvae": vqvae_from(first),
    "prior": pixelcnn_from(second, first),
    "pixelminer": pixelminer_from(pixels, int(sys.argv[2])),
}
for name, net in nets.items():
    given = dict(np.load(folder / f"{name}.npz"))
    expected = {key: given.pop(key) for key in list(given) if key.startswith("output_")}
    inputs = given["x"] if "x" in given else given
    net.load_weights(folder / f"{name}.weights.h5")
    outputs = net(inputs, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"only": outputs}
    for key, value in expected.items():
        result = keras.ops.convert_to_numpy(outputs[key.removeprefix("output_")])
        np.testing.assert_allclose(result, value, rtol=2e-3, atol=2e-3, err_msg=f"{name} {key}")
    net.compile(optimizer=keras.optimizers.Adam(1e-3))
    losses = [float(net.train_on_batch(inputs, return_dict=True)["loss"]) for _ in range(4)]
    assert losses[-1] < losses[0], (name, losses)
    net.optimizer = None
    net.save_weights(folder / f"{name}-trained.weights.h5")
    trained = net(inputs, training=False)
    trained = trained if isinstance(trained, dict) else {"only": trained}
    arrays = {key: keras.ops.convert_to_numpy(value) for key, value in trained.items()}
    np.savez(folder / f"{name}-trained.npz", **arrays)
assert "tensorflow" not in sys.modules
"""


def examples() -> dict[str, object]:
    """Inputs of each net, sides of unequal length."""
    rng = np.random.default_rng(0)
    gaps = {
        "position": np.array([0.3, 0.6], np.float32),
        "gap_mm": np.array([3.0, 5.0], np.float32),
    }
    codes = {key: rng.integers(0, 9, (2, 5, 6)) for key in ("codes", "previous", "next")}
    pixels = {
        "target": rng.integers(0, LEVELS, (2, 10, 12)),
        "context": rng.integers(0, LEVELS, (2, 10, 12, 2 * PIXELS.context)),
        "present": np.ones((2, 2 * PIXELS.context), np.float32),
    }
    image = rng.uniform(-0.5, 0.5, (2, 16, 20, 1)).astype(np.float32)
    return {"vqvae": image, "prior": codes | gaps, "pixelminer": pixels | gaps}


def outputs_of(net, inputs) -> dict[str, np.ndarray]:
    outputs = net(inputs, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"only": outputs}
    return {key: value.numpy() for key, value in outputs.items()}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_outputs_and_training_without_tensorflow(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    nets = {
        "vqvae": vqvae_from(FIRST, seed=1),
        "prior": pixelcnn_from(SECOND, FIRST, seed=1),
        "pixelminer": pixelminer_from(PIXELS, LEVELS, seed=1),
    }
    inputs = examples()
    recipes = [to_json(recipe) for recipe in (FIRST, SECOND, PIXELS)]
    (tmp_path / "recipes.json").write_text(json.dumps(recipes))
    for name, net in nets.items():
        given = inputs[name] if isinstance(inputs[name], dict) else {"x": inputs[name]}
        expected = {f"output_{k}": v for k, v in outputs_of(net, inputs[name]).items()}
        np.savez(tmp_path / f"{name}.npz", **given, **expected)
        net.save_weights(tmp_path / f"{name}.weights.h5")
    subprocess.run(
        [sys.executable, "-c", OTHER_BACKEND, str(tmp_path), str(LEVELS)],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
    )
    for name, net in nets.items():
        net.load_weights(tmp_path / f"{name}-trained.weights.h5")
        trained = np.load(tmp_path / f"{name}-trained.npz")
        for key, value in outputs_of(net, inputs[name]).items():
            np.testing.assert_allclose(value, trained[key], rtol=2e-3, atol=2e-3)
