"""Slices asked for together are those asked for one by one, whatever lies beside them.

The nets are of double precision, so that no processor's rounding can move a level or a code.
"""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.nets.pixelcnn import PixelCNN
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.serving import signatures


def pixelminer(**changes) -> Bundle:
    net = PixelMinerLean(2048, 2, 6, 2, 2, 4, 1, 2, dtype="float64", seed=3, **changes)
    net.build()
    recipes, nets = {"pixelminer": PixelMinerRecipe()}, {"pixelminer": net}
    return Bundle("pixelminer", IntensityRule("ct"), recipes, nets, name="direct")


@pytest.fixture(scope="module")
def bundles(two_stage) -> dict[str, Bundle]:
    prior = PixelCNN(16, 4, 8, 2, 8, 1, dtype="float64", seed=2)
    prior.build()
    codes = replace(two_stage, nets=two_stage.nets | {"prior": prior})
    return {
        "pixelminer": pixelminer(),
        "independent": pixelminer(autoregressive=False),
        "mr": replace(pixelminer(), rule=IntensityRule("mr")),
        "codes": codes,
    }


def served_model(bundle: Bundle) -> signatures.ServedModel:
    return bundle.family.served(bundle)


def request(count: int = 5, shape=(9, 13)) -> dict[str, np.ndarray]:
    """Pairs that lie in air of their own extent, the last in nothing else."""
    rng = np.random.default_rng(8)
    both = np.full((2, count, *shape), -1024, np.float32)
    for i in range(count - 1):
        box = np.s_[:, i, i : shape[0] - i // 2, 2 * i :]
        both[box] = rng.integers(-900, 900, both[box].shape)
    both[:, 0, 0, 0] = 2000  # beyond the models' range
    both[:, 1, 0, :2] = -2000  # padding
    return {
        "previous": both[0],
        "next": both[1],
        "position": np.linspace(0.2, 0.8, count).astype(np.float32),
        "gap_mm": np.linspace(2, 6, count).astype(np.float32),
        "seed": np.arange(count),
        "temperature": np.linspace(0, 1.5, count).astype(np.float32),
    }


def answer(function, inputs: dict) -> dict[str, np.ndarray]:
    got = function(**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in got.items()}


@pytest.mark.parametrize("name", ["pixelminer", "independent", "mr", "codes"])
@pytest.mark.parametrize("at_once", [2**15, 2 * 9 * 13])
def test_slices_together_are_those_alone(bundles, name, at_once, monkeypatch):
    """In one group, and in groups of two of which the last is not full."""
    monkeypatch.setattr(signatures, "PIXELS_AT_ONCE", at_once)
    served = served_model(bundles[name])
    inputs = request()
    together = answer(served.serve, inputs)
    for i in range(5):
        alone = answer(served.serve, {key: values[i : i + 1] for key, values in inputs.items()})
        np.testing.assert_array_equal(together["slice"][i], alone["slice"][0])
        np.testing.assert_allclose(together["std"][i], alone["std"][0], rtol=1e-4, atol=1e-4)
    assert len(np.unique(together["slice"][0])) > 20
    backwards = answer(served.serve, {key: values[::-1] for key, values in inputs.items()})
    np.testing.assert_array_equal(backwards["slice"][::-1], together["slice"])


@pytest.mark.parametrize("name", ["pixelminer", "codes"])
def test_positions_of_a_scan_together_are_those_alone(bundles, name):
    served = served_model(bundles[name])
    scan = {"acquired": request()["previous"], "gap_mm": np.float32(4), "seed": np.int64(3)}
    positions = np.array([0.5, 0.75, 1.5, 3.25])
    together = answer(served.fill, scan | {"positions": positions})
    assert together["slice"].shape == together["std"].shape == (4, 9, 13)
    for i in range(4):
        alone = answer(served.fill, scan | {"positions": positions[i : i + 1]})["slice"][0]
        np.testing.assert_array_equal(together["slice"][i], alone)


def test_shapes_do_not_retrace(bundles):
    """What a shape costs is its work and not a graph that is kept for it."""
    served = served_model(bundles["pixelminer"])
    for rows in range(1, 6):
        for columns in (1, 17, 40):
            answer(served.serve, request(2, (rows, columns)))
    assert served.serve.experimental_get_tracing_count() == 1
    assert served.sampler._values_and_outputs.experimental_get_tracing_count() == 1


def test_no_positions_are_refused(bundles):
    served = served_model(bundles["codes"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="positions must lie between"):
        answer(served.fill, {"acquired": request()["previous"], "positions": np.zeros(0)})
