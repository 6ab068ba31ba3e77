"""What a PixelMiner knows of its pixels, against sums over every level."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.errors import MedgenError
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.recipes import HELD
from medgen.sampling.randomness import uniforms
from medgen.sampling.slices import SliceSampler
from medgen.sampling.uncertainty import UncertaintyMeasure

LEVELS = 200


def net(**options) -> PixelMinerLean:
    model = PixelMinerLean(LEVELS, 1, 6, 2, 3, 4, 1, 2, dtype="float64", **options)
    model.build()
    rng = np.random.default_rng(3)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


@pytest.fixture(scope="module")
def model() -> PixelMinerLean:
    return net()


def inputs() -> dict[str, np.ndarray]:
    return {
        "context": np.random.default_rng(4).integers(0, LEVELS, (2, 4, 5, 2)),
        "present": np.ones((2, 2)),
        "position": np.array([0.25, 0.5]),
        "gap_mm": np.array([3.0, 5.0]),
    }


def numbers(seed: int = 5) -> tf.Tensor:
    return uniforms(seed, range(2), (4, 5, 2))


def probabilities(params, center) -> np.ndarray:
    """Of every level, `(levels, b, h, w)`."""
    prob = np.stack(
        [
            np.exp(
                logistic_mixture.log_prob(
                    params, np.full(center.shape, level), levels=LEVELS, center=center
                )
            )
            for level in range(LEVELS)
        ]
    )
    return prob.astype(np.float64)


def assert_deviation_and_entropy(uncertainty, prob):
    level = np.arange(LEVELS)[:, None, None, None]
    variance = (prob * (level - (prob * level).sum(0)) ** 2).sum(0)
    np.testing.assert_allclose(uncertainty.deviation, np.sqrt(variance), rtol=0.01, atol=0.02)
    bits = -(prob * np.log2(np.maximum(prob, 1e-30))).sum(0)
    np.testing.assert_allclose(uncertainty.entropy, bits, atol=0.1)
    assert bits.max() > 1.5 * bits.min()


def assert_interval(uncertainty, prob, held=HELD):
    level = np.arange(LEVELS)[:, None, None, None]
    low, high = uncertainty.low, uncertainty.high
    for inside in ((level >= low), (level <= high)):
        assert ((prob * inside).sum(0) >= (1 + held) / 2 - 1e-5).all()
    for narrower in ((level > low), (level < high)):
        assert ((prob * narrower).sum(0) <= (1 + held) / 2 + 1e-5).all()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("method", ["cached", "fixed-point"])
def test_of_the_path_and_of_the_prediction(model, method, temperature):
    """The path's mixtures are those of a full pass over the drawn slice, at temperature 1."""
    sampler = SliceSampler(model, temperature, method=method, jit_compile=False)
    drawn = sampler.fill(inputs(), [numbers(), numbers(6)], uncertainty=True)
    slices, uncertainty = drawn.levels, drawn.uncertainty
    outputs = model(inputs() | {"target": slices[0]})
    drawn_from = probabilities(outputs["mixture"], outputs["center"])
    assert_deviation_and_entropy(uncertainty, drawn_from)
    predicted = probabilities(outputs["prediction"], outputs["linear"])
    assert_interval(uncertainty, predicted)
    assert np.abs(drawn_from - predicted).max() > 0.01


@pytest.mark.parametrize("plain", [{"decode": "mean"}, {"autoregressive": False}])
def test_of_the_prediction_alone(model, plain):
    """Where every pixel is on its own, all four are the prediction's."""
    own = net(autoregressive=False) if "autoregressive" in plain else model
    sampler = SliceSampler(own, decode=plain.get("decode", "sample"), jit_compile=False)
    uncertainty = sampler.fill(inputs(), [numbers()], uncertainty=True).uncertainty
    _, params, linear = own.read(inputs())
    prob = probabilities(params, linear)
    assert_deviation_and_entropy(uncertainty, prob)
    assert_interval(uncertainty, prob)


def test_an_interval_holds_what_it_is_told_to(model):
    sampler = SliceSampler(model, decode="mean", jit_compile=False, held=0.7)
    uncertainty = sampler.fill(inputs(), [numbers()], uncertainty=True).uncertainty
    assert_interval(uncertainty, probabilities(*model.read(inputs())[1:]), held=0.7)


@pytest.mark.parametrize("method", ["cached", "fixed-point"])
def test_measuring_changes_no_slice(model, method):
    sampler = SliceSampler(model, method=method, jit_compile=False)
    slices = sampler.fill(inputs(), [numbers(), numbers(6)], uncertainty=True).levels
    for drawn, seed in zip(slices, (5, 6), strict=True):
        np.testing.assert_array_equal(drawn, SliceSampler(model)(inputs(), numbers(seed)))
    assert (slices[0] != slices[1]).any()
    assert sampler.fill(inputs(), [numbers()]).uncertainty is None


def test_compiled_or_not(model):
    _, params, linear = model.read(inputs())
    plain, compiled = (
        UncertaintyMeasure(LEVELS, jit_compile=jit)(*[(params, linear)] * 2)
        for jit in (False, True)
    )
    for name in ("deviation", "entropy", "low", "high"):
        np.testing.assert_allclose(getattr(plain, name), getattr(compiled, name), rtol=1e-4)


@pytest.mark.parametrize("options", [{"decode": "median"}, {"method": "parallel"}])
def test_what_there_is_not(model, options):
    with pytest.raises(MedgenError, match="must be one of"):
        SliceSampler(model, **options)
