"""The causal trunk that every autoregressive net here shares."""

from __future__ import annotations

from typing import Any

import keras

from medgen.layers.causal import CausalInput, GatedBlock


@keras.saving.register_keras_serializable("medgen")
class CausalStack(keras.layers.Layer):
    """`CausalInput` followed by `GatedBlock`s, all conditioned on the same map.

    Samplers use `first` and `blocks` one row and one column at a time; `call` is the whole map.

    Args:
        filters: channels of both stacks.
        blocks: number of gated blocks.
        kernel_size: of the first layer, odd; the blocks' is 3.
        dropout: rate within the blocks.
        seed: of the dropout.

    Input shape:
        Embedded values `(b, h, w, c)` and conditioning `(b, h, w, s)`.

    Output shape:
        `(b, h, w, filters)`; position `(r, c)` depends on values before it in raster order only,
        and on the conditioning everywhere.
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        kernel_size: int = 7,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "filters": filters,
            "blocks": blocks,
            "kernel_size": kernel_size,
            "dropout": dropout,
            "seed": seed,
        }
        policy = self.dtype_policy
        self.first = CausalInput(filters, kernel_size, dtype=policy, name="first")
        self.blocks = [
            GatedBlock(
                filters,
                dropout=dropout,
                seed=seed + i,
                last=i == blocks - 1,
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(blocks)
        ]

    def build(self, input_shape, conditioning_shape):
        self.first.build(input_shape)
        features = (*input_shape[:-1], self.config["filters"])
        for block in self.blocks:
            block.build(features, features, conditioning_shape)

    def call(self, x, conditioning, training=False):
        vertical, horizontal = self.first(x)
        for block in self.blocks:
            vertical, horizontal = block(vertical, horizontal, conditioning, training=training)
        return horizontal

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Rows above and columns to the left that a position can depend on."""
        reach = self.first.halo + sum(block.halo for block in self.blocks)
        return reach, reach

    def get_config(self):
        return {**super().get_config(), **self.config}
