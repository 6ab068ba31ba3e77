"""Grey levels drawn from a PixelMiner: cached = raster, and the draws follow the mixture."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.errors import MedgenError
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.slices import SliceSampler, prediction

LEVELS, CONTEXT = 200, 2


def net(**options) -> PixelMinerLean:
    model = PixelMinerLean(LEVELS, CONTEXT, 6, 3, 3, 4, 1, 2, dtype="float64", **options)
    model.build()
    rng = np.random.default_rng(3)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


@pytest.fixture(scope="module")
def model() -> PixelMinerLean:
    return net()


def inputs(batch: int = 3, height: int = 5, width: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "context": rng.integers(0, LEVELS, (batch, height, width, 2 * CONTEXT)),
        "present": np.ones((batch, 2 * CONTEXT)),
        "position": np.linspace(0.25, 0.5, batch),
        "gap_mm": np.linspace(3.0, 5.0, batch),
    }


def numbers(batch: int = 3, height: int = 5, width: int = 6) -> tf.Tensor:
    return uniforms(5, range(batch), (height, width, 2))


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_cached_equals_raster_level_for_level(model, temperature):
    known = model.condition(inputs())
    draw = logistic_mixture_draw(LEVELS, model.center, temperature)
    slow = RasterSampler(model, draw)(known, numbers()).numpy()
    np.testing.assert_array_equal(slow, CachedSampler(model, draw)(known, numbers()))
    assert len(np.unique(slow)) > 20
    np.testing.assert_array_equal(slow, SliceSampler(model, temperature)(inputs(), numbers()))


def test_cached_parameters_equal_teacher_forced_ones(model):
    """Record what the sampler draws from, and compare with the net on the finished levels."""
    known = model.condition(inputs())
    plain = logistic_mixture_draw(LEVELS, model.center)
    seen = []

    def recording(params, uniform, here):
        tf.py_function(lambda x: seen.append(x.numpy()), [params], [])
        return plain(params, uniform, here)

    drawn = CachedSampler(model, recording)(known, numbers())
    forced = model(inputs() | {"target": drawn})["mixture"].numpy()
    recorded = np.stack(seen, axis=1).reshape(3, 5, 6, 9)
    np.testing.assert_allclose(recorded, forced, atol=1e-9)


def test_draws_follow_the_mixture_around_the_center():
    params = np.tile(np.float32([[0.0, 1.0, -20.0, 15.0, 0.5, 1.5]]), (20000, 1))
    u = tf.reshape(numbers(1, 200, 100), (-1, 2))
    conditioning = np.full((20000, 1), 90.0, np.float32)

    def drawn(temperature: float) -> np.ndarray:
        draw = logistic_mixture_draw(LEVELS, lambda known: known[:, 0], temperature)
        return draw(params, u, conditioning).numpy()

    probability = np.exp(
        logistic_mixture.log_prob(
            params[:1].repeat(LEVELS, 0), np.arange(LEVELS), levels=LEVELS, center=90.0
        )
    )
    counts = np.bincount(drawn(1.0), minlength=LEVELS) / 20000
    assert np.abs(np.cumsum(counts) - np.cumsum(probability)).max() < 0.012  # Kolmogorov, p 0.006
    assert drawn(0.5).std() < drawn(1.0).std() < drawn(2.0).std()
    np.testing.assert_array_equal(drawn(0.0), 105)  # the location of the likelier component
    with pytest.raises(MedgenError, match="temperature"):
        logistic_mixture_draw(LEVELS, model, -1.0)


def test_without_autoregression_every_pixel_is_drawn_on_its_own():
    plain = net(autoregressive=False)
    drawn = SliceSampler(plain)(inputs(), numbers())
    _, params, linear = plain.read(inputs())
    expected = logistic_mixture.sample(params, numbers(), levels=LEVELS, center=linear)
    np.testing.assert_array_equal(drawn, expected)


def test_a_slice_does_not_depend_on_its_batch(model):
    whole = prediction(model, inputs())
    np.testing.assert_allclose(whole, model.center(model.condition(inputs())), atol=1e-4)
    one = {key: values[1:2] for key, values in inputs().items()}
    np.testing.assert_array_equal(whole[1:2], prediction(model, one))
    sampler = SliceSampler(model, jit_compile=False)
    drawn = sampler(inputs(), numbers())
    np.testing.assert_array_equal(drawn[1:2], sampler(one, numbers()[1:2]))


@pytest.mark.parametrize("options", [{"partially_causal": True}, {}, {"autoregressive": False}])
def test_known_pixels_stay_and_count(options):
    """On all sides if partially causal, else on what follows, if that depends on it at all."""
    sampler = SliceSampler(net(**options), jit_compile=False)
    free = sampler(inputs(), numbers())
    known = np.full((3, 5, 6), -1)
    known[0, 2, 1:5] = (free[0, 2, 1:5] + 60) % LEVELS
    drawn = sampler(inputs() | {"known": known}, numbers())
    np.testing.assert_array_equal(drawn[0, 2, 1:5], known[0, 2, 1:5])
    np.testing.assert_array_equal(drawn[1:], free[1:])
    assert (drawn[0, :2] != free[0, :2]).any() == ("partially_causal" in options)
    assert (drawn[0, 3:] != free[0, 3:]).any() == ("autoregressive" not in options)


def test_known_pixels_stay_in_full_passes_and_in_the_mean():
    shown = net(partially_causal=True)
    known = np.full((3, 5, 6), -1)
    known[1, :, 2] = 7
    given = inputs() | {"known": known}
    cached = SliceSampler(shown, jit_compile=False)(given, numbers())
    np.testing.assert_array_equal(
        cached, SliceSampler(shown, method="fixed-point", jit_compile=False)(given, numbers())
    )
    mean = SliceSampler(shown, decode="mean", jit_compile=False)(given, numbers())
    np.testing.assert_array_equal(mean[1, :, 2], 7)
    np.testing.assert_allclose(mean[0], prediction(shown, given)[0], atol=1e-4)
