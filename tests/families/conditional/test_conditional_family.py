"""A conditional two-stage model on a phantom: trained, kept, examined, and filling in slices."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.doctor import examine
from medgen.errors import BundleError, TrainingError
from medgen.families.conditional.build import conditional_prior_from, conditional_vqvae_from
from medgen.families.conditional.fill import ConditionalInterpolator
from medgen.families.conditional.fit import (
    ConditionalTask,
    with_prediction_of,
)
from medgen.families.conditional.fit_prior import ConditionalPriorTask
from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
from medgen.families.conditional.sampler import CodeSampler
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.interpolation.matching import Texture
from medgen.phantoms.phantom import phantom_volume
from medgen.sampling.draw import categorical_draw
from medgen.sampling.raster import RasterSampler
from medgen.training.gather import gather_scans
from medgen.training.session import fit
from medgen.volumes import Geometry, Volume, write_volume

PIXELS = replace(PIXELMINER_RECIPES["small"], filters=4, conditioner_filters=6)
FIRST = ConditionalRecipe(
    context=2,
    conditioner_filters=6,
    conditioner_blocks=1,
    prediction_mixtures=2,
    filters=12,
    residual_blocks=1,
    mixtures=2,
    num_embeddings=16,
    embedding_dim=4,
    crop=16,
    batch_size=4,
    max_gap_mm=20.0,
    steps=2,
    validate_every=2,
)
SECOND = ConditionalPriorRecipe(
    filters=6, blocks=2, conditioner_filters=6, conditioner_blocks=1, batch_size=4, steps=2,
    validate_every=2,
)  # fmt: skip
AIR = -1024
BOX = (slice(2, 11), slice(3, 14))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (36, 40, 24), (8.0, 8.0, 9.0), seed=1), path)
    return gather_scans([path], [], rule=None, image_size=None, guard_mm=9.0, seed=0)


@pytest.fixture(scope="module")
def start(scans):
    nets = {"pixelminer": pixelminer_from(PIXELS, 2048, seed=3)}
    return Bundle("pixelminer", scans.rule, {"pixelminer": PIXELS}, nets, name="start")


@pytest.fixture(scope="module")
def bundle(exact_conditional):
    return exact_conditional


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    monkeypatch.setattr(
        "medgen.families.conditional.fill.CodeSampler", partial(CodeSampler, jit_compile=False)
    )
    monkeypatch.setattr("medgen.families.conditional.examples.VALIDATION_BATCHES", 2)


def hu(slices=3) -> np.ndarray:
    """Noise within a margin of air, `(slices, rows, cols)`."""
    array = np.full((slices, 13, 15), AIR, np.int16)
    array[(slice(None), *BOX)] = np.random.default_rng(0).integers(-900, 900, (slices, 9, 11))
    return array


def fill(interpolator, positions, **options):
    stack = hu().astype(np.float32)
    volume = Volume(stack, Geometry.from_spacing(stack.shape, (4.0, 0.8, 0.9)), modality="ct")
    return list(interpolator.fill(volume, np.array(positions), lambda done, of: None, **options))


def images(interpolator, positions=(0.5, 1.5), samples=1) -> np.ndarray:
    """`(samples, positions, rows, cols)`."""
    filled = fill(interpolator, positions, samples=samples)
    return np.stack([filling.images for filling in filled], axis=1)


def test_from_scans_to_a_model_that_doctor_passes_and_slices_are_drawn_by(scans, start, tmp_path):
    rows = []
    report = rows.append
    first = fit(ConditionalTask(scans, FIRST, start=start), tmp_path / "a", report=report)
    save_bundle(first, tmp_path / "a", "# Card\n")
    first = load_bundle(tmp_path / "a")
    assert first.kind == "vqvae-conditional"
    assert all(finding.passed for finding in examine(first))
    with pytest.raises(BundleError, match="without a prior"):
        interpolator_named(str(tmp_path / "a"))

    whole = fit(ConditionalPriorTask(scans, first, SECOND), tmp_path / "b", report=report)
    decoding, codes = rows
    given = start.nets["pixelminer"].prediction.weights
    for ours, theirs in zip(first.nets["vqvae"].predictor.prediction.weights, given, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # frozen
    assert decoding["loss"] == decoding["residual_bits_per_dim"]
    assert codes["bits_per_code"] == pytest.approx(4.0, abs=0.5)  # of 16 codes, hardly trained
    expected = codes["bits_per_code"] / 16 + decoding["residual_bits_per_dim"]
    assert codes["elbo_bits_per_dim"] == pytest.approx(expected)
    assert codes["prediction_bits_per_dim"] == decoding["prediction_bits_per_dim"]

    save_bundle(whole, tmp_path / "b", "# Card\n")
    assert all(finding.passed for finding in examine(load_bundle(tmp_path / "b")))
    scan = phantom_volume("ct", (22, 26, 4), (8.0, 8.0, 9.0), seed=2)
    drawn, mean = (
        interpolate_volume(scan, interpolator_named(str(tmp_path / "b"), **options), factor=2)
        for options in ({}, {"decode": "mean"})
    )
    for finer in (drawn, mean):
        np.testing.assert_array_equal(finer.array[..., ::2], scan.array)
    assert (drawn.array[..., 1::2] != mean.array[..., 1::2]).any()
    with pytest.raises(BundleError, match="takes no temperature, got 1"):
        interpolator_named(str(tmp_path / "b"), decode="mean", temperature=1.0)
    with pytest.raises(BundleError, match="cannot be exported"):
        first.family.served(first)


def test_an_interrupted_run_continues_to_the_same_weights(scans, start, tmp_path):
    recipe = replace(FIRST, steps=4)
    whole = fit(ConditionalTask(scans, recipe, start=start), tmp_path / "a")

    def stop(step, share, logs):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(ConditionalTask(scans, recipe, start=start), tmp_path / "b", progress=stop)
    resumed = fit(ConditionalTask(scans, recipe, start=start), tmp_path / "b", resume=True)
    for a, b in zip(whole.nets["vqvae"].weights, resumed.nets["vqvae"].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_untrained_net_is_the_prediction_of_its_start(scans, start):
    """Whatever its recipe says of the net that makes the prediction."""
    recipe = replace(FIRST, conditioner_filters=99, context=1)
    task = ConditionalTask(scans, recipe, start, seed=0)
    inputs = task.batch(0)
    outputs = task.net(inputs, training=False)
    theirs = start.nets["pixelminer"]
    expected = theirs.center(theirs.condition(inputs))
    np.testing.assert_allclose(outputs["center"], expected, atol=1e-2)
    mean = task.net.mean(outputs["mixture"], task.net.condition(inputs))
    np.testing.assert_allclose(mean, expected, atol=1e-2)


def test_a_run_begins_with_what_is_trained_on_the_prediction_of_its_start(scans, start):
    recipe = with_prediction_of(FIRST, start)
    trained = conditional_vqvae_from(recipe, 2048, seed=4)
    trained.out.kernel.assign(np.random.default_rng(0).normal(size=trained.out.kernel.shape))
    first = replace(start, recipes={"vqvae": recipe}, nets={"vqvae": trained}, name="first")
    task = ConditionalTask(scans, FIRST, start, seed=1, first=first)
    task.prepare()
    for a, b in zip(task.net.weights, trained.weights, strict=True):
        if "/predictor/" not in a.path:
            np.testing.assert_array_equal(a, b)
    given = start.nets["pixelminer"]
    ours, theirs = (net.prediction.weights for net in (task.net.predictor, given))
    np.testing.assert_array_equal(ours[0], theirs[0])
    with pytest.raises(TrainingError, match="has no net of this kind and size to begin with"):
        ConditionalTask(scans, replace(FIRST, filters=24), start, first=first)


def test_no_net_has_fewer_numbers_than_its_recipe_says():
    ones = {"filters": 1, "conditioner_filters": 1, "conditioner_blocks": 1}
    least = ConditionalRecipe(
        **ones, residual_blocks=1, mixtures=50, context=1, num_embeddings=1, embedding_dim=1
    )
    for first in (FIRST, least):
        net = conditional_vqvae_from(first, 64)
        assert 0 < first.fewest_numbers <= net.count_params()
        for second in (SECOND, ConditionalPriorRecipe(**ones, blocks=1)):
            net = conditional_prior_from(second, first)
            assert 0 < second.fewest_numbers <= net.count_params()


def test_what_a_run_cannot_start_from(scans, start, two_stage):
    in_plane = replace(start, recipes={"pixelminer": replace(PIXELS, in_plane=True)})
    for other in (two_stage, in_plane):
        with pytest.raises(TrainingError, match="does not predict whole slices"):
            ConditionalTask(scans, FIRST, other, seed=0)


def test_slices_are_decoded_draws_of_the_reference_sampler(bundle):
    """9 x 11 pixels have 3 x 3 codes, each drawn by the number of its first pixel."""
    vqvae, prior = bundle.nets["vqvae"], bundle.nets["prior"]
    rng = np.random.default_rng(1)
    inputs = {
        "context": rng.integers(0, 2048, (2, 9, 11, 4)),
        "present": np.ones((2, 4)),
        "position": np.array([0.3, 0.5]),
        "gap_mm": np.array([4.0, 4.0]),
    }
    numbers = rng.uniform(size=(2, 9, 11, 2))
    surroundings = vqvae.surroundings(vqvae.condition(inputs))
    place = {key: inputs[key] for key in ("position", "gap_mm")}
    conditioning = prior.condition({"surroundings": surroundings[-1], **place})
    first = numbers[:, [0, 4, 8]][:, :, [0, 4, 8], :1]
    codes = RasterSampler(prior, categorical_draw())(conditioning, first)
    assert len(np.unique(codes)) > 5
    mixture = vqvae.decode(codes, surroundings)[:, :9, :11]
    expected = vqvae.mean(mixture, vqvae.condition(inputs))
    drawn = CodeSampler(vqvae, prior, jit_compile=False).fill(inputs, [numbers])
    np.testing.assert_allclose(drawn.levels[0], expected, atol=1e-2)


def test_the_seed_decides_and_samples_are_those_of_the_seeds_above(bundle):
    one, two, again = (images(ConditionalInterpolator(bundle, seed=seed))[0] for seed in (5, 6, 5))
    np.testing.assert_array_equal(one, again)
    both = images(ConditionalInterpolator(bundle, seed=5), samples=2)
    np.testing.assert_array_equal(both, [one, two])
    assert (one != two).any(axis=(1, 2)).all()
    alone = images(ConditionalInterpolator(bundle, seed=5), [1.5])[0]
    np.testing.assert_array_equal(alone[0], one[1])


def test_auto_matches_the_texture_half_way_to_the_prediction(bundle):
    drawn, mean, matched = (
        images(ConditionalInterpolator(bundle, **options), [1.5])[0, 0]
        for options in ({}, {"decode": "mean"}, {"temperature": "auto"})
    )
    outside = np.ones(drawn.shape, bool)
    outside[BOX] = False
    for image in (drawn, mean, matched):
        assert (image[outside] == AIR).all()
    half = (drawn[BOX] + mean[BOX]) / 2
    expected = Texture(hu()[(slice(1, 3), *BOX)]).given_to(half, mean[BOX])
    np.testing.assert_allclose(matched[BOX], expected, atol=1e-2)


def test_options_reach_the_draw(bundle):
    likeliest = images(ConditionalInterpolator(bundle, temperature=0.0))
    one = images(ConditionalInterpolator(bundle, top_k=1, seed=3))
    np.testing.assert_array_equal(likeliest, one)


def test_uncertainty_is_that_of_the_prediction_drawn_or_not(bundle):
    drawn, mean = (
        fill(ConditionalInterpolator(bundle, decode=decode), [0.5], uncertainty=True)[0]
        for decode in ("sample", "mean")
    )
    maps = drawn.uncertainty
    for name, values in maps.items():
        np.testing.assert_array_equal(values, mean.uncertainty[name])
    assert (maps["low"][BOX] < maps["high"][BOX]).all()
    assert (maps["std"][BOX] > 0).all()
