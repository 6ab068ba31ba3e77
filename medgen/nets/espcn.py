"""Nets that make voxels finer: convolutions at low resolution, then a shuffle (3D-ESPCN)."""

from __future__ import annotations

import math

import keras
from keras import ops

from medgen.layers.residual import ResidualVoxelBlock
from medgen.layers.shuffle import CUBIC_REACH, ICNR, CubicSubdivision, VoxelShuffle

# Least standard deviation, over the unit range: a constant background would make it 0.
LEAST_SCALE = 1e-3
# Standard deviation of an untrained net.
FIRST_SCALE = 0.02
# Standard deviations on either side that hold 90 % of a normal distribution.
NORMAL_90 = 1.6449


@keras.saving.register_keras_serializable("medgen")
class ESPCN(keras.Model):
    """The net of Shi et al. [1] in three dimensions, as published with medgen's predecessor.

    50 filters of 3³, 100 of 1³, `factor`³ of 3³, shuffled; ReLU between; squared error.

    Args:
        factor: voxels made of one along each axis.
        seed: of the initial weights.

    Input shape:
        Dictionary with `coarse`, `(b, d, h, w)` in the unit range -0.5 ... 0.5, and in training
        `fine`, `(b, factor d, factor h, factor w)`.

    Output shape:
        Dictionary with `mean`, like `fine`.

    References:
        [1] Shi et al., CVPR 2016; see `layers.shuffle.VoxelShuffle`.
    """

    reach = 2
    tells_uncertainty = False

    def __init__(self, factor: int, *, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.config = {"factor": factor, "seed": seed}
        self.factor, policy = factor, self.dtype_policy
        self.wide = _convolution(50, 3, _random(seed), policy, "wide", "relu")
        self.deep = _convolution(100, 1, _random(seed + 1), policy, "deep", "relu")
        self.out = _convolution(factor**3, 3, _random(seed + 2), policy, "out")
        self.shuffle = VoxelShuffle(factor, dtype=policy)

    def build(self, input_shape=None):
        for layer, channels in ((self.wide, 1), (self.deep, 50), (self.out, 100)):
            layer.build((None, None, None, None, channels))
        self.built = True

    def call(self, inputs, training=False):
        x = ops.cast(inputs["coarse"], self.compute_dtype)[..., None]
        return {"mean": _precise(self.shuffle(self.out(self.deep(self.wide(x))))[..., 0])}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(self.log_loss(x["fine"], y_pred))

    def log_loss(self, fine, outputs):
        """What validation chooses by: the squared error of every voxel."""
        return ops.square(outputs["mean"] - fine)

    def get_config(self):
        return self.config


@keras.saving.register_keras_serializable("medgen")
class ResidualESPCN(keras.Model):
    """Residual blocks at low resolution, a shuffle, and cubic interpolation as a long skip.

    A voxel is normal about `mean = cubic + strength * detail` with standard deviation
    `scale = LEAST_SCALE + exp(s)`, where `detail` and `s` are what the shuffle gives. `strength`
    starts at 0, so the untrained net *is* cubic interpolation, and the shuffled convolution starts
    alike in all phases (`ICNR`).

    The likelihood with a scale for each voxel is that of Tanno et al. [1], section 2.3. Trained by
    it alone the mean goes slack where errors are large, as they count little there; so the mean has
    the gradient of the squared error, over that of all voxels, and the scale that of the
    likelihood, which is what Seitzer et al. [2] weigh by beta = 1.

    Args:
        factor: voxels made of one along each axis.
        filters: channels at low resolution.
        blocks: residual blocks.
        seed: of the initial weights.

    Input shape:
        As `ESPCN`'s.

    Output shape:
        Dictionary with `mean` and `scale`, each like `fine`.

    References:
        [1] Tanno et al., Bayesian image quality transfer with CNNs, MICCAI 2017.
        [2] Seitzer et al., On the pitfalls of heteroscedastic uncertainty estimation, ICLR 2022.
    """

    tells_uncertainty = True

    def __init__(self, factor: int, filters: int, blocks: int, *, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.config = {"factor": factor, "filters": filters, "blocks": blocks, "seed": seed}
        self.factor, self.filters, policy = factor, filters, self.dtype_policy
        self.reach = max(2 + 2 * blocks, CUBIC_REACH)
        self.cubic = CubicSubdivision(factor, dtype=policy)
        self.first = _convolution(filters, 3, _random(seed), policy, "first")
        self.blocks = [
            ResidualVoxelBlock(filters, seed + 10 * (b + 1), dtype=policy, name=f"block_{b}")
            for b in range(blocks)
        ]
        self.out = _convolution(2 * factor**3, 3, ICNR(factor, seed), policy, "out")
        self.shuffle = VoxelShuffle(factor, dtype=policy)

    def build(self, input_shape=None):
        self.first.build((None, None, None, None, 1))
        for layer in (*self.blocks, self.out):
            layer.build((None, None, None, None, self.filters))
        # It writes the parameters of a likelihood, of as many voxels as one is split into.
        self.out.kernel.is_hidden = False
        self.strength = self.add_weight(name="strength", shape=(), initializer="zeros")
        self.width = self.add_weight(
            name="width",
            shape=(),
            initializer=keras.initializers.Constant(NORMAL_90),
            trainable=False,
        )
        self.built = True

    def call(self, inputs, training=False):
        x = ops.cast(inputs["coarse"], self.compute_dtype)[..., None]
        features = self.first(x)
        for block in self.blocks:
            features = block(features)
        shuffled = self.shuffle(self.out(ops.relu(features)))
        detail, s = shuffled[..., 0], _precise(shuffled[..., 1])
        mean = self.cubic(x)[..., 0] + self.strength * detail
        scale = LEAST_SCALE + FIRST_SCALE * ops.exp(ops.clip(s, -6.0, 3.0))
        return {"mean": _precise(mean), "scale": scale}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error, scale = y_pred["mean"] - x["fine"], y_pred["scale"]
        spread = ops.stop_gradient(ops.mean(ops.square(scale)))
        squared = ops.mean(ops.square(error)) / (2 * spread)
        held = {"mean": ops.stop_gradient(y_pred["mean"]), "scale": scale}
        return squared + ops.mean(self.log_loss(x["fine"], held))

    def log_loss(self, fine, outputs):
        """What validation chooses by: minus the logarithm of every voxel's density, in nats."""
        standard = (outputs["mean"] - fine) / outputs["scale"]
        return ops.square(standard) / 2 + ops.log(outputs["scale"]) + math.log(2 * math.pi) / 2

    def get_config(self):
        return self.config


def _random(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=seed)


def _convolution(filters, side, initializer, policy, name, activation=None):
    return keras.layers.Conv3D(
        filters,
        side,
        padding="same",
        activation=activation,
        kernel_initializer=initializer,
        dtype=policy,
        name=name,
    )


def _precise(x):
    """float32, or float64 where that is computed in: for likelihoods, whatever the policy."""
    return x if x.dtype == "float64" else ops.cast(x, "float32")
