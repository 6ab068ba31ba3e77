"""Non-causal U-shaped net of residual blocks: wide, and paid for once for a whole slice."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medgen.layers.residual import ResidualBlock


@keras.saving.register_keras_serializable("medgen")
class ResidualUNet(keras.layers.Layer):
    """Residual blocks at full, half, quarter, ... resolution and back, with additive skips.

    Channels double once, at half resolution. No normalisation: a pixel's features depend on its
    surroundings, not on the size of the map. Maps of any size are padded inside, at the bottom and
    the right, by repeating the last row and column.

    Args:
        filters: channels, equal to the input's.
        blocks: residual blocks at each resolution, on the way down and again on the way up; the
            lowest resolution has them once, dilated 1, 2, 4 in turn.
        stages: halvings.
        dropout: rate within the blocks.
        seed: of the dropout.

    Input shape:
        `(b, h, w, filters)`.

    Output shape:
        As the input.
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        stages: int = 2,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "filters": filters,
            "blocks": blocks,
            "stages": stages,
            "dropout": dropout,
            "seed": seed,
        }
        self.widths = [filters] + [2 * filters] * stages
        policy, layers = self.dtype_policy, keras.layers
        seeds = iter(range(seed, seed + blocks * (2 * stages + 1)))

        def stage(width: int, name: str, dilate: bool = False) -> list[ResidualBlock]:
            return [
                ResidualBlock(
                    width,
                    dilation=2 ** (i % 3) if dilate else 1,
                    dropout=dropout,
                    seed=next(seeds),
                    dtype=policy,
                    name=f"{name}_{i}",
                )
                for i in range(blocks)
            ]

        self.descent = [stage(self.widths[s], f"descent_{s}") for s in range(stages)]
        self.shrink = [
            layers.Conv2D(
                self.widths[s + 1],
                4,
                strides=2,
                padding="same",
                activation="silu",
                dtype=policy,
                name=f"shrink_{s}",
            )
            for s in range(stages)
        ]
        self.bottom = stage(self.widths[-1], "bottom", dilate=True)
        self.grow = [
            layers.Dense(self.widths[s], dtype=policy, name=f"grow_{s}") for s in range(stages)
        ]
        self.upsample = layers.UpSampling2D(dtype=policy, name="upsample")
        self.ascent = [stage(self.widths[s], f"ascent_{s}") for s in range(stages)]

    def build(self, input_shape):
        for s in range(self.config["stages"]):
            here, below = ((None, None, None, self.widths[s + i]) for i in (0, 1))
            self.shrink[s].build(here)
            self.grow[s].build(below)
            for block in (*self.descent[s], *self.ascent[s]):
                block.build(here)
        for block in self.bottom:
            block.build((None, None, None, self.widths[-1]))

    def call(self, x, training=False):
        shape = ops.shape(x)
        x = pad_to_multiple(x, 2 ** self.config["stages"])
        skips = []
        for blocks, shrink in zip(self.descent, self.shrink, strict=True):
            for block in blocks:
                x = block(x, training=training)
            skips.append(x)
            x = shrink(x)
        for block in self.bottom:
            x = block(x, training=training)
        for blocks, grow, skip in reversed(list(zip(self.ascent, self.grow, skips, strict=True))):
            x = skip + self.upsample(grow(x))
            for block in blocks:
                x = block(x, training=training)
        return x[:, : shape[1], : shape[2]]

    def get_config(self):
        return {**super().get_config(), **self.config}


def pad_to_multiple(images, multiple: int):
    """Extend `(b, h, w, c)` to multiples of `multiple` by repeating the last row and column."""
    for axis in (1, 2):
        size = ops.shape(images)[axis]
        padded = -(-size // multiple) * multiple
        indices = ops.minimum(ops.arange(padded), size - 1)
        images = ops.take(images, indices, axis=axis)
    return images
