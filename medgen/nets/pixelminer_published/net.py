"""PixelMiner as published: PixelCNN++ over previous slice, slice to be written and next slice."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.nets.pixelcnn import position_features
from medgen.nets.pixelminer_published.convolutions import PixelMinerInput
from medgen.nets.pixelminer_published.stages import OuterMaps, ResidualStages
from medgen.nets.pixelminer_published.weightnorm import WeightNormDense


@keras.saving.register_keras_serializable("medgen")
class PixelMinerPublished(keras.Model):
    """Grey levels of a missing slice, pixel by pixel, given its two neighbours [1].

    The published network, with its slip in the down pass mended: there the horizontal stack of the
    way up went on from the vertical stack's output instead of its own, and so lost all but three
    pixels of what lies to the left. Also unlike the published code, the mixture comes from the
    middle slice's maps alone, long skips and the link between the stacks have a gain each, and the
    outer slices stay in register at the input (see `PixelMinerInput`). The position of the slice
    enters as a condition does in PixelCNN++ [2]; the published network knows the middle one only.

    Args:
        levels: number of grey levels; published: 256.
        filters: channels of every map; published: 128.
        layers: gated residual layers a stage, see `ResidualStages`; published: 1.
        mixtures: components of the likelihood; published: 10.
        dropout: rate in the gated residual layers; published: 0.5.
        halvings: of the resolution; published: 2.
        seed: of the dropout.

    Input shape:
        As `nets.pixelminer_lean.PixelMinerLean` with `context` 1: mapping with `target` `(b, h, w)`
        and `context` `(b, h, w, 2)` levels, `position` `(b,)` and `gap_mm` `(b,)`. All but `target`
        is enough for `condition`.

    Output shape:
        Mapping of `mixture` `(b, h, w, 3 * mixtures)` with `center` `(b, h, w)`, the middle of the
        levels: parameters and center of `likelihoods.logistic_mixture`.

    References:
        [1] Rogers et al., Towards texture accurate slice interpolation of medical images using
            PixelMiner, 2023; code: github.com/wrrogers/PixelMiner.
        [2] Salimans et al., PixelCNN++: Improving the PixelCNN with discretized logistic mixture
            likelihood and other modifications, ICLR 2017; code: github.com/openai/pixel-cnn.
    """

    def __init__(
        self,
        levels: int,
        filters: int = 128,
        layers: int = 1,
        mixtures: int = 10,
        dropout: float = 0.5,
        halvings: int = 2,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "levels": levels,
            "filters": filters,
            "layers": layers,
            "mixtures": mixtures,
            "dropout": dropout,
            "halvings": halvings,
            "seed": seed,
        }
        self.levels = levels
        self.context = 1
        self.autoregressive = True
        self.middle_level = (levels - 1) / 2
        policy = self.dtype_policy

        def stages(horizontal: bool, seed: int, name: str) -> ResidualStages:
            return ResidualStages(
                filters, layers, horizontal, dropout, seed, halvings, dtype=policy, name=name
            )

        # === Layers ===
        self.first = PixelMinerInput(filters, dtype=policy, name="first")
        self.vertical = stages(False, seed, "vertical")
        self.horizontal = stages(True, seed + 1000, "horizontal")
        self.out = WeightNormDense(3 * mixtures, dtype=policy, name="out")
        self.bits = keras.metrics.Mean(name="bits_per_dim")

    def build(self, input_shape=None):
        maps = (None, None, None)
        features, place = (*maps, self.config["filters"]), (None, 1, 1, 5)
        self.first.build((*maps, 2))
        self.vertical.build(features, place)
        self.horizontal.build(features, place)
        self.out.build(features)
        self.built = True

    def condition(self, inputs, training=False):
        """What is known of every pixel, `(b, h, w, 7)`: both neighbours and the position."""
        dtype = self.compute_dtype
        acquired = ops.cast(inputs["context"], dtype)
        position, gap_mm = (ops.cast(inputs[key], dtype) for key in ("position", "gap_mm"))
        place = position_features(position, gap_mm)[:, None, None]
        place = ops.broadcast_to(place, (*ops.shape(acquired)[:3], place.shape[-1]))
        return ops.concatenate([self._unit(acquired), place], axis=-1)

    def center(self, conditioning):
        """What the mixture's means are relative to, `(...)` in levels."""
        return ops.full_like(conditioning[..., 0], self.middle_level)

    def embed(self, values, conditioning, training=False):
        """The causal input `(..., 2)` for levels `(...)`: −1…1, and 1 (0 is outside)."""
        return _marked(self._unit(ops.cast(values, conditioning.dtype)))

    def stack(self, embedded, conditioning, training=False):
        """Features `(b, h, w, filters)` of the middle slice, from earlier `embedded` only."""
        height, width = ops.shape(embedded)[1:3]
        outer = self.outer(conditioning)
        previous, following = ops.split(outer, 2, axis=0)
        x = ops.concatenate([previous, self.pad(embedded), following], axis=0)
        place = _copies(conditioning, 3)
        vertical, horizontal = self.first(x)
        _, beside = self.vertical(vertical, place, training=training)
        horizontal, _ = self.horizontal(horizontal, place, beside, training=training)
        return ops.split(horizontal, 3, axis=0)[1][:, :height, :width]

    def head(self, features, conditioning):
        """Parameters `(..., 3 * mixtures)`, means relative to `center`, from the features."""
        x = self.out(ops.elu(features))
        logits, means, log_scales = ops.split(x, 3, axis=-1)
        # The net's unit is half the range, as in PixelCNN++.
        means, log_scales = means * self.middle_level, log_scales + math.log(self.middle_level)
        return ops.concatenate([logits, means, log_scales], axis=-1)

    def call(self, inputs, training=False):
        known = self.condition(inputs)
        features = self.stack(self.embed(inputs["target"], known), known, training)
        return {"mixture": self.head(features, known), "center": self.center(known)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean nats per pixel."""
        log_prob = logistic_mixture.log_prob(
            y_pred["mixture"], x["target"], levels=self.levels, center=y_pred["center"]
        )
        self.bits.update_state(bits_per_dim(log_prob))
        return -ops.mean(log_prob)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Rows above and columns to each side within which every earlier pixel counts.

        That is what layers at full resolution reach, four pixels each; the coarser stages reach
        farther.
        """
        reach = 4 * len(self.vertical.gated(0)) + 1
        return reach, reach

    def outer(self, conditioning):
        """Outer slices as the first layers want them, `(2b, h, w, 2)`, sides padded."""
        acquired = [_marked(conditioning[..., i]) for i in (0, 1)]
        return self.pad(ops.concatenate(acquired, axis=0))

    def read(self, conditioning):
        """All that the outer slices and the position say to the middle, once for a slice.

        Returns:
            By `PixelMinerConv`, what it adds to the middle's mixed maps, `(b, h, w, ...)`; by
            `GatedResidual`, the condition at its end `(b, 2 * filters)`.
        """
        place = _copies(conditioning, 2)
        x, injected = self.outer(conditioning), {}

        def first(layer):
            y, injected[layer] = layer.read(x)
            return y

        vertical = OuterMaps(place)
        self.vertical.walk(vertical, first(self.first.vertical))
        horizontal = OuterMaps(place, vertical.outputs)
        self.horizontal.walk(horizontal, first(self.first.above) + first(self.first.left))
        gated = [
            layer
            for stages in (self.vertical, self.horizontal)
            for level in range(stages.halvings + 1)
            for layer in stages.gated(level)
        ]
        conditions = {layer: layer.place(conditioning[:, 0, 0, 2:]) for layer in gated}
        return injected | vertical.injected | horizontal.injected, conditions

    def pad(self, maps):
        """Zeros below and right of `(b, h, w, c)`, up to sides that the stages can halve."""
        height, width = ops.shape(maps)[1:3]
        multiple = 2 ** self.config["halvings"]
        return ops.pad(maps, [[0, 0], [0, -height % multiple], [0, -width % multiple], [0, 0]])

    def _unit(self, levels):
        return levels / self.middle_level - 1

    def get_config(self):
        return self.config


def _marked(values):
    """`values` `(...)` and ones, `(..., 2)`: what is outside, of zeros, can be told from grey."""
    return ops.stack([values, ops.ones_like(values)], axis=-1)


def _copies(conditioning, count: int):
    """Position features for `count` slices behind each other, `(count * b, 1, 1, 5)`."""
    return ops.concatenate([conditioning[:, :1, :1, 2:]] * count, axis=0)
