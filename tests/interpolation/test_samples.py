"""Several fillings of a scan and their uncertainty, from models that learnt nothing."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from rounding import exact
from scipy.ndimage import binary_propagation, gaussian_filter

from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.two_stage.fill import TwoStage
from medgen.intensities.rule import IntensityRule
from medgen.interpolation.contract import AUTO, UNCERTAINTY
from medgen.interpolation.gaps import AcrossGaps, plan_gaps
from medgen.interpolation.insert import insert
from medgen.interpolation.plan import plan_slices
from medgen.sampling.slices import Drawn, SliceSampler
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=1,
    filters=4,
    blocks=1,
    mixtures=2,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
)
AIR, PADDING = -1024, -2000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    net = pixelminer_from(RECIPE, 2048, seed=2)
    return exact(
        Bundle(
            "pixelminer",
            IntensityRule("ct"),
            {"pixelminer": RECIPE},
            {"pixelminer": net},
            name="tiny",
        )
    )


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    monkeypatch.setattr(
        "medgen.families.pixelminer.sampler.SliceSampler", partial(SliceSampler, jit_compile=False)
    )


@pytest.fixture(scope="module")
def scan() -> Volume:
    """Noise of 7 x 8 pixels in air, a margin of it padding; slices along axis 1."""
    array = np.full((10, 3, 13), AIR, np.int16)
    array[2:9, :, 3:11] = np.random.default_rng(0).integers(-400, 900, (7, 3, 8))
    array[:, :, 12] = PADDING
    geometry = Geometry.from_spacing(array.shape, (0.8, 4.0, 0.9))
    return Volume(array, geometry, modality="ct", metadata={"padding_value": PADDING})


def sampled(interpolator, scan, **options):
    plan = plan_slices(scan.geometry, factor=2)
    return insert(scan, interpolator, plan, **options)


def alone(interpolator, scan) -> np.ndarray:
    return sampled(interpolator, scan).volumes[0].array


@pytest.fixture(scope="module")
def stripped() -> Volume:
    """A head without its skull, 0 around it and in a hole; slices along axis 1, the third lacks."""
    rng = np.random.default_rng(1)
    body = gaussian_filter(rng.normal(size=(24, 6, 28)), (4, 1.5, 4)) > 0
    body[[0, 1, -2, -1]] = body[..., [0, 1, -2, -1]] = False
    array = np.where(body, rng.integers(200, 900, body.shape), 0).astype(np.int16)
    array[body & (rng.random(body.shape) < 0.02)] = 0
    geometry = Geometry.from_spacing(array.shape, (0.8, 4.0, 0.9))
    return Volume(array, geometry, modality="mr", metadata={"missing_slices": (2,)})


WAYS = {
    "drawn": {},
    "matched": {"temperature": AUTO},
    "mean": {"decode": "mean"},
    "matched mean": {"decode": "mean", "temperature": AUTO},
}


@pytest.mark.parametrize("across_gaps", [False, True])
@pytest.mark.parametrize("way", [*WAYS, "codes", "matched codes"])
def test_background_stays_in_every_way(bundle, two_stage, stripped, way, across_gaps):
    """Also in every sample, and without uncertainty."""
    rule = IntensityRule("mr")
    if "codes" in way:
        options = WAYS["matched"] if way == "matched codes" else {}
        interpolator = TwoStage(replace(two_stage, rule=rule), **options)
    else:
        interpolator = PixelMinerInterpolator(replace(bundle, rule=rule), **WAYS[way])
    volume, plan = stripped, plan_slices(stripped.geometry, factor=3)
    if across_gaps:
        volume, places, plan = plan_gaps(stripped, 1)
        interpolator = AcrossGaps(interpolator, places)
    drawn = insert(
        volume,
        interpolator,
        plan,
        samples=1 if "mean" in way else 2,
        uncertainty="codes" not in way,
    )
    acquired = volume.array
    frame = np.zeros(acquired.shape, bool)
    frame[[0, -1]] = frame[..., [0, -1]] = True
    outside = binary_propagation(frame, mask=acquired == 0)
    changed = 0
    for target in np.flatnonzero(plan.synthetic):
        before = int(plan.positions[target])
        both = outside[:, before] & outside[:, before + 1]
        neither = ~outside[:, before] & ~outside[:, before + 1]
        for sample in drawn.volumes:
            assert (sample.array[:, target][both] == 0).all()
            changed += np.mean(sample.array[:, target][neither] != acquired[:, before][neither])
        for map_ in drawn.uncertainty.values():
            assert (map_.array[:, target][both] == 0).all()
        if drawn.uncertainty:
            assert (drawn.uncertainty["std"].array[:, target][neither] > 0).all()
    assert changed > 0.5


def test_padding_in_one_neighbour_is_not_drawn_into_tissue(bundle, two_stage):
    """Padding on both sides, and in some columns from the third slice on."""
    rng = np.random.default_rng(3)
    array = rng.integers(-100, 100, (20, 4, 24)).astype(np.int16)
    array[..., :4] = array[..., -4:] = -3024
    array[:, 2:, 4:12] = -3024
    geometry = Geometry.from_spacing(array.shape, (0.8, 4.0, 0.9))
    volume = Volume(array, geometry, modality="ct")
    for interpolator in (
        PixelMinerInterpolator(bundle, decode="mean"),
        PixelMinerInterpolator(bundle, temperature=AUTO),
        TwoStage(two_stage),
    ):
        between = insert(volume, interpolator, plan_slices(geometry, factor=4)).volumes[0].array
        assert (between[..., [*range(4), *range(20, 24)]] == -3024).all()
        assert (between[:, :7, 4:20] >= -1024).all()
        assert (between[:, 7:, 4:12] == -3024).all()


def test_each_sample_is_what_its_seed_gives_alone(bundle, scan):
    samples = sampled(PixelMinerInterpolator(bundle, seed=3), scan, samples=3)
    for k, volume in enumerate(samples.volumes):
        own = alone(PixelMinerInterpolator(bundle, seed=3 + k), scan)
        assert volume.array.tobytes() == own.tobytes()
        np.testing.assert_array_equal(volume.array[:, ::2], scan.array)
    assert len({volume.array.tobytes() for volume in samples.volumes}) == 3
    assert not samples.uncertainty


def test_two_stage_samples_likewise(exact_two_stage, scan):
    samples = sampled(TwoStage(exact_two_stage, seed=3, temperature=2.0), scan, samples=2)
    for k, volume in enumerate(samples.volumes):
        own = alone(TwoStage(exact_two_stage, seed=3 + k, temperature=2.0), scan)
        assert volume.array.tobytes() == own.tobytes()
    assert (samples.volumes[0].array != samples.volumes[1].array).any()
    with pytest.raises(BundleError, match="tiny cannot tell the uncertainty of pixels"):
        sampled(TwoStage(exact_two_stage), scan, uncertainty=True)


def test_uncertainty_in_hu_and_bits_where_slices_are_synthetic(bundle, scan):
    interpolator = PixelMinerInterpolator(bundle, seed=3)
    samples = sampled(interpolator, scan, samples=2, uncertainty=True)
    assert samples.volumes[0].array.tobytes() == alone(interpolator, scan).tobytes()
    assert tuple(samples.uncertainty) == UNCERTAINTY
    maps = {}
    for name, volume in samples.uncertainty.items():
        assert volume.geometry == samples.volumes[0].geometry
        assert (volume.array.dtype, volume.is_scaled) == (np.float32, False)
        maps[name] = volume.array
    np.testing.assert_array_equal(maps["std"][:, ::2], 0)
    np.testing.assert_array_equal(maps["entropy"][:, ::2], 0)
    inside = np.zeros((10, 2, 13), bool)
    inside[2:9, :, 3:11] = True
    for name in ("std", "entropy"):
        between = maps[name][:, 1::2]
        assert (between[inside] > 0.1).all(), name
        assert (between[~inside] == 0).all(), name
    for name in ("low", "high"):
        np.testing.assert_array_equal(maps[name][:, ::2], scan.array)
        between = maps[name][:, 1::2]
        np.testing.assert_array_equal(between[..., 12], PADDING)
        np.testing.assert_array_equal(between[..., :12][~inside[..., :12]], AIR)
    assert (maps["low"][:, 1::2][inside] < maps["high"][:, 1::2][inside]).all()
    drawn = samples.volumes[0].array[:, 1::2][inside]
    within = (maps["low"][:, 1::2][inside] <= drawn) & (drawn <= maps["high"][:, 1::2][inside])
    assert 0.5 < within.mean() <= 1


def test_uncertainty_follows_scaled_intensities(bundle, scan):
    """Stored as steps of 2 HU from -1024: the same patient, the same maps."""
    even = scan.array - scan.array % 2
    plain = Volume(even, scan.geometry, modality="ct", metadata=scan.metadata)
    scaled = Volume((even + 1024) // 2, scan.geometry, 2.0, -1024.0, "ct", scan.metadata)
    interpolator = PixelMinerInterpolator(bundle, decode="mean")
    expected, found = (sampled(interpolator, v, uncertainty=True) for v in (plain, scaled))
    for name in UNCERTAINTY:
        np.testing.assert_array_equal(
            found.uncertainty[name].array, expected.uncertainty[name].array
        )
    assert found.volumes[0].is_scaled


def test_mean_is_one_and_its_interval_holds_it(bundle, scan):
    interpolator = PixelMinerInterpolator(bundle, decode="mean")
    samples = sampled(interpolator, scan, uncertainty=True)
    low, high = (samples.uncertainty[name].array for name in ("low", "high"))
    mean = samples.volumes[0].array
    assert ((low - 1 <= mean) & (mean <= high + 1)).mean() > 0.95
    with pytest.raises(BundleError, match="does not vary; ask for one sample"):
        sampled(interpolator, scan, samples=2)


def test_hu_beyond_the_range_shift_the_interval(bundle, scan):
    array = np.clip(scan.array, AIR, None)
    array[4, :, 5] = 1023
    beyond = array.copy()
    beyond[4, :, 5] = 3023
    ends = []
    for values in (array, beyond):
        volume = Volume(values, scan.geometry, modality="ct")
        maps = sampled(PixelMinerInterpolator(bundle), volume, uncertainty=True).uncertainty
        ends.append([maps[name].array[4, 1::2, 5] for name in ("low", "high")])
    assert (np.array(ends[0]) <= 1023).all()
    np.testing.assert_array_equal(ends[1], 3023)


def test_nobody_takes_the_rest(bundle, scan, monkeypatch):
    """Batches that are not asked for are not drawn: slices wait for who writes them."""
    monkeypatch.setattr("medgen.families.pixelminer.fill.PIXELS_AT_ONCE", 1)
    array = np.repeat(scan.array, 20, axis=1)
    volume = Volume(array, Geometry.from_spacing(array.shape, (0.8, 4.0, 0.9)), modality="ct")
    started = []
    monkeypatch.setattr(
        PixelMinerInterpolator,
        "levels_at",
        lambda self, levels, batch, gap, box, samples, uncertainty: (
            started.append(batch) or Drawn(np.zeros((1, 1, *levels[0][box].shape), int), None)
        ),
    )
    stack = Volume(
        np.moveaxis(volume.to_physical(), 1, 0).copy(),
        Geometry.from_spacing((60, 10, 13), (4.0, 0.8, 0.9)),
        modality="ct",
    )
    positions = np.arange(59) + 0.5
    slices = PixelMinerInterpolator(bundle).fill(stack, positions, lambda done, total: None)
    next(slices)
    slices.close()
    assert len(started) <= 4


def test_the_published_model_has_no_uncertainty(scan):
    from medgen.families.pixelminer_published.build import pixelminer_published_from
    from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe

    recipe = PixelMinerPublishedRecipe(filters=2, mixtures=2, crop=8)
    rule, nets = IntensityRule("ct", 256), {"pixelminer": pixelminer_published_from(recipe, 256)}
    paper = Bundle("pixelminer-paper", rule, {"pixelminer": recipe}, nets, name="paper")
    with pytest.raises(BundleError, match="paper cannot tell the uncertainty of pixels"):
        sampled(PixelMinerInterpolator(paper), scan, uncertainty=True)
