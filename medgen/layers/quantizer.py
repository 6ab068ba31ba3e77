"""Vector quantisation with a codebook kept by exponential moving averages."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("medgen")
class VectorQuantizer(keras.layers.Layer):
    """Replaces every vector by its nearest codebook entry.

    The codebook follows the mean of the vectors assigned to each entry (van den Oord et al. 2017,
    appendix A.1). Counts and sums start consistently (count 1, sum = entry), so that an entry
    nobody uses stays where it is instead of being divided by a vanishing or smoothed count. An
    entry whose averaged count falls below `revival_threshold` vectors a batch is dead and restarts
    at a vector drawn from the current batch (Williams et al. 2020).

    Gradients pass straight through to the inputs; the commitment term
    `commitment_cost * mean((inputs - quantized)²)` is added as a layer loss.

    Args:
        num_embeddings: entries of the codebook.
        embedding_dim: length of an entry; the inputs' last axis.
        commitment_cost: weight of the commitment term.
        decay: of the moving averages, in (0, 1).
        revival_threshold: in vectors a batch.
        seed: of the revival draws.

    Input shape:
        `(..., embedding_dim)`.

    Output shape:
        Tuple of quantized vectors, as the input, and int32 codes `(...)`.

    References:
        van den Oord, Vinyals, Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
        Williams et al., Hierarchical Quantized Autoencoders, NeurIPS 2020.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        revival_threshold: float = 0.2,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.decay = decay
        self.revival_threshold = revival_threshold
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        shape = (self.num_embeddings, self.embedding_dim)
        initial = keras.random.normal(shape, seed=self.seed)
        self.codebook = self._state("codebook", initial)
        self.ema_sums = self._state("ema_sums", initial)
        self.ema_counts = self._state("ema_counts", ops.ones((self.num_embeddings,)))
        self.usage = self._state("usage", ops.zeros((self.num_embeddings,)))

    def _state(self, name, value):
        return self.add_weight(
            name=name,
            shape=value.shape,
            initializer=lambda shape, dtype=None: ops.cast(value, dtype),
            trainable=False,
        )

    def encode(self, inputs):
        """Codes `(...)` int32 of the entries nearest to `inputs` `(..., embedding_dim)`."""
        flat = ops.reshape(inputs, (-1, self.embedding_dim))
        # |z - e|² without |z|², which is the same for every entry.
        distances = ops.sum(self.codebook**2, axis=1) - 2 * ops.matmul(
            flat, ops.transpose(self.codebook)
        )
        return ops.reshape(ops.cast(ops.argmin(distances, axis=1), "int32"), ops.shape(inputs)[:-1])

    def decode(self, codes):
        """Codebook entries `(..., embedding_dim)` of `codes` `(...)`."""
        return ops.take(self.codebook, codes, axis=0)

    def call(self, inputs, training=False):
        codes = self.encode(inputs)
        quantized = self.decode(codes)
        self.add_loss(self.commitment_cost * ops.mean((inputs - ops.stop_gradient(quantized)) ** 2))
        if training:
            self._update(ops.stop_gradient(inputs), codes)
        return inputs + ops.stop_gradient(quantized - inputs), codes

    def _update(self, inputs, codes):
        flat = ops.reshape(inputs, (-1, self.embedding_dim))  # (n, d)
        codes = ops.reshape(codes, (-1,))
        batch_sums = ops.segment_sum(flat, codes, num_segments=self.num_embeddings)
        batch_counts = ops.segment_sum(
            ops.ones_like(flat[:, 0]), codes, num_segments=self.num_embeddings
        )
        counts = self.decay * self.ema_counts + (1 - self.decay) * batch_counts
        sums = self.decay * self.ema_sums + (1 - self.decay) * batch_sums

        dead = counts < self.revival_threshold
        drawn = keras.random.randint(
            (self.num_embeddings,), 0, ops.shape(flat)[0], seed=self.seed_generator
        )
        counts = ops.where(dead, ops.ones_like(counts), counts)
        sums = ops.where(dead[:, None], ops.take(flat, drawn, axis=0), sums)

        self.ema_counts.assign(counts)
        self.ema_sums.assign(sums)
        self.codebook.assign(sums / counts[:, None])
        self.usage.assign_add(batch_counts)

    def set_codebook(self, vectors: np.ndarray) -> None:
        """Start from `vectors` `(num_embeddings, embedding_dim)`, with fresh averages."""
        self.codebook.assign(vectors)
        self.ema_sums.assign(vectors)
        self.ema_counts.assign(np.ones(self.num_embeddings))

    def take_usage(self) -> np.ndarray:
        """Counts `(num_embeddings,)` of codes used in training since the last call."""
        counts = ops.convert_to_numpy(self.usage).copy()
        self.usage.assign(np.zeros_like(counts))
        return counts

    def get_config(self):
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "decay": self.decay,
            "revival_threshold": self.revival_threshold,
            "seed": self.seed,
        }


def codebook_statistics(counts: np.ndarray) -> dict[str, float]:
    """Share of codes used at all, and perplexity (2 to the entropy in bits), from counts `(k,)`."""
    total = counts.sum()
    if total == 0:
        return {"usage": 0.0, "perplexity": 0.0, "entropy_bits": 0.0}
    p = counts[counts > 0] / total
    entropy = float(-(p * np.log2(p)).sum())
    return {
        "usage": float(np.mean(counts > 0)),
        "perplexity": float(2**entropy),
        "entropy_bits": entropy,
    }
