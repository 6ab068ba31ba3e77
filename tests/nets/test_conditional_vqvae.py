"""The conditional VQ-VAE and its prior: shapes, what each side sees, and other backends."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import ConditionalVQVAE

LEVELS = 64


def vqvae(**options) -> ConditionalVQVAE:
    net = ConditionalVQVAE(LEVELS, 2, 5, 1, 2, 6, 1, 3, 9, 4, **options)
    net.build()
    return net


def prior() -> ConditionalPrior:
    net = ConditionalPrior(
        channels=6, num_embeddings=9, embedding_dim=4, filters=5, blocks=2, conditioner_filters=4,
        conditioner_blocks=1,
    )  # fmt: skip
    net.build()
    return net


def inputs(rows=9, columns=14) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "target": rng.integers(0, LEVELS, (2, rows, columns)),
        "context": rng.integers(0, LEVELS, (2, rows, columns, 4)),
        "present": np.ones((2, 4), np.float32),
        "position": np.array([0.3, 0.6], np.float32),
        "gap_mm": np.array([3.0, 5.0], np.float32),
    }


def test_slices_of_any_size_have_a_code_for_every_4_x_4_pixels_begun():
    net, given = vqvae(), inputs()
    surroundings = net.surroundings(net.condition(given))
    assert [x.shape[1:] for x in surroundings] == [(12, 16, 7), (6, 8, 4), (3, 4, 6)]
    codes = net.encode(given["target"], surroundings)
    assert codes.shape == (2, 3, 4)
    assert net.decode(codes, surroundings).shape == (2, 12, 16, 9)
    outputs = net(given)
    assert outputs["mixture"].shape == (2, 9, 14, 9)
    logits = prior()({"codes": codes, "surroundings": surroundings[-1], **given})
    assert logits.shape == (2, 3, 4, 9)


def test_decoding_is_what_training_decodes():
    net, given = vqvae(), inputs()
    net.out.kernel.assign(np.random.default_rng(1).normal(size=net.out.kernel.shape))
    surroundings = net.surroundings(net.condition(given))
    decoded = net.decode(net.encode(given["target"], surroundings), surroundings)
    np.testing.assert_allclose(decoded[:, :9, :14], net(given)["mixture"], atol=1e-4)


@pytest.mark.parametrize("sees", [True, False])
def test_the_encoder_sees_the_acquired_slices_if_it_is_to(sees):
    net, given = vqvae(encoder_sees=sees), inputs()
    other = given | {"context": LEVELS - 1 - given["context"]}
    latents = [
        net.latents(given["target"], net.surroundings(net.condition(one))) for one in (given, other)
    ]
    assert np.array_equal(*latents) != sees


def test_the_decoder_sees_the_acquired_slices_if_it_is_to():
    given = inputs()
    other = given | {"context": LEVELS - 1 - given["context"]}
    for sees in (True, False):
        net = vqvae(decoder_sees=sees)
        net.out.kernel.assign(np.random.default_rng(1).normal(size=net.out.kernel.shape))
        codes = np.random.default_rng(2).integers(0, 9, (2, 3, 4))
        images = []
        for one in (given, other):
            known = net.condition(one)
            images.append(net.mean(net.decode(codes, net.surroundings(known))[:, :9, :14], known))
        assert np.array_equal(*images) != sees
        assert np.ptp(images[0]) > 1


def test_components_start_apart_and_the_prediction_is_not_trained():
    net = vqvae()
    np.testing.assert_array_equal(net.out.bias, [0] * 6 + [-1, 0, 1])
    assert not net.predictor.trainable_variables
    trained = {variable.path for variable in net.trainable_variables}
    assert trained.isdisjoint(variable.path for variable in net.predictor.weights)


OTHER_BACKEND = """
import sys
import keras, numpy as np
from test_conditional_vqvae import inputs, prior, vqvae

nets = {"vqvae": vqvae(), "prior": prior()}
given = {name: dict(np.load(f"{sys.argv[1]}/{name}.npz")) for name in nets}
for name, net in nets.items():
    expected = given[name].pop("expected")
    net.load_weights(f"{sys.argv[1]}/{name}.weights.h5")
    outputs = net(given[name], training=False)
    outputs = outputs["mixture"] if name == "vqvae" else outputs
    np.testing.assert_allclose(keras.ops.convert_to_numpy(outputs), expected, atol=2e-3)
    net.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = [float(net.train_on_batch(given[name], return_dict=True)["loss"]) for _ in range(6)]
    assert losses[-1] < losses[0], (name, losses)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_outputs_and_training_without_tensorflow(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    first, second, given = vqvae(), prior(), inputs()
    first.out.kernel.assign(np.random.default_rng(1).normal(size=first.out.kernel.shape))
    surroundings = first.surroundings(first.condition(given))
    codes = {
        "codes": np.asarray(first.encode(given["target"], surroundings)),
        "surroundings": np.asarray(surroundings[-1]),
        "position": given["position"],
        "gap_mm": given["gap_mm"],
    }
    first.save_weights(tmp_path / "vqvae.weights.h5")
    second.save_weights(tmp_path / "prior.weights.h5")
    np.savez(tmp_path / "vqvae.npz", expected=first(given)["mixture"], **given)
    np.savez(tmp_path / "prior.npz", expected=second(codes), **codes)
    subprocess.run(
        [sys.executable, "-c", OTHER_BACKEND, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parent,
        check=True,
    )
