"""Likelihoods of integer codes and grey levels: what nets are trained on and samplers draw from.

`categorical` is over codes without order; `logistic_mixture` over grey levels, which have one. Both
are plain functions of a net's output, in `keras.ops`, and compute in float32 whatever the precision
policy; in float64 where the output is, so that two ways of computing a net in float64 draw the same
values. The same mixture as a `tfp.distributions.Distribution` is in `medgen.likelihoods.tfp`, the
only module here that imports TensorFlow.
"""

from __future__ import annotations

import math

from keras import ops

from medgen.backends import Tensor
from medgen.likelihoods import categorical, logistic_mixture

__all__ = ["bits_per_dim", "categorical", "logistic_mixture"]


def bits_per_dim(log_prob: Tensor) -> Tensor:
    """Mean negative log-probability in bits.

    Args:
        log_prob: `(...)`, log-probabilities in nats, one for each pixel or code.

    Returns:
        Scalar float32: bits per pixel or code.
    """
    return -ops.mean(ops.convert_to_tensor(log_prob, "float32")) / math.log(2)
