"""Conditional gated PixelCNN: the prior over the codes of a missing slice."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medgen.layers.residual import ResidualBlock
from medgen.layers.stack import CausalStack
from medgen.likelihoods import bits_per_dim, categorical


def position_features(position, gap_mm):
    """Where the wanted slice lies, as five numbers of order one.

    Args:
        position: relative position z in (0, 1) between previous and next slice, `(b,)`.
        gap_mm: distance of the two, `(b,)`.

    Returns:
        `(b, 5)`: z − ½, 4 z (1 − z), the log of the gap, and the logs of both distances.
    """
    before, after = position * gap_mm, (1 - position) * gap_mm
    return ops.stack(
        [
            position - 0.5,
            4 * position * (1 - position),
            ops.log(gap_mm / 4),
            ops.log(before / 2),
            ops.log(after / 2),
        ],
        axis=-1,
    )


@keras.saving.register_keras_serializable("medgen")
class PixelCNN(keras.Model):
    """Gated PixelCNN over code maps, conditioned on the code maps of two neighbouring slices.

    The neighbours are known in full: a residual net without masks reads both maps and the position
    of the wanted slice once, and every gated block of the causal trunk receives its output
    (van den Oord et al. 2016, section 2.3, with a spatial condition).

    Args:
        num_embeddings: codes.
        embedding_dim: length of a code's embedding.
        filters: channels of the causal trunk.
        blocks: gated blocks.
        conditioner_filters: channels of the net that reads the neighbours.
        conditioner_blocks: its residual blocks, dilated 1, 2, 4 in turn.
        dropout: rate in all blocks.
        seed: of the dropout.

    The code `num_embeddings`, one past the last, stands for a neighbour of which nothing is known;
    with both neighbours so, the net is an unconditional prior.

    Input shape:
        Mapping with `codes`, `previous` and `next`, each `(b, h, w)` integers; `position` `(b,)`
        in (0, 1) and `gap_mm` `(b,)`.

    Output shape:
        Logits `(b, h, w, num_embeddings)`.

    References:
        van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS 2016.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        filters: int,
        blocks: int,
        conditioner_filters: int,
        conditioner_blocks: int,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "num_embeddings": num_embeddings,
            "embedding_dim": embedding_dim,
            "filters": filters,
            "blocks": blocks,
            "conditioner_filters": conditioner_filters,
            "conditioner_blocks": conditioner_blocks,
            "dropout": dropout,
            "seed": seed,
        }
        layers, policy = keras.layers, self.dtype_policy

        # === Layers ===
        self.embedding = layers.Embedding(
            num_embeddings + 1, embedding_dim, dtype=policy, name="embedding"
        )
        self.neighbours = layers.Conv2D(
            conditioner_filters, 3, padding="same", dtype=policy, name="neighbours"
        )
        self.place = layers.Dense(conditioner_filters, dtype=policy, name="place")
        self.conditioner = [
            ResidualBlock(
                conditioner_filters,
                dilation=2 ** (i % 3),
                dropout=dropout,
                seed=seed + 100 + i,
                dtype=policy,
                name=f"conditioner_{i}",
            )
            for i in range(conditioner_blocks)
        ]
        self.stack = CausalStack(
            filters, blocks, dropout=dropout, seed=seed, dtype=policy, name="stack"
        )
        self.out = layers.Dense(num_embeddings, dtype=policy, name="out")
        self.bits_per_code = keras.metrics.Mean(name="bits_per_code")

    def build(self, input_shape=None):
        config = self.config
        codes = (None, None, None, config["embedding_dim"])
        conditioning = (None, None, None, config["conditioner_filters"])
        self.embedding.build((None,))
        self.neighbours.build((*codes[:-1], self.channels_known))
        self.place.build((None, 5))
        for block in self.conditioner:
            block.build(conditioning)
        self.stack.build(codes, conditioning)
        self.out.build((None, None, None, config["filters"]))
        self.built = True

    @property
    def channels_known(self):
        """Channels of `known`."""
        return 2 * self.config["embedding_dim"]

    def known(self, inputs):
        """What is known of the neighbours before any of it is related, `(b, h, w, c)`."""
        neighbours = [self.embedding(inputs["previous"]), self.embedding(inputs["next"])]
        return ops.concatenate(neighbours, axis=-1)

    def condition(self, inputs, training=False):
        """What the trunk is told of the neighbours, `(b, h, w, conditioner_filters)`."""
        x = self.neighbours(self.known(inputs))
        place = self.place(position_features(inputs["position"], inputs["gap_mm"]))
        x = x + place[:, None, None]
        for block in self.conditioner:
            x = block(x, training=training)
        return x

    def embed(self, codes, conditioning):
        """The trunk's input `(..., embedding_dim)` for `codes` `(...)`."""
        return self.embedding(codes)

    def head(self, features, conditioning):
        """Logits `(..., num_embeddings)` from the trunk's output `(..., filters)`."""
        return self.out(keras.activations.silu(features))

    def call(self, inputs, training=False):
        conditioning = self.condition(inputs, training)
        embedded = self.embed(inputs["codes"], conditioning)
        return self.head(self.stack(embedded, conditioning, training=training), conditioning)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean nats per code."""
        log_prob = categorical.log_prob(y_pred, x["codes"])
        self.bits_per_code.update_state(bits_per_dim(log_prob))
        return -ops.mean(log_prob)

    def get_config(self):
        return self.config
