"""Whole rows are drawn: no border inside a slice, nor between batches of slices, shows."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from rounding import exact

from medgen.bundles.bundle import Bundle
from medgen.evaluation.noise import seam_score
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.fill import PixelMinerInterpolator
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.sampling.slices import SliceSampler
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=1,
    filters=6,
    blocks=2,
    mixtures=1,
    conditioner_filters=4,
    conditioner_blocks=1,
    prediction_mixtures=1,
)
SHAPE, WINDOW = (36, 48), (12, 12)


@pytest.fixture
def interpolator(request, monkeypatch) -> PixelMinerInterpolator:
    """Of random weights, made to follow the pixels drawn before: such textures have seams."""
    compiled = getattr(request, "param", False)
    monkeypatch.setattr(
        "medgen.families.pixelminer.sampler.SliceSampler",
        partial(SliceSampler, jit_compile=compiled),
    )
    net = pixelminer_from(RECIPE, 2048)
    rng = np.random.default_rng(6)
    for v in net.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    net.prediction.kernel.assign(0.3 * net.prediction.kernel)  # narrow, away from both ends
    net.out.kernel.assign(net.out.kernel.numpy() * np.float32([1, 4, 1]))
    net.out.bias.assign(net.out.bias.numpy() - np.float32([0, 0, 1]))
    return PixelMinerInterpolator(
        Bundle(
            "pixelminer",
            IntensityRule("ct"),
            {"pixelminer": RECIPE},
            {"pixelminer": net},
            name="tiny",
        )
    )


def drawn(interpolator, shape, positions) -> np.ndarray:
    """Slices between three homogeneous ones of 0 HU, where all structure is the model's."""
    stack = Volume(
        np.zeros((3, *shape), np.float32),
        Geometry.from_spacing((3, *shape), (4.0, 0.8, 0.9)),
        modality="ct",
    )
    fillings = interpolator.fill(stack, np.array(positions), lambda *_: None)
    return np.concatenate([filling.images for filling in fillings])


def test_borders_of_windows_are_like_other_places(interpolator):
    whole = drawn(interpolator, SHAPE, [0.25, 0.5, 0.75, 1.5])
    scores = [seam_score(image, window=WINDOW) for image in whole]
    assert np.mean(scores) == pytest.approx(1, abs=0.15)


def test_windows_put_side_by_side_would_show(interpolator):
    """The score above tells: it is far from 1 for windows drawn on their own."""
    down, across = (n // w for n, w in zip(SHAPE, WINDOW, strict=True))
    positions = np.linspace(0.1, 0.9, down * across)
    windows = drawn(interpolator, WINDOW, positions).reshape(down, across, *WINDOW)
    pasted = windows.transpose(0, 2, 1, 3).reshape(SHAPE)
    assert seam_score(pasted, window=WINDOW) > 1.4


@pytest.mark.slow
@pytest.mark.parametrize("interpolator", [True], indirect=True, ids=["compiled"])
def test_a_slice_is_the_same_in_any_batch(interpolator, monkeypatch):
    """In float64; in float32 too wherever the compiler rounds all rows of a matrix alike."""
    interpolator = replace(interpolator, bundle=exact(interpolator.bundle))
    positions = np.linspace(0.1, 0.9, 9)
    together = drawn(interpolator, SHAPE, positions)
    np.testing.assert_array_equal(together[[2, 7]], drawn(interpolator, SHAPE, positions[[2, 7]]))
    monkeypatch.setattr("medgen.families.pixelminer.fill.PIXELS_AT_ONCE", 8 * np.prod(SHAPE))
    np.testing.assert_array_equal(together, drawn(interpolator, SHAPE, positions))
