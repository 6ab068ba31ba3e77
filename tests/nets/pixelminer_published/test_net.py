"""The published PixelMiner sees what it should and nothing else; with its slip, it would not."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.doctor.causality import earlier, gradients
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.nets.pixelminer_published.stages import GatedResidual, Maps, ResidualStages, concat_elu

LEVELS, MIXTURES = 32, 2
HEIGHT, WIDTH = 16, 12
# Corners, an inner pixel of each kind of row and column, even and odd, of each resolution.
PLACES = [(0, 0), (0, 11), (7, 5), (8, 4), (10, 6), (11, 7), (15, 0), (15, 11)]


def net(dtype: str = "float64", **options) -> PixelMinerPublished:
    options = {"filters": 4, "layers": 1, "mixtures": MIXTURES, "dropout": 0.2} | options
    model = PixelMinerPublished(LEVELS, dtype=dtype, **options)
    model.build()
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        if v.name == "gain":
            v.assign(rng.uniform(0.5, 1.2, v.shape))
        elif v.name == "bias":
            v.assign(rng.normal(size=v.shape) / 4)
        else:
            v.assign(rng.normal(size=v.shape))
    return model


@pytest.fixture(scope="module")
def model() -> PixelMinerPublished:
    return net()


def inputs(batch: int = 2, height: int = HEIGHT, width: int = WIDTH) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "target": rng.integers(0, LEVELS, (batch, height, width)),
        "context": rng.integers(0, LEVELS, (batch, height, width, 2)),
        "position": np.linspace(0.25, 0.6, batch),
        "gap_mm": np.linspace(3.0, 5.0, batch),
    }


def gradients_at(model, places, training: bool = False):
    """Of each parameter at each place, see `doctor.causality.gradients`."""
    given = {key: x[:1] for key, x in inputs().items()}
    known = model.condition(given)
    return gradients(model, known, given["target"], places, np.eye(3 * MIXTURES), training)


@pytest.mark.parametrize("training", [False, True], ids=["without dropout", "with dropout"])
def test_each_parameter_depends_on_all_earlier_pixels_and_on_no_other(model, training):
    """A layer a stage reaches 13 pixels, more through the coarser stages: all of this image."""
    by_value, _, leaked = gradients_at(model, PLACES, training)
    assert not leaked.any()
    for place, gradient in zip(PLACES, by_value[..., 0], strict=True):  # the grey level's
        before = earlier((HEIGHT, WIDTH), place)
        assert not gradient[:, ~before].any(), place
        assert (gradient[:, before] != 0).all(), place


def test_the_published_slip_loses_all_but_three_pixels_to_the_left(monkeypatch):
    """Feed each layer of the horizontal stack's way up from the vertical stack, as published."""
    follow = Maps.gated

    def slip(self, layer, x, across=None):
        if across is None or layer.beside is None:
            return follow(self, layer, x, across)
        beside = next(self._beside)
        y = layer.evaluate(self, beside, across, beside, self.place)
        self.outputs.append(y)
        return y

    broken = net()
    monkeypatch.setattr(Maps, "gated", slip)
    row, column = 7, 11
    gradient = gradients_at(broken, [(row, column)])[0][0, ..., 0]
    assert not gradient[:, ~earlier((HEIGHT, WIDTH), (row, column))].any()  # causal all the same
    assert (gradient[:, row - 1] != 0).all()
    assert (gradient[:, row, column - 3 : column] != 0).all()
    assert not gradient[:, row, : column - 3].any()  # what the test above finds


def test_images_of_a_batch_are_apart(model):
    given = inputs()
    known = model.condition(given)
    values = tf.constant(given["target"], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([values, known])
        params = model.head(model.stack(model.embed(values, known), known), known)
        total = tf.reduce_sum(params[0])
    for gradient in tape.gradient(total, [values, known]):
        assert not gradient[1].numpy().any()
        assert gradient[0].numpy().any()


def test_both_neighbours_count_on_all_sides_and_the_position_too(model):
    gradient = gradients_at(model, [(7, 5)])[1][0]
    for place in ((7, 5), (7, 6), (8, 5), (0, 0), (0, 11), (15, 0), (15, 11)):
        assert (gradient[:, *place, :2] != 0).all(), place
    assert (gradient[..., 2:].sum((1, 2)) != 0).all()


def test_conditioning_is_both_neighbours_and_the_position(model):
    given = inputs()
    known = model.condition(given).numpy()
    assert known.shape == (2, HEIGHT, WIDTH, 7)
    np.testing.assert_allclose(known[..., :2], given["context"] / (LEVELS - 1) * 2 - 1)
    np.testing.assert_allclose(known[1, 3, 4, 2:4], [0.1, 4 * 0.6 * 0.4])
    np.testing.assert_array_equal(
        known[:, :, :, 2:], known[:, :1, :1, 2:].repeat(16, 1).repeat(12, 2)
    )


def test_stages_and_long_skips():
    """Published: one layer on the way down, one more on the way up but at the lowest resolution."""
    stages = ResidualStages(4, 1, True)
    assert [len(layers) for layers in stages.descent] == [1, 1, 1]
    assert [len(layers) for layers in stages.ascent] == [2, 2, 1]
    sizes, skips = [], []

    class Shapes:
        def gated(self, layer, x, across=None):
            sizes.append(x)
            skips.append(across)
            return x

        def inside(self, shrink, grow, x, walk):
            assert shrink.strides == 2
            return 2 * walk(self, x // 2)

    assert stages.walk(Shapes(), 64) == 64
    assert sizes == [64, 32, 16, 16, 32, 32, 64, 64]
    assert skips == [None, None, None, 16, 32, 32, 64, 64]


def test_a_gated_layer_follows_its_equation():
    layer = GatedResidual(3, horizontal=True, across=True, dropout=0.5)
    x, across, beside, place = (
        tf.constant(np.random.default_rng(i).normal(size=shape), tf.float32)
        for i, shape in enumerate([(3, 4, 4, 3)] * 3 + [(3, 1, 1, 5)])
    )
    layer.build(x.shape, place.shape)
    y = layer.first(concat_elu(x)) + layer.across(concat_elu(across))
    y = layer.second(concat_elu(y + layer.beside(concat_elu(beside)))) + layer.place(place)
    expected = x + y[..., :3] * tf.sigmoid(y[..., 3:])
    np.testing.assert_allclose(layer(x, place, across, beside), expected, atol=1e-5)
    dropped = layer(x, place, across, beside, training=True)
    assert np.abs(dropped - expected).max() > 1e-3


def test_concat_elu():
    x = concat_elu(tf.constant([[1.0, -2.0]]))
    np.testing.assert_allclose(x, [[1, np.expm1(-2), np.expm1(-1), 2]], rtol=1e-6)


def test_loss_is_nats_per_pixel(model):
    given = inputs()
    outputs = model(given)
    np.testing.assert_allclose(outputs["center"], 15.5)
    log_prob = logistic_mixture.log_prob(
        outputs["mixture"], given["target"], levels=LEVELS, center=15.5
    ).numpy()
    loss = model.compute_loss(x=given, y_pred=outputs)
    np.testing.assert_allclose(loss, -log_prob.mean(), rtol=1e-5)
    np.testing.assert_allclose(model.bits.result(), -log_prob.mean() / np.log(2), rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (7, 9)])
def test_sides_need_not_be_multiples_of_four(model, height, width):
    small = model(inputs(height=height, width=width))["mixture"].numpy()
    assert small.shape == (2, height, width, 3 * MIXTURES)
    assert np.isfinite(small).all()


def test_config_round_trip(model):
    assert PixelMinerPublished.from_config(model.get_config()).get_config() == model.get_config()
    stages = ResidualStages(4, 2, True, 0.1, 3, 1)
    assert ResidualStages.from_config(stages.get_config()).get_config() == stages.get_config()
    layer = GatedResidual(4, False, True, 0.1, 3)
    assert GatedResidual.from_config(layer.get_config()).get_config() == layer.get_config()
