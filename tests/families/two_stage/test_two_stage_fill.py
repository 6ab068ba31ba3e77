"""Slices drawn from the two-stage model (an untrained one: what it learnt is not the matter)."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import load_bundle, save_bundle
from medgen.errors import BundleError, GeometryError, IntensityError, MedgenError
from medgen.families.two_stage.fill import TwoStage
from medgen.families.vqvae.codes import codes_of
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.interpolation.matching import Texture
from medgen.volumes import Geometry, Volume


def hu(slices=4, seed=0, dtype=np.int16) -> np.ndarray:
    """Noise over the model's range in slices of 32 x 36 pixels along axis 2."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1024, 1024, (32, 36, slices)).astype(dtype)


def scan(array=None, modality="ct", **options) -> Volume:
    array = hu() if array is None else array
    return Volume(
        array, Geometry.from_spacing(array.shape, (0.8, 0.9, 4.0)), modality=modality, **options
    )


def fill(interpolator: TwoStage, stack: np.ndarray, positions, modality="ct") -> np.ndarray:
    """Slices at `positions` between those of `stack` `(n, rows, cols)`, 4 mm apart."""
    geometry = Geometry.from_spacing(stack.shape, (4.0, 0.8, 0.9))
    volume = Volume(stack.astype(np.float32), geometry, modality=modality)
    fillings = interpolator.fill(volume, np.array(positions, float), lambda done, total: None)
    return np.concatenate([filling.images for filling in fillings])


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("axis", [0, 2])
def test_acquired_slices_stay_as_they_are(exact_two_stage, factor, axis):
    before = scan(np.moveaxis(hu(), 2, axis).copy())
    after = interpolate_volume(before, TwoStage(exact_two_stage), factor=factor, slice_axis=axis)
    every = np.moveaxis(after.array, axis, 0)
    assert every[::factor].tobytes() == np.moveaxis(before.array, axis, 0).tobytes()
    assert after.geometry == before.geometry.refine(axis, factor)
    # Every slice between is its own.
    assert len({image.tobytes() for image in every}) == len(every)


def test_the_seed_decides_the_slices(exact_two_stage):
    def run(seed):
        return interpolate_volume(scan(), TwoStage(exact_two_stage, seed=seed), factor=2).array

    first = run(3)
    assert first.tobytes() == run(3).tobytes()
    other = run(4)
    for k in (1, 3, 5):
        assert (first[..., k] != other[..., k]).any()


def test_a_slice_belongs_to_its_position_whatever_else_is_drawn(exact_two_stage, monkeypatch):
    interpolator = TwoStage(exact_two_stage, seed=1)
    stack = np.moveaxis(hu(6), 2, 0)
    quarters = np.setdiff1d(np.arange(21) / 4, np.arange(6))
    whole = dict(zip(quarters, fill(interpolator, stack, quarters), strict=True))
    halves = fill(interpolator, stack, np.arange(5) + 0.5)
    np.testing.assert_array_equal(halves, [whole[k + 0.5] for k in range(5)])
    # In chunks of one and of four slices, of 72 codes each.
    for positions_at_once in (72, 300):
        monkeypatch.setattr("medgen.families.two_stage.fill.POSITIONS_AT_ONCE", positions_at_once)
        again = fill(interpolator, stack, quarters)
        np.testing.assert_array_equal(again, [whole[p] for p in quarters])


class Listening:
    """A prior that keeps what its conditioner is told."""

    def __init__(self, prior):
        self.prior, self.told = prior, []

    def condition(self, inputs):
        self.told.append(inputs)
        return self.prior.condition(inputs)

    def __getattr__(self, name):
        return getattr(self.prior, name)


def test_the_prior_is_told_the_codes_on_either_side_the_place_and_the_gap(exact_two_stage):
    prior = Listening(exact_two_stage.nets["prior"])
    stack = np.moveaxis(hu(), 2, 0)
    positions = [0.25, 0.5, 1.75, 2.0 + 1 / 3, 2.0 + 2 / 3]
    fill(
        TwoStage(replace(exact_two_stage, nets=exact_two_stage.nets | {"prior": prior})),
        stack,
        positions,
    )
    told = {key: np.concatenate([inputs[key] for inputs in prior.told]) for key in prior.told[0]}
    unit = (stack + 1024) / 2047 - 0.5
    codes = np.stack(
        [codes_of(exact_two_stage).encode_slice(image.astype(np.float32)) for image in unit]
    )
    assert len(np.unique(codes)) > 3
    np.testing.assert_array_equal(told["previous"], codes[[0, 0, 1, 2, 2]])
    np.testing.assert_array_equal(told["next"], codes[[1, 1, 2, 3, 3]])
    np.testing.assert_allclose(told["position"], [0.25, 0.5, 0.75, 1 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_array_equal(told["gap_mm"], 4.0)


def test_slices_are_the_decoded_codes_in_hu(exact_two_stage):
    interpolator = TwoStage(exact_two_stage)
    stack = np.moveaxis(hu(), 2, 0)
    positions = np.array([0.5, 2.25])
    codes = np.stack(
        [codes_of(exact_two_stage).encode_slice(u) for u in np.float32((stack + 1024) / 2047 - 0.5)]
    )
    drawn = interpolator.sample_codes(codes, positions, 4.0)[0]
    assert drawn.shape == (2, 8, 9)
    assert len(np.unique(drawn)) > 8
    images = [codes_of(exact_two_stage).decode_slice(code, (32, 36)) for code in drawn]
    expected = np.clip(images, -0.5, 0.5) * 2047 - 0.5
    np.testing.assert_allclose(fill(interpolator, stack, positions), expected, atol=1e-3)


def test_sides_that_are_no_multiple_of_the_compression(exact_two_stage):
    stack = np.moveaxis(hu(), 2, 0)[:, :29, :34]
    assert fill(TwoStage(exact_two_stage), stack, [0.5, 1.5]).shape == (2, 29, 34)


def test_hu_beyond_the_range_are_carried_linearly(exact_two_stage):
    interpolator = TwoStage(exact_two_stage)
    inside = np.moveaxis(np.clip(hu(), -900, 900), 2, 0)[:2].astype(float)
    inside[:, :2, :3] = 1023  # what the model makes of anything above
    beyond = inside.copy()
    beyond[0, 0, 0], beyond[1, 0, 0] = 3023, 2023  # dense on both sides
    beyond[0, 0, 1] = 2223  # on one side only
    beyond[0, 1, 2], beyond[1, 1, 2] = 1500, 1500
    position = 0.25
    drawn, expected = (fill(interpolator, stack, [position])[0] for stack in (beyond, inside))
    expected[0, 0] = 0.75 * 3023 + 0.25 * 2023
    expected[0, 1] += 0.75 * 1200
    expected[1, 2] = 1500
    np.testing.assert_allclose(drawn, expected, atol=1e-3)
    assert drawn.dtype == np.float32


def test_below_the_range_too(exact_two_stage):
    narrow = TwoStage(replace(exact_two_stage, rule=IntensityRule("ct", 401, -200.0, 200.0)))
    stack = np.full((2, 32, 36), -150.0)
    stack[:, 0, 0] = -1000, -600
    drawn = fill(narrow, stack, [0.5])[0]
    assert drawn[0, 0] == -800
    assert (drawn[1:] >= -200).all()


def test_mr_is_scaled_by_its_own_percentiles_and_back(exact_two_stage):
    mr = TwoStage(replace(exact_two_stage, rule=IntensityRule("mr")))
    stack = np.moveaxis(hu(), 2, 0) + 1024.0
    once, twice = (fill(mr, scale * stack, [0.5, 1.5], "mr") for scale in (1, 2))
    np.testing.assert_array_equal(2 * once, twice)
    low, high = np.percentile(stack, (0.5, 99.9))
    assert low <= once.min() < once.max() <= high + 2


def test_sampling_options_reach_the_draw(exact_two_stage):
    stack = np.moveaxis(hu(), 2, 0)

    def run(**options):
        return fill(TwoStage(exact_two_stage, **options), stack, [0.5, 1.5])

    likeliest = run(temperature=0.0)
    np.testing.assert_array_equal(likeliest, run(temperature=0.0, seed=5))
    np.testing.assert_array_equal(likeliest, run(top_k=1, seed=5))
    np.testing.assert_array_equal(likeliest, run(top_p=1e-6, seed=6))
    assert (run() != likeliest).any()
    for options in ({"temperature": -1.0}, {"top_k": 0}, {"top_p": 1.5}):
        with pytest.raises(MedgenError, match="got"):
            TwoStage(exact_two_stage, **options)


def test_auto_matches_the_texture(exact_two_stage):
    stack = np.moveaxis(hu(), 2, 0).astype(np.float32)
    (drawn,), (matched,) = (
        fill(TwoStage(exact_two_stage, temperature=t), stack, [1.25]) for t in (1.0, "auto")
    )
    linear = stack[1] + 0.25 * (stack[2] - stack[1])
    np.testing.assert_allclose(matched, Texture(stack[1:3]).given_to(drawn, linear), rtol=1e-6)
    assert (matched != drawn).any()


def test_progress_counts_slices(exact_two_stage):
    calls = []
    interpolate_volume(
        scan(), TwoStage(exact_two_stage), factor=3, progress=lambda *call: calls.append(call)
    )
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_folder_is_named_like_a_method(exact_two_stage, tmp_path):
    save_bundle(exact_two_stage, tmp_path / "mine", "# Card\n")
    loaded = interpolator_named(str(tmp_path / "mine"), seed=2, temperature=0.7, top_k=5, top_p=0.9)
    assert isinstance(loaded, TwoStage)
    assert (loaded.name, loaded.seed) == ("mine", 2)
    assert (loaded.temperature, loaded.top_k, loaded.top_p) == (0.7, 5, 0.9)
    stack = np.moveaxis(hu(), 2, 0)
    again = load_bundle(tmp_path / "mine")
    same = TwoStage(again, seed=2, temperature=0.7, top_k=5, top_p=0.9)
    np.testing.assert_array_equal(fill(loaded, stack, [0.5]), fill(same, stack, [0.5]))
    assert interpolator_named(str(tmp_path / "mine")).temperature == "auto"


# === What is refused ===


def test_a_scan_of_the_other_modality(exact_two_stage):
    with pytest.raises(IntensityError, match="trained on CT and the scan looks like MR"):
        interpolate_volume(scan(modality="mr"), TwoStage(exact_two_stage), factor=2)
    with pytest.raises(IntensityError, match="not sure what kind of scan this is: nothing tells"):
        interpolate_volume(scan(modality="unknown"), TwoStage(exact_two_stage), factor=2)


def test_a_model_without_a_prior(vqvae_alone):
    with pytest.raises(BundleError, match="tiny is a VQ-VAE without a prior"):
        TwoStage(vqvae_alone)


def test_slices_of_another_size_than_an_oasis_model_takes(exact_two_stage):
    recipe = replace(exact_two_stage.recipes["vqvae"], image_size=32)
    small = TwoStage(replace(exact_two_stage, recipes=exact_two_stage.recipes | {"vqvae": recipe}))
    with pytest.raises(GeometryError, match="slices of 32 x 32 pixels only, got 32 x 36"):
        interpolate_volume(scan(), small, factor=2)
    square = scan(hu()[:, :32])
    assert interpolate_volume(square, small, factor=2).shape == (32, 32, 7)
