"""The cached sampler against the raster one, from logits to codes, and the draws themselves."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.errors import MedgenError
from medgen.nets.pixelcnn import PixelCNN
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler


@pytest.fixture(scope="module")
def prior() -> PixelCNN:
    model = PixelCNN(11, 5, 6, 3, 4, 2, dtype="float64")
    model.build()
    rng = np.random.default_rng(3)
    for v in model.trainable_variables:
        v.assign(1.5 * rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


def neighbours(batch: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "previous": rng.integers(0, 11, (batch, height, width)),
        "next": rng.integers(0, 11, (batch, height, width)),
        "position": np.linspace(0.25, 0.5, batch),
        "gap_mm": np.linspace(3.0, 5.0, batch),
    }


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 4}, {"top_p": 0.8}])
def test_cached_equals_raster_code_for_code(prior, options, jit_compile):
    conditioning = prior.condition(neighbours(3, 6, 7))
    numbers = uniforms(5, range(3), (6, 7, 1))
    draw = categorical_draw(**options)
    slow = RasterSampler(prior, draw)(conditioning, numbers)
    fast = CachedSampler(prior, draw, jit_compile=jit_compile)(conditioning, numbers)
    np.testing.assert_array_equal(slow, fast)
    assert len(np.unique(slow)) >= 4


@pytest.mark.parametrize("jit_compile", [False, True])
def test_cached_outputs_equal_teacher_forced_logits(prior, jit_compile):
    """What the codes were drawn from is what the net gives for the finished codes."""
    inputs = neighbours(2, 4, 5)
    conditioning = prior.condition(inputs)
    numbers = uniforms(9, range(2), (4, 5, 1))
    sampler = CachedSampler(prior, categorical_draw(temperature=0.5), jit_compile=jit_compile)
    codes, outputs = sampler.with_outputs(conditioning, numbers)
    np.testing.assert_array_equal(codes, sampler(conditioning, numbers))
    np.testing.assert_allclose(outputs, prior(inputs | {"codes": codes}), atol=1e-10)


def test_a_map_does_not_depend_on_its_batch(prior):
    inputs = neighbours(3, 5, 6)
    conditioning = prior.condition(inputs)
    places = [7, 2**40, 3]
    sampler = CachedSampler(prior, categorical_draw())
    together = sampler(conditioning, uniforms(1, places, (5, 6, 1)))
    alone = sampler(conditioning[1:2], uniforms(1, places[1:2], (5, 6, 1)))
    np.testing.assert_array_equal(together[1:2], alone)


def test_another_call_of_any_size_does_not_retrace(prior):
    sampler = CachedSampler(prior, categorical_draw())
    for batch, height, width in ((2, 4, 5), (3, 6, 7), (1, 8, 4), (2, 4, 5)):
        conditioning = prior.condition(neighbours(batch, height, width))
        numbers = uniforms(1, range(batch), (height, width, 1))
        assert sampler(conditioning, numbers).shape == (batch, height, width)
    assert sampler._values.experimental_get_tracing_count() <= 2


def test_sampled_frequencies_follow_the_softmax():
    logits = tf.constant(np.log([[0.5, 0.3, 0.15, 0.05]]))
    numbers = uniforms(0, [4], (200, 100, 1))
    u = numbers.reshape(-1, 1)
    rows = tf.repeat(logits, 20000, axis=0)

    def frequencies(**options):
        codes = categorical_draw(**options)(rows, u, None).numpy()
        return np.bincount(codes, minlength=4) / codes.size

    np.testing.assert_allclose(frequencies(), [0.5, 0.3, 0.15, 0.05], atol=0.01)
    sharp = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    np.testing.assert_allclose(frequencies(temperature=0.5), sharp / sharp.sum(), atol=0.01)
    np.testing.assert_allclose(frequencies(top_k=2), [0.625, 0.375, 0, 0], atol=0.01)
    # 0.5 + 0.3 < 0.9 <= 0.5 + 0.3 + 0.15
    np.testing.assert_allclose(
        frequencies(top_p=0.9), np.array([0.5, 0.3, 0.15, 0]) / 0.95, atol=0.01
    )
    np.testing.assert_array_equal(frequencies(temperature=0), [1, 0, 0, 0])


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(MedgenError, match="got"):
        categorical_draw(**options)


def test_an_excluded_code_is_never_drawn():
    """Also where the uniform number is the largest there is and the last codes are excluded."""
    logits = tf.repeat(tf.constant([[0.3, 2.0, -0.4, 1.0, -3.0, -3.1]]), 4, axis=0)
    u = tf.constant([[1 - 2.0**-24], [1.0], [0.0], [0.5]])
    codes = categorical_draw(top_k=2)(logits, u, None).numpy()
    np.testing.assert_array_equal(codes, [3, 3, 1, 1])
