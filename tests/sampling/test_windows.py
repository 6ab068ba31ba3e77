"""Windows cover a slice in order, and what they find drawn stays."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.errors import MedgenError
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.draw import keep_known, logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.staged.sampler import StagedSampler
from medgen.sampling.windows import WindowSampler, waves

LEVELS = 50


@pytest.fixture(scope="module")
def net() -> PixelMinerPublished:
    model = PixelMinerPublished(LEVELS, filters=2, mixtures=2, halvings=1, dtype="float64")
    model.build()
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.uniform(0.5, 1.2, v.shape) if v.name == "gain" else rng.normal(size=v.shape))
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


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (21, 16), (24, 32), (9, 3)])
def test_windows_of_a_wave_agree_and_all_are_covered_in_order(shape):
    done = np.zeros(shape, int)
    for wave in waves(shape, 8):
        before = done.copy()
        for window in wave:
            assert before[window].shape == tuple(min(8, n) for n in shape)
            # What two windows of a wave share is known to both.
            assert (done[window] == before[window]).all()
            new = before[window] == 0
            assert new.any()
            # The known part is above or left of all that is new: an inner window's last quarter.
            rows, columns = np.nonzero(new)
            assert new[rows.min() :, columns.min() :].all()
            done[window] = 1
    assert done.all()


def test_the_first_window_is_drawn_as_one_and_later_ones_know_it(net):
    given, random = inputs(2, 8, 12), numbers(2, 8, 12)
    draw = logistic_mixture_draw(LEVELS, net.center)
    drawn = WindowSampler(net, side=8)(given, random)
    known = net.condition(given)
    first = StagedSampler(net, draw)(known[:, :, :8], random[:, :, :8]).numpy()
    np.testing.assert_array_equal(drawn[:, :, :8], first)

    kept = np.full((2, 8, 8, 1), -1.0, np.float32)
    kept[:, :, :4, 0] = first[:, :, 4:]
    with_known = tf.concat([random[:, :, 4:], kept], axis=-1)
    second = RasterSampler(net, keep_known(draw))(known[:, :, 4:], with_known).numpy()
    np.testing.assert_array_equal(drawn[:, :, 4:], second)
    assert len(np.unique(drawn)) > 20


def test_known_pixels_are_never_rewritten_and_lead_what_follows(net):
    given, random = inputs(2, 9, 7), numbers(2, 9, 7)
    sampler = WindowSampler(net, side=8)
    free = sampler(given, random)
    known = np.full((2, 9, 7), -1)
    known[0, 3:5] = (free[0, 3:5] + 7) % LEVELS
    drawn = sampler(given | {"known": known}, random)
    np.testing.assert_array_equal(drawn[0, 3:5], known[0, 3:5])
    np.testing.assert_array_equal(drawn[0, :3], free[0, :3])
    assert (drawn[0, 5:] != free[0, 5:]).any()
    np.testing.assert_array_equal(drawn[1], free[1])


def test_a_few_at_a_time_draw_the_same(net, monkeypatch):
    given, random = inputs(3, 12, 12), numbers(3, 12, 12)
    drawn = WindowSampler(net, side=8).fill(given, [random, random])
    assert (drawn.prediction, drawn.uncertainty) == (None, None)
    slices = drawn.levels
    np.testing.assert_array_equal(slices[0], slices[1])
    monkeypatch.setattr("medgen.sampling.windows.PIXELS_AT_ONCE", 100)
    np.testing.assert_array_equal(WindowSampler(net, side=8)(given, random), slices[0])


def test_windows_in_air_are_air(net, monkeypatch):
    given, random = inputs(2, 8, 16), numbers(2, 8, 16)
    given["context"][0] = 0
    given["context"][1, :, 8:] = 0
    given["known"] = np.full((2, 8, 16), -1)
    given["known"][0, 2, 3] = 9
    drawn = WindowSampler(net, side=8)(given, random)
    assert drawn[0, 2, 3] == 9
    assert np.count_nonzero(drawn[0]) == 1
    assert not drawn[1, :, 12:].any()  # what the window in the middle has not drawn
    assert np.count_nonzero(drawn[1, :, :12]) > 80
    given["context"][:] = 0
    monkeypatch.setattr(StagedSampler, "__call__", None)
    assert np.count_nonzero(WindowSampler(net, side=8)(given, random)) == 1


def test_what_the_published_net_lacks(net):
    with pytest.raises(MedgenError, match="has only decode sample, got 'mean'"):
        WindowSampler(net, decode="mean")
    with pytest.raises(MedgenError, match="has only sampler cached, got 'fixed-point'"):
        WindowSampler(net, method="fixed-point")
    with pytest.raises(MedgenError, match="no prediction to take an uncertainty from"):
        WindowSampler(net).fill(inputs(1, 4, 4), [numbers(1, 4, 4)], uncertainty=True)
