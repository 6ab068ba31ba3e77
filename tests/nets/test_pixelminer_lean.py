"""The lean PixelMiner sees what it should, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.doctor.causality import earlier, gradients
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean

LEVELS, CONTEXT, MIXTURES = 64, 2, 3


def net(dtype: str = "float64", **options) -> PixelMinerLean:
    model = PixelMinerLean(LEVELS, CONTEXT, 4, 2, MIXTURES, 5, 1, 2, dtype=dtype, **options)
    model.build()
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


@pytest.fixture(scope="module")
def model() -> PixelMinerLean:
    return net()


def inputs(batch: int = 2, height: int = 7, width: int = 9) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "target": rng.integers(0, LEVELS, (batch, height, width)),
        "context": rng.integers(0, LEVELS, (batch, height, width, 2 * CONTEXT)),
        "present": np.array([[1.0, 1, 1, 0], [1, 1, 1, 1]])[:batch],
        "position": np.linspace(0.25, 0.6, batch),
        "gap_mm": np.linspace(3.0, 5.0, batch),
    }


def linear(given: dict[str, np.ndarray]) -> np.ndarray:
    z = given["position"][:, None, None]
    return (1 - z) * given["context"][..., 1] + z * given["context"][..., 2]


@pytest.mark.parametrize("told", [True, False], ids=["conditioned", "unconditioned"])
def test_each_parameter_depends_on_all_earlier_pixels_in_reach_and_on_no_other(model, told):
    given = inputs()
    known = model.condition(given)
    if not told:  # nothing but where the residuals are taken from
        known = tf.concat([tf.zeros_like(known[..., :-2]), known[..., -2:]], axis=-1)
    one, place = known[1:], (5, 4)
    by_value, _, leaked = gradients(model, one, given["target"][1:], [place], np.eye(3 * MIXTURES))
    assert by_value.shape == (1, 3 * MIXTURES, 7, 9, 2)
    assert model.stack.receptive_field == (5, 5)  # all that comes before, in a map of this size
    before = earlier((7, 9), place)
    assert not leaked.any()
    assert not by_value[0][:, ~before].any()
    assert (by_value[0][:, before] != 0).all()


def test_acquired_slices_reach_every_parameter_from_all_sides(model):
    given = inputs()
    context = tf.constant(given["context"], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(context)
        outputs = model(given | {"context": context})
        params = tf.concat([outputs["mixture"], outputs["prediction"]], axis=-1)[0, 3, 4]
    gradients = np.abs(tape.jacobian(params, context).numpy())[:, 0]
    # The last slice is absent in the first example; a pixel's own neighbours and far corners count.
    assert not gradients[..., 3].any()
    for row, column in ((3, 4), (0, 0), (6, 8)):
        assert (gradients[:, row, column, :3] > 0).all()


def test_prediction_gets_no_gradient_from_the_mixture(model):
    given = inputs()
    with tf.GradientTape() as tape:
        outputs = model(given)
        log_prob = logistic_mixture.log_prob(
            outputs["mixture"], given["target"], levels=LEVELS, center=outputs["center"]
        )
        total = tf.reduce_sum(log_prob)
    kernel, trunk = tape.gradient(total, [model.prediction.kernel.value, model.out.kernel.value])
    assert kernel is None
    assert np.abs(trunk.numpy()).max() > 0


def test_center_is_the_mean_of_the_prediction(model):
    given = inputs()
    _, params, base = model.read(given)
    np.testing.assert_allclose(base, linear(given), atol=1e-9)
    log_weights, means, log_scales = (x.numpy() for x in logistic_mixture.components(params))
    weights = np.exp(log_weights)
    mean = (weights * means).sum(-1)
    known = model.condition(given)
    center = np.clip(linear(given) + mean, 0, LEVELS - 1)
    np.testing.assert_allclose(model.center(known), center, atol=1e-4)
    spread = (weights * (np.exp(log_scales) + np.abs(means - mean[..., None]))).sum(-1)
    np.testing.assert_allclose(model.spread(known), np.maximum(spread, 0.5), rtol=1e-5)


def test_the_trunk_sees_residuals_in_units_of_the_spread(model):
    known = np.zeros((1, 7))
    known[0, -2:] = 10 / (LEVELS - 1) - 0.5, np.log(4.0)  # center 10, spread 4 of LEVELS / 64
    embedded = model.embed(np.array([22]), tf.constant(known))
    np.testing.assert_allclose(embedded, [[np.arcsinh(12 / 4), 1.0]], rtol=1e-12)


def test_noise_only_in_training():
    noisy = net(input_noise=0.5)
    given = inputs()
    known = noisy.condition(given)
    still = noisy.embed(given["target"], known)
    np.testing.assert_array_equal(still, noisy.embed(given["target"], known))
    shaken = np.sinh(noisy.embed(given["target"], known, training=True)[..., 0])
    difference = shaken - np.sinh(still[..., 0])
    assert 0.3 < difference.std() < 0.7


def test_loss_is_the_nats_of_both_heads(model):
    given = inputs()
    outputs = model(given)
    nats = [
        -logistic_mixture.log_prob(
            outputs[params], given["target"], levels=LEVELS, center=outputs[center]
        )
        .numpy()
        .mean()
        for params, center in (("mixture", "center"), ("prediction", "linear"))
    ]
    loss = model.compute_loss(x=given, y_pred=outputs, training=False)
    np.testing.assert_allclose(loss, sum(nats), rtol=1e-5)
    np.testing.assert_allclose(model.bits.result(), nats[0] / np.log(2), rtol=1e-5)
    np.testing.assert_allclose(model.prediction_bits.result(), nats[1] / np.log(2), rtol=1e-5)
    model.reset_metrics()


def test_without_autoregression_only_the_prediction_is_left():
    plain = net(autoregressive=False)
    outputs = plain(inputs())
    assert set(outputs) == {"prediction", "linear"}
    plain.compute_loss(x=inputs(), y_pred=outputs, training=False)
    assert {m.name for m in plain.metrics} == {"prediction_bits_per_dim"}
    other = inputs() | {"target": np.zeros((2, 7, 9), int)}
    np.testing.assert_array_equal(outputs["prediction"], plain(other)["prediction"])


def test_a_known_pixel_counts_on_all_sides_of_it_and_an_unknown_one_does_not():
    shown = net(partially_causal=True)
    given = inputs()
    known = np.full_like(given["target"], -1)
    before = shown(given)
    for name, values in shown(given | {"known": known}).items():  # the same as not to say
        np.testing.assert_array_equal(values, before[name])
    known[0, 3, 4] = given["target"][0, 3, 4]
    told = shown(given | {"known": known})
    known[0, 3, 4] = (known[0, 3, 4] + 20) % LEVELS
    other = shown(given | {"known": known})
    for name in ("mixture", "prediction"):
        for one, two in ((before, told), (told, other)):
            changed = np.abs(one[name] - two[name]).max(-1) > 0
            assert changed[0].all()
            assert not changed[1].any()


def test_loss_is_that_of_the_pixels_that_are_not_known():
    shown = net(partially_causal=True)
    given = inputs()
    given["known"] = np.where(np.arange(9) < 6, given["target"], -1)
    outputs = shown(given)
    nats = [
        -logistic_mixture.log_prob(
            outputs[params], given["target"], levels=LEVELS, center=outputs[center]
        )
        .numpy()[..., 6:]
        .mean()
        for params, center in (("mixture", "center"), ("prediction", "linear"))
    ]
    loss = shown.compute_loss(x=given, y_pred=outputs, training=False)
    np.testing.assert_allclose(loss, sum(nats), rtol=1e-5)
    np.testing.assert_allclose(shown.bits.result(), nats[0] / np.log(2), rtol=1e-5)
    everything = given | {"known": given["target"]}
    assert float(shown.compute_loss(x=everything, y_pred=outputs, training=False)) == 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (8, 3)])
def test_any_size_of_slice(model, height, width):
    outputs = model(inputs(height=height, width=width))
    assert outputs["mixture"].shape == (2, height, width, 3 * MIXTURES)
    assert np.isfinite(outputs["mixture"].numpy()).all()


def test_constant_air_is_finite():
    single = net("float32")
    given = inputs() | {
        "target": np.zeros((2, 7, 9), int),
        "context": np.zeros((2, 7, 9, 2 * CONTEXT), int),
    }
    outputs = single(given)
    assert np.isfinite(float(single.compute_loss(x=given, y_pred=outputs)))


def test_config_round_trip(model):
    assert PixelMinerLean.from_config(model.get_config()).get_config() == model.get_config()
