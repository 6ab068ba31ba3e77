"""Encoding tile by tile, likeness, and what doctor finds."""

import numpy as np
import pytest
from keras import ops
from skimage.metrics import peak_signal_noise_ratio

from medgen.families.autoencoder.build import autoencoder_from
from medgen.families.autoencoder.checks import findings
from medgen.families.autoencoder.encode import decoded, likeness
from medgen.families.autoencoder.recipe import AutoencoderRecipe

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def net():
    net = autoencoder_from(AutoencoderRecipe(fine=4, coarse=4, narrow=4, blocks=1), 1)
    for weight in net.trainable_variables:
        weight.assign(np.random.default_rng(2).normal(0, 0.15, weight.shape))
    return net


@pytest.mark.parametrize("shape", [(90, 131), (64, 32), (5, 70)])
def test_tiles_leave_no_seam(net, shape):
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    whole = image[None].astype(np.float32) / 255 - 0.5
    found = decoded(net, image, side=8)
    np.testing.assert_allclose(found.encoding, net.encode(whole)[0, ..., 0], atol=1e-5)
    np.testing.assert_allclose(found.unit, ops.convert_to_numpy(net(whole))[0], atol=1e-5)
    assert (found.image.shape, found.image.dtype) == (image.shape, np.uint8)
    np.testing.assert_allclose(found.image, np.clip((found.unit + 0.5) * 255, 0, 255), atol=0.51)


def test_likeness_is_over_all_channels():
    true = RNG.integers(0, 256, (20, 24, 3), np.uint8)
    test = true.copy()
    test[..., 1] = np.clip(true[..., 1].astype(int) + RNG.integers(-40, 40, (20, 24)), 0, 255)
    db, ssim = likeness(true, test)
    assert db == pytest.approx(peak_signal_noise_ratio(true, test))
    alone = likeness(true[..., [1, 1, 1]], test[..., [1, 1, 1]])[1]
    assert ssim == pytest.approx((2 + alone) / 3)
    assert likeness(true, true) == (120.0, pytest.approx(1.0))


def test_doctor_finds_a_sound_net_sound(net):
    found = {finding.check: finding for finding in findings("autoencoder", net)}
    assert list(found) == ["autoencoder sizes", "autoencoder encoding", "autoencoder reach"]
    assert all(finding.passed for finding in found.values())
    sizes = "181 x 181 x 3 numbers become 46 x 46 x 1 and 181 x 181 x 3 again"
    assert found["autoencoder sizes"].detail == sizes


def test_doctor_finds_an_encoding_of_nothing():
    dead = autoencoder_from(AutoencoderRecipe(fine=4, coarse=4, narrow=4, blocks=1), 1)
    dead.brightness.kernel.assign(np.zeros(dead.brightness.kernel.shape))
    failed = [f.check for f in findings("autoencoder", dead) if not f.passed]
    assert failed == ["autoencoder encoding", "autoencoder reach"]
