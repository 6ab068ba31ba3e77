"""The prior sees what it should, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelcnn import PixelCNN, position_features


@pytest.fixture(scope="module")
def prior() -> PixelCNN:
    model = PixelCNN(9, 4, 6, 2, 5, 3, dtype="float64")
    model.build()
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


def inputs(batch: int = 2, height: int = 6, width: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    maps = {k: rng.integers(0, 9, (batch, height, width)) for k in ("codes", "previous", "next")}
    return maps | {"position": np.full(batch, 0.25), "gap_mm": np.full(batch, 4.0)}


def changed(prior: PixelCNN, name: str, row: int, column: int) -> np.ndarray:
    """Where the logits of image 0 change when one input code does."""
    before = inputs()
    after = inputs()
    after[name][0, row, column] = (after[name][0, row, column] + 1) % 9
    difference = np.abs(prior(after) - prior(before)).max(-1)
    assert not difference[1].any()
    return difference[0] > 0


def test_a_code_changes_only_later_logits(prior):
    where = changed(prior, "codes", 2, 3)
    later = np.arange(6 * 7).reshape(6, 7) > 2 * 7 + 3
    assert not where[~later].any()
    assert where[2, 4]
    assert where[3, 2:5].all()


@pytest.mark.parametrize("name", ["previous", "next"])
def test_a_neighbour_changes_logits_before_and_after_its_place(prior, name):
    where = changed(prior, name, 2, 3)
    assert where[0, 3]
    assert where[2, :].all()
    assert where[5, 3]


@pytest.mark.parametrize(("name", "value"), [("position", 0.75), ("gap_mm", 2.0)])
def test_the_place_of_the_slice_matters_everywhere(prior, name, value):
    other = inputs() | {name: np.full(2, value)}
    assert (np.abs(prior(other) - prior(inputs())).max(-1) > 0).all()


def test_position_features_by_hand():
    features = position_features(np.array([0.25]), np.array([8.0]))
    expected = [[-0.25, 0.75, np.log(2), np.log(1.0), np.log(3.0)]]
    np.testing.assert_allclose(features, expected, atol=1e-12)


def test_loss_is_the_mean_nats_of_the_given_codes(prior):
    given = inputs()
    logits = tf.nn.log_softmax(tf.cast(prior(given), tf.float32)).numpy()
    nats = -np.take_along_axis(logits, given["codes"][..., None], -1).mean()
    np.testing.assert_allclose(prior.compute_loss(x=given, y_pred=prior(given)), nats, rtol=1e-5)
    np.testing.assert_allclose(prior.bits_per_code.result(), nats / np.log(2), rtol=1e-5)
    prior.reset_metrics()
