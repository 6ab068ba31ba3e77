"""Categorical distribution over codes, as functions of logits `(..., num_codes)`.

All arithmetic is in float32, or in float64 where the logits are.
"""

from __future__ import annotations

import keras
from keras import ops

from medgen.backends import Tensor


def precision(outputs: Tensor) -> str:
    """What to compute a likelihood in from a net's `outputs`: float32, or float64 if they are."""
    return "float64" if keras.backend.standardize_dtype(outputs.dtype) == "float64" else "float32"


def log_prob(logits: Tensor, codes: Tensor) -> Tensor:
    """Log-probability of `codes`, the negative softmax cross entropy.

    Args:
        logits: `(..., num_codes)`, any floating dtype.
        codes: `(...)`, integers in `[0, num_codes)`.

    Returns:
        `(...)`, in nats.
    """
    logits = ops.cast(logits, precision(logits))
    chosen = ops.take_along_axis(logits, ops.expand_dims(ops.cast(codes, "int32"), -1), axis=-1)
    return ops.squeeze(chosen, -1) - ops.logsumexp(logits, axis=-1)


def sample(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Codes by inversion of the cumulative probabilities: code `n` where cdf(n-1) <= u < cdf(n).

    A function of its arguments alone, so that two samplers fed the same numbers draw the same code.
    Divide `logits` by a temperature first to sharpen (below 1) or flatten (above 1) the choice.

    Args:
        logits: `(..., num_codes)`, any floating dtype; -inf for a code that is excluded.
        uniforms: `(...)`, in [0, 1].

    Returns:
        `(...)`, int32; never a code that is excluded.
    """
    logits = ops.cast(logits, precision(logits))
    weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    cumulative = ops.cumsum(weights, axis=-1)
    # Strictly below the total whatever the rounding, so that the code passed has some weight.
    uniforms = ops.expand_dims(ops.convert_to_tensor(uniforms, logits.dtype), -1) * (1 - 2.0**-22)
    return ops.sum(ops.cast(uniforms * cumulative[..., -1:] >= cumulative, "int32"), axis=-1)
