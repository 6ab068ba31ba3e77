"""Where fine pixels stand, what training starts from, and what features add to the loss."""

import numpy as np
import pytest
from keras import ops

from medgen.errors import RecipeError
from medgen.families.image_espcn.build import image_espcn_from
from medgen.families.image_espcn.recipe import ImageESPCNRecipe
from medgen.families.image_espcn.refine import bicubic, comparison, degraded, refined

RNG = np.random.default_rng(0)


def small(factor=4, **fields):
    recipe = ImageESPCNRecipe(factor=factor, filters=4, blocks=1, crop=4 * factor, **fields)
    return image_espcn_from(recipe, 1)


def awake(net):
    rng = np.random.default_rng(2)
    for weight in net.trainable_variables:
        weight.assign(rng.normal(0, 0.1, weight.shape))
    return net


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_it_starts_as_bicubic_about_the_middle_of_coarse_pixels(factor):
    net = small(factor)
    rows, cols = np.mgrid[: 12 * factor, : 10 * factor] / (12.0 * factor) - 0.5
    ramp = np.stack([rows, cols, rows + cols], -1)[None].astype(np.float32)
    back = ops.convert_to_numpy(net(ramp))
    inside = (slice(None), *(slice(3 * factor, -3 * factor),) * 2)
    # TensorFlow rounds places to 1/1024 of a pixel.
    np.testing.assert_allclose(back[inside], ramp[inside], atol=2e-4)


@pytest.mark.parametrize("factor", [2, 3])
def test_depth_becomes_space_in_its_order(factor):
    """A net whose last bias is `3 (f di + dj) + c` puts that at every `(i f + di, j f + dj, c)`."""
    net = small(factor)
    last = net.body.layers[-1]
    last.bias.assign(np.arange(3 * factor**2))
    fine = ops.convert_to_numpy(net.refine(np.zeros((2, 4, 5, 3), np.float32)))
    expected = np.arange(3 * factor**2).reshape(factor, factor, 3)
    np.testing.assert_allclose(fine, np.broadcast_to(np.tile(expected, (4, 5, 1)), fine.shape))


def test_tiles_leave_no_seam():
    net = awake(small(3))
    coarse = RNG.integers(0, 256, (23, 31, 3), np.uint8)
    whole, parts = refined(net, coarse, side=64), refined(net, coarse, side=7)
    assert whole.shape == (69, 93, 3)
    np.testing.assert_allclose(parts.astype(int), whole, atol=1)


def test_coarse_pixels_are_means_and_leftovers_are_cut():
    image = RNG.integers(0, 256, (9, 14, 3), np.uint8)
    coarse = degraded(image, 4)
    assert coarse.shape == (2, 3, 3)
    assert coarse[1, 2, 0] == round(image[4:8, 8:12, 0].mean())
    net = small(4)
    unit = image[None, :8, :12].astype(np.float32) / 255 - 0.5
    np.testing.assert_allclose((net.degrade(unit)[0] + 0.5) * 255, coarse, atol=0.51)
    np.testing.assert_allclose(refined(net, coarse), bicubic(coarse, 4), atol=1)


def test_features_are_added_to_the_loss():
    net = small(2)
    x, y = (RNG.uniform(-0.5, 0.5, (1, 6, 8, 3)).astype(np.float32) for _ in range(2))
    pixels = np.mean((x - y) ** 2)
    assert float(net.compute_loss(x=x, y_pred=y)) == pytest.approx(pixels, rel=1e-5)
    net.judged_by(lambda images: ops.mean(images, -1, keepdims=True), 3.0)
    features = np.mean((x.mean(-1) - y.mean(-1)) ** 2)
    assert float(net.compute_loss(x=x, y_pred=y)) == pytest.approx(pixels + 3 * features, rel=1e-5)


def test_a_comparison_tells_blur_from_the_truth():
    true = RNG.integers(0, 256, (48, 64, 3), np.uint8)
    same = comparison(true, true)
    assert (same["ssim"], same["edges"], same["texture"]) == (pytest.approx(1), 1, 0)
    assert same["spectrum_db"] == 0
    blurred = comparison(true, bicubic(degraded(true, 4), 4))
    assert blurred["spectrum_db"] > 5
    assert blurred["texture"] > 0.05
    assert blurred["ssim"] < 0.9


@pytest.mark.parametrize(
    ("fields", "message"), [({"factor": 5}, "2, 3 or 4"), ({"crop": 98}, "multiple of 4")]
)
def test_recipes_that_make_no_net(fields, message):
    with pytest.raises(RecipeError, match=message):
        ImageESPCNRecipe(**fields)
