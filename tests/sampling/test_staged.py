"""The sampler for stages of several resolutions against the raster one, from one stage to all."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.draw import logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.staged.sampler import StagedSampler

LEVELS, MIXTURES = 200, 2


def net(halvings: int, layers: int = 1) -> PixelMinerPublished:
    model = PixelMinerPublished(
        LEVELS, filters=3, layers=layers, mixtures=MIXTURES, halvings=halvings, dtype="float64"
    )
    model.build()
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        if v.name == "gain":
            v.assign(rng.uniform(0.5, 1.2, v.shape))
        elif v.name == "bias":
            v.assign(rng.normal(size=v.shape) / 4)
        else:
            v.assign(rng.normal(size=v.shape))
    # Parameters of order one: few draws then fall on the first and the last level.
    model.out.gain.assign(0.1 * model.out.gain)
    return model


def inputs(batch: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "context": rng.integers(0, LEVELS, (batch, height, width, 2)),
        "position": np.linspace(0.25, 0.6, batch),
        "gap_mm": np.linspace(3.0, 5.0, batch),
    }


def numbers(batch: int, height: int, width: int) -> tf.Tensor:
    return uniforms(5, range(batch), (height, width, 2))


def check(model: PixelMinerPublished, batch: int, height: int, width: int) -> np.ndarray:
    """What the sampler draws from equals the net's parameters for the finished levels."""
    given = inputs(batch, height, width)
    known = model.condition(given)
    plain = logistic_mixture_draw(LEVELS, model.center)
    seen = []

    def recording(params, uniform, here):
        tf.py_function(lambda x: seen.append(x.numpy()), [params], [])
        return plain(params, uniform, here)

    drawn = StagedSampler(model, recording)(known, numbers(batch, height, width))
    forced = model(given | {"target": drawn})["mixture"].numpy()
    recorded = np.stack(seen, axis=1).reshape(batch, height, width, 3 * MIXTURES)
    np.testing.assert_allclose(recorded, forced, rtol=1e-9, atol=1e-9)
    assert forced.std() > 1
    return drawn.numpy()


@pytest.mark.parametrize(
    ("halvings", "layers", "size"),
    [
        (0, 1, (5, 6)),  # gated residual layers at one resolution
        (1, 1, (6, 8)),  # and one strided and transposed convolution in each stack
        pytest.param(2, 1, (16, 12), marks=pytest.mark.slow),  # the published six stages
        pytest.param(2, 2, (4, 8), marks=pytest.mark.slow),
        pytest.param(2, 1, (7, 9), marks=pytest.mark.slow),  # sides that the stages do not divide
        pytest.param(2, 1, (1, 1), marks=pytest.mark.slow),
    ],
)
def test_parameters_equal_teacher_forced_ones(halvings, layers, size):
    drawn = check(net(halvings, layers), 2, *size)
    assert size == (1, 1) or len(np.unique(drawn)) > 10


def test_staged_equals_raster_level_for_level():
    model, size = net(2), (3, 8, 7)
    known = model.condition(inputs(*size))
    draw = logistic_mixture_draw(LEVELS, model.center)
    slow = RasterSampler(model, draw)(known, numbers(*size)).numpy()
    np.testing.assert_array_equal(slow, StagedSampler(model, draw)(known, numbers(*size)))
    assert len(np.unique(slow)) > 30


@pytest.mark.slow
def test_a_slice_does_not_depend_on_its_batch_and_another_size_does_not_retrace():
    model = net(2)
    sampler = StagedSampler(model, logistic_mixture_draw(LEVELS, model.center))

    def drawn(batch, height, width, only=slice(None)):
        known = model.condition(inputs(batch, height, width))
        return sampler(known[only], numbers(batch, height, width)[only]).numpy()

    together = drawn(3, 6, 5)
    np.testing.assert_array_equal(together[1:2], drawn(3, 6, 5, slice(1, 2)))
    assert drawn(2, 4, 9).shape == (2, 4, 9)
    traces = sampler._sample.experimental_get_tracing_count()  # all sides have varied by now
    for size in ((1, 8, 4), (3, 6, 5)):
        assert drawn(*size).shape == size
    assert sampler._sample.experimental_get_tracing_count() == traces
