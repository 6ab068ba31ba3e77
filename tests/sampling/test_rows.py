"""Rows are drawn as images of their own."""

import numpy as np

from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.randomness import uniforms
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler

LEVELS = 100


def test_every_row_is_drawn_as_it_would_be_alone():
    net = PixelMinerLean(LEVELS, 1, 4, 2, 2, 4, 1, 2, dtype="float64")
    net.build()
    rng = np.random.default_rng(3)
    for v in net.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    given = {
        "context": rng.integers(0, LEVELS, (2, 3, 7, 2)),
        "known": np.full((2, 3, 7), -1),
        "present": np.ones((2, 2)),
        "position": np.array([0.3, 0.6]),
        "gap_mm": np.array([2.0, 3.0]),
    }
    given["known"][1, 2, 4] = 55
    numbers = uniforms(5, range(2), (3, 7, 2))
    sampler = SliceSampler(net, jit_compile=False)
    slices = RowSampler(sampler).fill(given, [numbers, numbers], True)
    (drawn, again), uncertainty = slices.levels, slices.uncertainty
    assert drawn.shape == (2, 3, 7)
    np.testing.assert_array_equal(drawn, again)
    np.testing.assert_array_equal(drawn, RowSampler(sampler)(given, numbers))
    assert drawn[1, 2, 4] == 55
    for i in range(2):
        for row in range(3):
            one = {key: x[i : i + 1] for key, x in given.items()}
            one |= {key: one[key][:, row : row + 1] for key in ("context", "known")}
            alone = sampler.fill(one, [numbers[i : i + 1, row : row + 1]], True)
            np.testing.assert_array_equal(alone.levels[0, 0, 0], drawn[i, row])
            np.testing.assert_allclose(alone.prediction[0, 0], slices.prediction[i, row])
            np.testing.assert_allclose(alone.uncertainty.entropy[0, 0], uncertainty.entropy[i, row])
    assert len(np.unique(drawn)) > 20
