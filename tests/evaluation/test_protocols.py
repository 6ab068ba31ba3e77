"""PSNR as papers measure it, against what their own code computes, written out."""

import math

import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation.experiment import evaluate_scan
from medgen.evaluation.plan import plan_scan
from medgen.evaluation.protocols import PROTOCOLS
from medgen.evaluation.recreate import take_slices
from medgen.evaluation.regions import Region
from medgen.phantoms.phantom import phantom_volume

LOWER = -1024.0


def pair(factor: int, gaps: int = 8, side: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A scan in HU, some beyond the peak, and one whose slices between are off."""
    random = np.random.default_rng(factor)
    true = random.integers(-1500, 3500, (gaps * factor + 1, side, side + 20)).astype(float)
    test = true + random.normal(0, 40, true.shape)
    test[::factor] = true[::factor]
    return true, test


def unit(volume: np.ndarray, peak: float) -> np.ndarray:
    return np.clip(volume + 1024, 0, peak) / peak


def psnr(true: np.ndarray, test: np.ndarray) -> float:
    return 10 * math.log10(1 / np.mean((true - test) ** 2))


@pytest.mark.parametrize("factor", [2, 4])
def test_each_is_what_its_code_does(factor):
    true, test = pair(factor)
    middle = np.s_[:, 22:278, 32:288]  # the central 256 of 300 and of 320
    expected = {
        "saint": psnr(
            *(np.delete(unit(x, 4000)[middle], np.s_[::factor], axis=0) for x in (true, test))
        ),
        "i3net": psnr(*(unit(x, 4095)[middle][factor:-factor] for x in (true, test))),
        "acvtt": psnr(*(unit(x, 4095)[5:-5] for x in (true, test))),
    }
    found = {name: p.psnr(true, test, factor, lower=LOWER) for name, p in PROTOCOLS.items()}
    assert found == pytest.approx(expected, abs=1e-9)


def test_acquired_slices_are_worth_what_is_said():
    """With errors alike everywhere: 3.0 dB where every second counts for nothing, 1.25 for four."""
    for factor, gain in ((2, 3.0), (4, 1.25)):
        true = np.zeros((80 * factor + 1, 16, 16))
        test = np.where(np.arange(len(true)) % factor, 25.0, 0.0)[:, None, None] + true
        i3net = PROTOCOLS["i3net"].psnr(true, test, factor, lower=LOWER)
        alone = 10 * math.log10(4095**2 / 25**2)
        assert i3net - alone == pytest.approx(gain, abs=0.06)
        saint = PROTOCOLS["saint"].psnr(true, test, factor, lower=LOWER)
        assert saint == pytest.approx(10 * math.log10(4000**2 / 25**2))


def test_short_scans_have_none_by_some():
    true, test = pair(2, gaps=4, side=20)
    assert math.isnan(PROTOCOLS["acvtt"].psnr(true, test, 2, lower=LOWER))
    assert PROTOCOLS["saint"].psnr(true, true, 2, lower=LOWER) == math.inf


def test_means_over_scans():
    assert PROTOCOLS["saint"].mean([30.0, 40.0, math.nan], [10, 30, 5]) == 37.5
    assert PROTOCOLS["i3net"].mean([30.0, 40.0], [10, 30]) == 35.0
    assert math.isnan(PROTOCOLS["acvtt"].mean([math.nan], [3]))


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_of_an_evaluation(modality):
    scan = phantom_volume(modality, (30, 28, 15), (9.0, 8.0, 5.0), seed=3)
    plan = plan_scan(scan.geometry, slice_axis=2)

    def repeat(volume, *, factor, slice_axis):
        finer = volume.geometry.refine(slice_axis, factor)
        return volume.with_array(np.repeat(volume.array, factor, slice_axis)[..., :-1], finer)

    def measured():
        return evaluate_scan(
            scan,
            {"repeat": repeat},
            plan,
            name="scan",
            binning=None,
            region=Region("everything", np.ones(scan.shape, bool)),
            protocols=("i3net", "saint"),
        )

    if modality == "mr":
        with pytest.raises(EvaluationError, match="are for CT in HU, got MR; leave out --protocol"):
            measured()
        return
    acquired = take_slices(scan, 2, plan.truth[::2])
    stacks = [np.moveaxis(v.array, 2, 0) for v in (scan, repeat(acquired, factor=2, slice_axis=2))]
    expected = psnr(*(np.delete(unit(x, 4000), np.s_[::2], axis=0) for x in stacks))
    published = measured().published
    assert list(published) == ["i3net", "saint"]
    assert published["saint"]["repeat"] == pytest.approx(expected)
