"""Sizes of images and encodings, where a value stands, and what training starts from."""

import numpy as np
import pytest
from keras import ops
from skimage.transform import downscale_local_mean

from medgen.families.autoencoder.build import autoencoder_from
from medgen.families.autoencoder.recipe import AUTOENCODER_RECIPES, AutoencoderRecipe
from medgen.nets.autoencoder import Autoencoder


def small(**fields):
    return autoencoder_from(AutoencoderRecipe(fine=6, coarse=5, narrow=4, blocks=1, **fields), 1)


def awake(net):
    """Every weight at random, also those that begin at 0."""
    rng = np.random.default_rng(2)
    for weight in net.trainable_variables:
        weight.assign(rng.normal(0, 0.1, weight.shape))
    return net


def images(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (*shape, 3)).astype(np.float32)


def test_the_published_sizes():
    net = small()
    assert tuple(net.encode(images(1, 181, 181)).shape) == (1, 46, 46, 1)
    assert tuple(net(images(1, 181, 181)).shape) == (1, 181, 181, 3)


@pytest.mark.parametrize("size", [(1, 3), (13, 22), (16, 24)])
@pytest.mark.parametrize("linear_paths", [True, False])
def test_any_size_is_padded_inside_by_its_own_edge(size, linear_paths):
    net = awake(small(linear_paths=linear_paths))
    x = images(2, *size)
    whole = [(0, -n % 4) for n in size]
    padded = np.pad(x, [(0, 0), *whole, (0, 0)], "edge")
    encoding = net.encode(x)
    assert tuple(encoding.shape) == (2, *(-(-n // 4) for n in size), 1)
    np.testing.assert_array_equal(encoding, net.encode(padded))
    np.testing.assert_allclose(net(x), net(padded)[:, : size[0], : size[1]], atol=1e-5)


def test_a_crop_has_the_encoding_of_the_whole_within_reach():
    net = awake(small())
    x = images(1, 132, 141)
    whole, part = (ops.convert_to_numpy(net.encode(i)) for i in (x, x[:, 4:128, 8:]))
    far = net.reach
    inside = (slice(None), slice(far + 1, 32 - far), slice(far + 2, -far))
    np.testing.assert_allclose(part[:, far : 31 - far, far:-far], whole[inside], atol=1e-5)


def test_it_starts_as_brightness_between_means_of_4_x_4_pixels():
    net = small()
    x = images(1, 16, 20)
    means = downscale_local_mean(x[0].mean(-1), (4, 4))
    np.testing.assert_allclose(net.encode(x)[0, ..., 0], means, atol=1e-6)
    ramp = np.broadcast_to(np.linspace(-0.4, 0.4, 32)[:, None, None], (32, 24, 3))
    back = ops.convert_to_numpy(net(ramp[None].astype(np.float32)))[0]
    np.testing.assert_allclose(back[2:-2], ramp[2:-2], atol=1e-5)


def test_the_loss_is_the_mean_squared_error():
    net = small()
    x, y = images(2, 8, 8), images(2, 8, 8)[::-1]
    assert float(net.compute_loss(x=x, y_pred=y)) == pytest.approx(np.mean((x - y) ** 2), rel=1e-5)


def test_it_is_remade_from_its_configuration():
    net = awake(small())
    other = Autoencoder(**net.get_config())
    other.build()
    for ours, theirs in zip(other.weights, net.weights, strict=True):
        ours.assign(theirs)
    x = images(1, 9, 12)
    np.testing.assert_array_equal(net(x), other(x))


@pytest.mark.parametrize("fields", [{}, {"fine": 4, "coarse": 9}, {"narrow": 12, "blocks": 2}])
def test_nets_have_no_fewer_numbers_than_their_recipe_says(fields):
    recipe = AutoencoderRecipe(**({"fine": 6, "coarse": 5, "narrow": 4, "blocks": 1} | fields))
    assert autoencoder_from(recipe).count_params() >= recipe.fewest_numbers


def test_the_published_recipe():
    recipe = AUTOENCODER_RECIPES["mscopy"]
    channels = (recipe.fine, recipe.coarse, recipe.narrow)
    assert (channels, recipe.blocks, recipe.crop) == ((64, 32, 8), 10, 181)
    assert not recipe.linear_paths
