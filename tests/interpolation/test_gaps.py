from dataclasses import dataclass, field

import numpy as np
import pytest

from medgen.interpolation import CLASSICAL
from medgen.interpolation.contract import Filling, Interpolator
from medgen.interpolation.gaps import AcrossGaps, plan_gaps
from medgen.interpolation.insert import insert
from medgen.volumes import Geometry, Volume

RAMP = np.arange(10) * 8.0


def volume_with_gaps(missing, n=10):
    """Slices of `8 k`, sides 3, 4 and `n`, of which some are missing and hold their neighbours'."""
    kept = np.setdiff1d(np.arange(n), missing)
    stand_in = kept[np.abs(kept[:, None] - np.arange(n)).argmin(axis=0)]
    array = np.broadcast_to(RAMP[stand_in], (3, 4, n)).astype(np.int16)
    geometry = Geometry.from_spacing((3, 4, n), (0.5, 0.7, 5.0), (1.0, 2.0, 3.0))
    return Volume(array, geometry, metadata={"missing_slices": tuple(missing)})


@dataclass
class Recorder(Interpolator):
    """Fills in by linear interpolation and keeps what it was shown."""

    name: str = "recorder"
    draws: bool = True
    shown: list = field(default_factory=list)

    def fill(self, stack, positions, progress, *, samples=1, uncertainty=False):
        self.shown.append((stack, positions))
        images = np.empty((samples, *stack.shape[1:]), np.float32)  # the same for every slice
        for done, position in enumerate(positions, start=1):
            k = int(position)
            linear = stack.array[k] + (position - k) * (stack.array[k + 1] - stack.array[k])
            images[...] = linear + np.arange(samples)[:, None, None]
            progress(done, len(positions))
            yield Filling(images)


@pytest.mark.parametrize("missing", [(4,), (1, 8), (2, 3), (1, 2, 3, 6, 8), (1, 3, 5, 7)])
def test_a_ramp_is_made_whole(missing):
    volume = volume_with_gaps(missing)
    acquired, places, plan = plan_gaps(volume, 2)
    assert acquired.shape == (3, 4, 10 - len(missing))
    assert tuple(np.flatnonzero(plan.synthetic)) == missing
    assert plan.mask().array[1, 1].nonzero()[0].tolist() == list(missing)
    seen = []
    (filled,) = insert(
        acquired,
        AcrossGaps(CLASSICAL["linear"], places),
        plan,
        progress=lambda done, total: seen.append((done, total)),
    ).volumes
    np.testing.assert_array_equal(filled.array, np.broadcast_to(RAMP, (3, 4, 10)))
    assert filled.geometry == volume.geometry
    assert filled.array.dtype == np.int16
    assert seen == [(k + 1, len(missing)) for k in range(len(missing))]


def test_interpolators_are_told_true_widths_and_places():
    """Missing 2, 5 and 6: gaps of 10 mm after slice 1 and of 15 mm after slice 4."""
    recorder = Recorder()
    acquired, places, plan = plan_gaps(volume_with_gaps((2, 5, 6)), 2)
    (filled,) = insert(acquired, AcrossGaps(recorder, places), plan).volumes
    np.testing.assert_array_equal(filled.array[0, 0], RAMP)
    (narrow, halves), (wide, thirds) = recorder.shown
    assert narrow.spacing[0] == pytest.approx(10)
    # Every second slice from 1 on; for 5, which is missing, its neighbour 4.
    np.testing.assert_array_equal(narrow.array[:, 0, 0], RAMP[[1, 3, 4, 7, 9]])
    np.testing.assert_array_equal(halves, [0.5])
    np.testing.assert_allclose(narrow.geometry.affine[:3, 3], (1, 2, 3 + 5))
    assert wide.spacing[0] == pytest.approx(15)
    np.testing.assert_array_equal(wide.array[:, 0, 0], RAMP[[1, 4, 7]])
    np.testing.assert_allclose(thirds, [1 + 1 / 3, 1 + 2 / 3])
    assert (wide.geometry.orientation, wide.shape) == ("SRA", (3, 3, 4))


def test_samples_across_gaps():
    acquired, places, plan = plan_gaps(volume_with_gaps((1, 2, 5)), 2)
    drawn = insert(acquired, AcrossGaps(Recorder(), places), plan, samples=2)
    np.testing.assert_array_equal(drawn.volumes[0].array[2, 3], RAMP)
    np.testing.assert_array_equal(
        drawn.volumes[1].array[2, 3] - RAMP, np.isin(np.arange(10), (1, 2, 5))
    )
