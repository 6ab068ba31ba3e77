"""Slices drawn from a PixelMiner (an untrained one: what it learnt is not the matter)."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from rounding import exact

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.errors import BundleError, IntensityError, MedgenError
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.interpolation.matching import Texture
from medgen.sampling.slices import SliceSampler
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=2,
    filters=4,
    blocks=1,
    mixtures=2,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=2,
)
AIR = -1024


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """In float64, so that rounding moves no level, however many slices are drawn at once."""
    return exact(
        Bundle(
            "pixelminer",
            IntensityRule("ct"),
            {"pixelminer": RECIPE},
            {"pixelminer": pixelminer_from(RECIPE, 2048, seed=2)},
            name="tiny",
        )
    )


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    monkeypatch.setattr(
        "medgen.families.pixelminer.sampler.SliceSampler", partial(SliceSampler, jit_compile=False)
    )


def hu(slices=4, seed=0) -> np.ndarray:
    """Noise within a margin of air, in slices of 10 x 13 pixels along axis 2."""
    array = np.full((10, 13, slices), AIR, np.int16)
    array[2:9, 3:11] = np.random.default_rng(seed).integers(-900, 900, (7, 8, slices))
    return array


def scan(array=None, modality="ct") -> Volume:
    array = hu() if array is None else array
    return Volume(array, Geometry.from_spacing(array.shape, (0.8, 0.9, 4.0)), modality=modality)


def fill(interpolator, stack: np.ndarray, positions, modality="ct") -> np.ndarray:
    """Slices at `positions` between those of `stack` `(n, rows, cols)`, 4 mm apart."""
    geometry = Geometry.from_spacing(stack.shape, (4.0, 0.8, 0.9))
    volume = Volume(stack.astype(np.float32), geometry, modality=modality)
    fillings = interpolator.fill(volume, np.array(positions, float), lambda done, total: None)
    return np.concatenate([filling.images for filling in fillings])


def slices_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 2, 0)


@pytest.mark.parametrize("decode", ["sample", "mean"])
@pytest.mark.parametrize("axis", [0, 2])
def test_acquired_slices_stay_as_they_are(bundle, decode, axis):
    before = scan(np.moveaxis(hu(), 2, axis).copy())
    interpolator = PixelMinerInterpolator(bundle, decode=decode)
    after = interpolate_volume(before, interpolator, factor=3, slice_axis=axis)
    every = np.moveaxis(after.array, axis, 0)
    assert every[::3].tobytes() == np.moveaxis(before.array, axis, 0).tobytes()
    assert after.geometry == before.geometry.refine(axis, 3)
    assert len({image.tobytes() for image in every}) == len(every) == 10


def test_the_seed_decides_the_slices(bundle):
    def run(seed):
        return interpolate_volume(scan(), PixelMinerInterpolator(bundle, seed=seed), factor=2).array

    first = run(3)
    assert first.tobytes() == run(3).tobytes()
    other = run(4)
    for k in (1, 3, 5):
        assert (first[..., k] != other[..., k]).any()


def test_a_slice_belongs_to_its_position_whatever_else_is_drawn(bundle, monkeypatch):
    interpolator = PixelMinerInterpolator(bundle)
    stack = slices_first(hu())
    halves = fill(interpolator, stack, [0.5, 1.5, 2.5])
    quarters = fill(interpolator, stack, [0.25, 0.5, 0.75, 1.5])
    np.testing.assert_array_equal(halves[:2], quarters[[1, 3]])
    monkeypatch.setattr("medgen.families.pixelminer.fill.PIXELS_AT_ONCE", 7 * 8)
    np.testing.assert_array_equal(halves, fill(interpolator, stack, [0.5, 1.5, 2.5]))


def test_the_net_is_told_levels_places_and_which_slices_there_are(bundle, monkeypatch):
    told = []
    net = bundle.nets["pixelminer"]
    read = net.read
    monkeypatch.setattr(net, "read", lambda inputs: told.append(inputs) or read(inputs))
    fill(PixelMinerInterpolator(bundle), slices_first(hu()), [0.25, 1.5, 2.75])
    levels = slices_first(hu()).astype(int) + 1024
    for inputs, acquired, present, position in zip(
        told,
        ([0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 3]),
        ([0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]),
        (0.25, 0.5, 0.75),
        strict=True,
    ):
        expected = np.moveaxis(levels[acquired, 2:9, 3:11], 0, -1)
        np.testing.assert_array_equal(inputs["context"][0], expected)
        np.testing.assert_array_equal(inputs["present"], [present])
        assert (inputs["position"], inputs["gap_mm"]) == (position, 4.0)


def test_drawn_pixels_are_levels_within_the_body_and_air_around_it(bundle):
    drawn = fill(PixelMinerInterpolator(bundle), slices_first(hu()), [0.5, 1.5])
    np.testing.assert_array_equal(drawn, np.rint(drawn))
    inside = np.zeros(drawn.shape, bool)
    inside[:, 2:9, 3:11] = True
    assert (drawn[~inside] == AIR).all()
    assert len(np.unique(drawn[inside])) > 40


def test_mean_is_the_prediction_in_hu_and_no_matter_of_chance(bundle):
    stack = slices_first(hu())
    mean = fill(PixelMinerInterpolator(bundle, decode="mean"), stack, [0.75])
    np.testing.assert_array_equal(
        mean, fill(PixelMinerInterpolator(bundle, seed=7, decode="mean"), stack, [0.75])
    )
    levels = np.moveaxis(stack[[0, 0, 1, 2], 2:9, 3:11].astype(int) + 1024, 0, -1)
    net = bundle.nets["pixelminer"]
    known = net.condition(
        {
            "context": levels[None],
            "present": np.array([[0.0, 1, 1, 1]]),
            "position": np.array([0.75]),
            "gap_mm": np.array([4.0]),
        }
    )
    np.testing.assert_allclose(mean[0, 2:9, 3:11], net.center(known)[0] - 1024, atol=1e-3)
    assert (mean != np.rint(mean)).any()


def test_temperature_reaches_the_draw(bundle):
    stack = slices_first(hu())

    def run(**options):
        return fill(PixelMinerInterpolator(bundle, **options), stack, [0.5])

    np.testing.assert_array_equal(run(temperature=0.0), run(temperature=0.0, seed=5))
    assert (run(temperature=0.5) != run()).any()


@pytest.mark.parametrize(("decode", "share"), [("sample", 0.5), ("mean", 0.0)])
def test_auto_matches_the_texture_of_what_is_near_the_prediction(bundle, decode, share):
    stack = slices_first(hu())

    def run(**options):
        return fill(PixelMinerInterpolator(bundle, **options), stack, [1.25])[0]

    drawn, mean = run(), run(decode="mean")
    box = (slice(2, 9), slice(3, 11))  # nothing is computed, or matched, outside it
    piece = mean[box] + share * (drawn[box] - mean[box])
    expected = np.full_like(mean, AIR)
    expected[box] = Texture(stack[1:3, 2:9, 3:11]).given_to(piece, mean[box])
    matched = run(decode=decode, temperature="auto")
    np.testing.assert_allclose(matched, expected, atol=1e-3)
    assert (matched != run(decode=decode)).any()


def test_without_autoregression(bundle):
    recipe = replace(RECIPE, autoregressive=False)
    nets = {"pixelminer": pixelminer_from(recipe, 2048)}
    plain = replace(bundle, recipes={"pixelminer": recipe}, nets=nets)
    stack = slices_first(hu())
    drawn = fill(PixelMinerInterpolator(plain), stack, [0.5])
    assert (drawn != fill(PixelMinerInterpolator(plain, seed=1), stack, [0.5])).any()


def test_hu_beyond_the_range_are_carried_linearly(bundle):
    interpolator = PixelMinerInterpolator(bundle)
    inside = slices_first(hu())[:2].astype(float)
    inside[:, 4, 5:7] = 1023
    beyond = inside.copy()
    beyond[:, 4, 5] = 3023, 2023  # on both sides
    beyond[0, 4, 6] = 2223  # on one
    drawn, expected = (fill(interpolator, stack, [0.25])[0] for stack in (beyond, inside))
    expected[4, 5] = 0.75 * 3023 + 0.25 * 2023
    expected[4, 6] += 0.75 * 1200
    np.testing.assert_allclose(drawn, expected, atol=1e-3)


def test_mr_is_scaled_by_its_own_percentiles_and_back(bundle):
    mr = PixelMinerInterpolator(replace(bundle, rule=IntensityRule("mr")))
    stack = np.random.default_rng(0).uniform(0, 500, (3, 9, 11))
    once, twice = (fill(mr, scale * stack, [0.5, 1.5], "mr") for scale in (1, 2))
    np.testing.assert_allclose(2 * once, twice, rtol=1e-5)


@pytest.mark.parametrize("value", [AIR, 40])
def test_a_constant_scan_and_two_slices(bundle, value):
    array = np.full((6, 7, 2), value, np.int16)
    after = interpolate_volume(scan(array), PixelMinerInterpolator(bundle), factor=2).array
    assert after.shape == (6, 7, 3)
    if value == AIR:
        assert (after == AIR).all()


def test_progress_counts_slices(bundle):
    calls = []
    interpolate_volume(
        scan(), PixelMinerInterpolator(bundle), factor=3, progress=lambda *call: calls.append(call)
    )
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_folder_is_named_like_a_method(bundle, tmp_path):
    save_bundle(bundle, tmp_path / "mine", "# Card\n")
    name = str(tmp_path / "mine")
    loaded = interpolator_named(name, seed=2, temperature=0.7, decode="sample")
    assert isinstance(loaded, PixelMinerInterpolator)
    assert (loaded.name, loaded.seed, loaded.temperature) == ("mine", 2, 0.7)
    same = PixelMinerInterpolator(load_bundle(tmp_path / "mine"), seed=2, temperature=0.7)
    stack = slices_first(hu())
    np.testing.assert_array_equal(fill(loaded, stack, [0.5]), fill(same, stack, [0.5]))
    assert interpolator_named(name).decode == "sample"
    with pytest.raises(BundleError, match=r"pixelminer model .* takes no top_k, got 3"):
        interpolator_named(name, top_k=3)


# === What is refused ===


def test_a_decode_for_others(two_stage, tmp_path):
    with pytest.raises(BundleError, match="takes no decode, got mean"):
        interpolator_named("linear", decode="mean")
    save_bundle(two_stage, tmp_path / "codes", "# Card\n")
    with pytest.raises(BundleError, match=r"two-stage model .* takes no decode"):
        interpolator_named(str(tmp_path / "codes"), decode="mean")


def test_another_kind_of_model_and_options_out_of_range(bundle, two_stage):
    with pytest.raises(BundleError, match="tiny is a two-stage model, not a PixelMiner"):
        PixelMinerInterpolator(two_stage)
    with pytest.raises(BundleError, match="sample, mean, got 'median'"):
        PixelMinerInterpolator(bundle, decode="median")
    with pytest.raises(MedgenError, match=r"temperature .* got -1"):
        PixelMinerInterpolator(bundle, temperature=-1.0)


def test_a_scan_of_the_other_modality(bundle):
    with pytest.raises(IntensityError, match="trained on CT and the scan looks like MR"):
        interpolate_volume(scan(modality="mr"), PixelMinerInterpolator(bundle), factor=2)
