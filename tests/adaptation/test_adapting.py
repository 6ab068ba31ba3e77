"""A model that learns from a scan is used where it is ahead on slices that were held out."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.adaptation import adapting as adapting_module
from medgen.adaptation import judging
from medgen.adaptation.adapting import AdaptingInterpolator, Learning, Lessons, SelfTaught
from medgen.adaptation.calibration import as_wide
from medgen.bundles.bundle import Bundle
from medgen.errors import IntensityError, TrainingError
from medgen.families.pixelminer import adapt
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import CLASSICAL, interpolate_volume
from medgen.interpolation.insert import stack_slices
from medgen.phantoms.phantom import phantom_volume
from medgen.recipes import HELD

TINY = PixelMinerRecipe(
    context=1,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
    autoregressive=False,
    crop=16,
    batch_size=2,
    learning_rate=1e-2,
    validate_every=2,
)


@pytest.fixture(scope="module")
def scan():
    return phantom_volume("ct", (24, 28, 17), (6.0, 6.0, 12.0), seed=1)


@pytest.fixture(scope="module")
def stack(scan):
    return stack_slices(scan, 2)[0]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return replace(adapt.untaught(IntensityRule("ct"), TINY, seed=3), name="tiny")


@pytest.fixture(autouse=True)
def gentle(monkeypatch):
    monkeypatch.setattr(adapt, "VALIDATE_EVERY", 2)
    monkeypatch.setattr(adapt, "HELD_WINDOWS", 2)
    monkeypatch.setattr(adapting_module, "ALONE", TINY)


@pytest.fixture
def always(monkeypatch):
    """Whatever was learnt is ahead."""
    for name, value in (("AHEAD_DB", -1e3), ("EDGES_LOST", 10.0), ("NOISE_LOST", 1e3)):
        monkeypatch.setattr(judging, name, value)


@pytest.fixture
def never(monkeypatch):
    """Nothing is."""
    monkeypatch.setattr(judging, "AHEAD_DB", 1e3)


def adapting(bundle, **learning) -> AdaptingInterpolator:
    interpolator = PixelMinerInterpolator(bundle, seed=1, decode="mean")
    return AdaptingInterpolator(interpolator, Lessons(Learning(**{"steps": 2, **learning})))


def weights(bundle: Bundle) -> list[np.ndarray]:
    return [np.array(weight) for weight in bundle.nets["pixelminer"].weights]


def test_what_is_ahead_is_used_and_told(scan, bundle, always):
    before = weights(bundle)
    method = adapting(bundle)
    finer = interpolate_volume(scan, method, factor=2)
    learnt = method.learnt
    assert learnt.method == "tiny+adapt"
    assert learnt.sentence.startswith(
        "tiny adapted to this scan in 2 steps: where 6 rows and columns of pixels were left out, "
    )
    assert learnt.facts["share"] in (0.5, 1.0)
    assert learnt.facts["interval_held"] == learnt.bundle.recipes["pixelminer"].held
    assert learnt.facts["steps"] == 2
    assert learnt.facts["held_out"] == "rows 9-14"
    assert learnt.facts["taught_gap_mm"] == 12.0
    assert (learnt.facts["slice_thickness_mm"], learnt.facts["slice_thickness_from"]) == (
        12.0,
        "distance",
    )
    taught = PixelMinerInterpolator(learnt.bundle, decode="mean")
    expected = interpolate_volume(scan, taught, factor=2)
    np.testing.assert_array_equal(finer.array, expected.array)
    assert any((a != b).any() for a, b in zip(weights(learnt.bundle), before, strict=True))
    for own, now in zip(before, weights(bundle), strict=True):  # the model itself stays
        np.testing.assert_array_equal(own, now)


def test_what_is_not_ahead_is_not_used(scan, bundle, never, monkeypatch):
    def wider(adapted, released, stack):
        recipe = replace(released.recipes["pixelminer"], held=0.99)
        return replace(adapted, recipes={"pixelminer": recipe})

    monkeypatch.setattr(adapting_module, "as_wide", wider)
    method = adapting(bundle)
    finer = interpolate_volume(scan, method, factor=2)
    assert method.learnt.bundle is bundle
    assert method.learnt.method == "tiny"
    assert method.learnt.facts["share"] == 0
    assert method.learnt.facts["interval_held"] == HELD
    assert "tiny is used as it is: adapted to this scan in 2 steps it is not ahead where 6" in (
        method.learnt.sentence
    )
    expected = interpolate_volume(scan, method.interpolator, factor=2)
    np.testing.assert_array_equal(finer.array, expected.array)


def surer(bundle: Bundle, by: float) -> Bundle:
    """The same model with the scales of its prediction times exp(-by)."""
    net = adapt.blended(bundle, bundle.nets["pixelminer"], 0.0).nets["pixelminer"]
    bias = np.array(net.prediction.bias)
    bias[-TINY.prediction_mixtures :] -= by
    net.prediction.bias.assign(bias)
    return replace(bundle, nets={"pixelminer": net})


def mean_width(bundle: Bundle, stack) -> float:
    method = PixelMinerInterpolator(bundle, decode="mean")
    gaps = np.arange(len(stack.array) - 1) + 0.5
    fillings = method.fill(stack, gaps, lambda done, total: None, uncertainty=True)
    return float(np.mean([one.uncertainty["high"] - one.uncertainty["low"] for one in fillings]))


def test_intervals_of_what_is_too_sure_are_as_wide_as_before(stack, bundle):
    sure = surer(bundle, 0.5)
    taught = as_wide(sure, bundle, stack)
    wanted = mean_width(bundle, stack)
    assert mean_width(sure, stack) < 0.7 * wanted
    assert mean_width(taught, stack) == pytest.approx(wanted, rel=0.05)
    assert taught.nets is sure.nets
    assert HELD == bundle.recipes["pixelminer"].held < taught.recipes["pixelminer"].held < 1


def test_intervals_that_are_wider_stay(stack, bundle):
    wide = surer(bundle, -0.5)
    assert as_wide(wide, bundle, stack) is wide


def test_minutes_are_repeated_by_their_steps(stack, bundle, always):
    told = []
    first = adapting(bundle, steps=None, minutes=0.002, tell=told.append)
    taken = first.taught(stack)
    assert taken is first.taught(stack)  # once
    assert told == [taken.sentence]
    again = adapting(bundle, steps=taken.facts["steps"]).taught(stack)
    assert again.facts == taken.facts
    for a, b in zip(weights(taken.bundle), weights(again.bundle), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_seed_gives_the_same_model_from_nothing():
    first, again, other = (adapt.untaught(IntensityRule("ct"), TINY, seed) for seed in (3, 3, 4))
    for a, b in zip(weights(first), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(weights(first), weights(other), strict=True))


def test_what_is_released_goes_on_by_adam_and_what_starts_from_nothing_by_muon(bundle):
    by_muon = replace(bundle, recipes={"pixelminer": replace(TINY, optimizer="muon")})
    plans = [Learning(steps=1).plan(recipe) for recipe in (adapt.gently(by_muon), adapt.ALONE)]
    assert [plan.optimizer for plan in plans] == ["adam", "muon"]


def test_from_nothing_the_weights_are_kept_whose_mean_is_nearest(stack, monkeypatch):
    shown = iter([30.0, 33.0, 31.0, 33.0])  # of three validations, and of what was kept
    guess = judging.Judge.guess

    def scripted(judge, method):
        own = isinstance(method, PixelMinerInterpolator)
        return judging.Standing(next(shown)) if own else guess(judge, method)

    monkeypatch.setattr(judging.Judge, "guess", scripted)
    facts = SelfTaught(Lessons(Learning(steps=6))).taught(stack).facts
    assert (facts["kept_step"], facts["steps"], facts["self"]) == (4, 6, {"psnr_db": 33.0})


def test_a_blend_lies_between(bundle):
    other = adapt.untaught(IntensityRule("ct"), TINY, seed=4)
    half = adapt.blended(bundle, other.nets["pixelminer"], 0.5)
    for own, a, b in zip(weights(half), weights(bundle), weights(other), strict=True):
        np.testing.assert_allclose(own, (a + b) / 2, atol=1e-6)


def test_a_model_from_nothing_falls_back_to_the_best_classical_method(scan, never):
    method = SelfTaught(Lessons(Learning(steps=1)))
    finer = interpolate_volume(scan, method, factor=2)
    best = max(method.learnt.facts["classical"], key=method.learnt.facts["classical"].get)
    assert method.learnt.method == best
    assert method.learnt.sentence.startswith(f"The scan taught too little, so {best} is used")
    expected = interpolate_volume(scan, CLASSICAL[best], factor=2)
    np.testing.assert_array_equal(finer.array, expected.array)


def test_a_model_from_nothing_keeps_units_of_any_kind(scan, always):
    scan = replace(scan, array=scan.array * 3 + 5000, modality="unknown")
    shown = []
    learning = Learning(steps=2, progress=lambda *call: shown.append(call))
    method = SelfTaught(Lessons(learning))
    finer = interpolate_volume(scan, method, factor=2)
    assert method.learnt.method == "self"
    assert shown == [("Learning", 500, 1000), ("Learning", 1000, 1000)]
    np.testing.assert_array_equal(finer.array[..., ::2], scan.array)
    assert scan.array.min() - 500 <= finer.array.min() <= finer.array.max()
    assert finer.array.max() <= scan.array.max() + 500


def test_what_cannot_teach_is_refused(scan, bundle):
    with pytest.raises(TrainingError, match="got 15 slices 12 mm apart"):
        adapting(bundle).taught(stack_slices(replace_slices(scan, 15), 2)[0])
    with pytest.raises(TrainingError, match="from 7 slices on, got 6"):
        SelfTaught(Lessons(Learning(steps=1))).taught(stack_slices(replace_slices(scan, 6), 2)[0])
    with pytest.raises(IntensityError, match="trained on CT"):
        adapting(bundle).taught(stack_slices(replace(scan, modality="mr"), 2)[0])


def replace_slices(scan, count):
    geometry = scan.geometry.resliced(2, count, scan.spacing[2])
    return scan.with_array(scan.array[..., :count], geometry)
