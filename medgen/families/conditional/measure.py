"""What a validation of the family measures."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from medgen.families.conditional.examples import Inputs
from medgen.layers.quantizer import codebook_statistics
from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import COMPRESSION, ConditionalVQVAE


def measure_decoding(
    net: ConditionalVQVAE, batches: Sequence[Inputs], level_width: float
) -> dict[str, float]:
    """How near the decoder comes to windows from their true codes.

    Args:
        net: what is measured.
        batches: inputs of it.
        level_width: see `IntensityRule.level_width`, the unit of the errors.

    Returns:
        `residual_bits_per_dim`, of pixels given their codes; `prediction_bits_per_dim`, given the
        acquired slices alone; mean absolute errors `decoded_mae`, `prediction_mae`, `linear_mae`.
    """
    rows = [_of_batch(net, inputs, level_width) for inputs in batches]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _of_batch(net: ConditionalVQVAE, inputs: Inputs, level_width: float) -> dict[str, float]:
    outputs = net(inputs, training=False)
    known = net.condition(inputs)

    def bits(params: str, center: str) -> float:
        over = {"levels": net.levels, "center": outputs[center]}
        return float(
            bits_per_dim(logistic_mixture.log_prob(outputs[params], inputs["target"], **over))
        )

    def error(image: object) -> float:
        off = keras.ops.convert_to_numpy(image) - inputs["target"]
        return level_width * float(np.abs(off).mean())

    return {
        "residual_bits_per_dim": bits("mixture", "center"),
        "prediction_bits_per_dim": bits("prediction", "linear"),
        "decoded_mae": error(net.mean(outputs["mixture"], known)),
        "prediction_mae": error(outputs["center"]),
        "linear_mae": error(outputs["linear"]),
    }


def measure_codes(prior: ConditionalPrior, batches: Sequence[Inputs]) -> dict[str, float]:
    """Bits that codes take.

    Args:
        prior: what is measured.
        batches: inputs of it.

    Returns:
        `loss` in nats per code; `bits_per_code`; `bits_per_code_shuffled`, given the surroundings
        of another window; `unigram_bits`, without any context; `code_bits_per_dim`, what they add
        to each pixel.
    """
    nats = {
        name: np.mean([_nats(prior, given | {"codes": inputs["codes"]}) for inputs, given in pairs])
        for name, pairs in (
            ("true", [(inputs, inputs) for inputs in batches]),
            ("other", zip(batches, [*batches[1:], batches[0]], strict=True)),
        )
    }
    prior.reset_metrics()
    codes = np.concatenate([inputs["codes"].ravel() for inputs in batches])
    counts = np.bincount(codes, minlength=prior.config["num_embeddings"])
    bits = float(nats["true"] / np.log(2))
    return {
        "loss": float(nats["true"]),
        "bits_per_code": bits,
        "bits_per_code_shuffled": float(nats["other"] / np.log(2)),
        "unigram_bits": codebook_statistics(counts)["entropy_bits"],
        "code_bits_per_dim": bits / COMPRESSION**2,
    }


def _nats(prior: ConditionalPrior, inputs: Inputs) -> float:
    logits = prior(inputs, training=False)
    return float(prior.compute_loss(x=inputs, y_pred=logits, training=False))
