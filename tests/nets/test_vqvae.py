"""The VQ-VAE at any size, and what its loss is made of."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.recipe import VQVAERecipe


def small(compression: int = 4):
    return vqvae_from(
        VQVAERecipe(
            filters=16,
            residual_blocks=1,
            compression=compression,
            num_embeddings=9,
            embedding_dim=4,
        )
    )


def images(batch: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (batch, height, width, 1)).astype("float32")


@pytest.mark.parametrize("compression", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 3), (13, 22), (16, 24)])
def test_any_size_is_padded_inside_by_its_own_edge(compression, size):
    model = small(compression)
    x = images(2, *size)
    up = [-(-n // compression) * compression for n in size]
    padded = np.pad(
        x, [(0, 0), *[(0, u - n) for u, n in zip(up, size, strict=True)], (0, 0)], "edge"
    )
    codes = model.encode(x)
    assert codes.shape == (2, up[0] // compression, up[1] // compression)
    np.testing.assert_array_equal(codes, model.encode(padded))
    decoded = model.decode(codes)
    np.testing.assert_allclose(model(x), decoded[:, : size[0], : size[1]], atol=1e-5)


def test_loss_is_the_logistic_likelihood_and_the_commitment():
    from scipy.stats import logistic

    model = small()
    x = images(2, 8, 12)
    output = model(x)
    loss = model.compute_loss(x=x, y_pred=output)
    nats = -logistic.logpdf(x, loc=output, scale=0.05).mean()
    np.testing.assert_allclose(loss, nats + float(model.losses[0]), rtol=1e-4)


def test_gradients_reach_the_encoder_through_the_codes():
    model = small()
    x = images(2, 8, 12)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(x) ** 2)
    gradients = tape.gradient(loss, model.encoder.trainable_variables)
    assert all(np.abs(g).max() > 0 for g in gradients)


def test_decoding_does_not_depend_on_the_batch():
    model = small()
    x = images(3, 8, 12)
    np.testing.assert_allclose(model(x)[1:2], model(x[1:2]), atol=1e-6)
