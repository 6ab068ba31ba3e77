"""What a conditional VQ-VAE gains from showing the acquired slices to its decoder and its encoder.

    python benchmarks/ablation.py DATA... --validation SCAN [--start ct-pixelminer] [--steps 1000]

Each arm, a set of fields of the recipe, trains a small first stage and its prior alike: as many
codes, steps and windows. Of windows of the validation scan it prints PSNR in dB over the model's
range: of linear interpolation; of the prediction; of decoding the true codes; of decoding sampled
codes; of the mean of `--samples` of these. Then the high-frequency power of sampled slices over the
truth's (1 is right), bits per pixel (pixels given their codes, and the evidence lower bound), bits
per code, and the share of the codebook in use. The last line is one JSON object. Minutes an arm on
two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from medgen.bundles.bundle import load_bundle
from medgen.bundles.released import folder_named
from medgen.families.conditional.fit import ConditionalTask
from medgen.families.conditional.fit_prior import ConditionalPriorTask
from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
from medgen.families.conditional.sampler import CodeSampler
from medgen.sampling.randomness import uniforms
from medgen.training.gather import gather_scans
from medgen.training.session import fit

ARMS = {
    "neither": {"encoder_sees": False, "decoder_sees": False},
    "decoder": {"encoder_sees": False},
    "both": {},
    "both, 64 codes": {"num_embeddings": 64},
}
SEED = 0


def trained(arm: dict, scans, start, args):
    """Both stages of an arm, and the windows they are validated on."""
    size = {"crop": args.crop, "batch_size": args.batch_size, "filters": args.filters}
    first = ConditionalRecipe(**size, **arm, steps=args.steps, validate_every=args.steps)
    second = ConditionalPriorRecipe(
        batch_size=args.batch_size, steps=args.prior_steps, validate_every=args.prior_steps
    )
    with tempfile.TemporaryDirectory() as folder:
        task = ConditionalTask(scans, first, start, SEED)
        first_stage = fit(task, Path(folder) / "vqvae")
        prior = ConditionalPriorTask(scans, first_stage, second, SEED)
        return fit(prior, Path(folder) / "prior"), task.windows.held_out


def psnr_db(image: np.ndarray, true: np.ndarray, levels: int) -> float:
    """Over the range of levels, of all windows together."""
    return float(20 * np.log10((levels - 1) / np.sqrt(np.mean((image - true) ** 2))))


def power(images: np.ndarray) -> float:
    """Mean square of what is left of `(..., h, w)` when a Gaussian of one pixel is taken off."""
    sigma = (*[0] * (images.ndim - 2), 1, 1)
    return float(np.mean((images - gaussian_filter(images, sigma)) ** 2))


def measured(bundle, held_out, samples: int) -> dict[str, float]:
    """A row of the table."""
    vqvae, prior = bundle.nets["vqvae"], bundle.nets["prior"]
    sampler = CodeSampler(vqvae, prior, jit_compile=False)
    linear, prediction, decoded, drawn, true = [], [], [], [], []
    for i, inputs in enumerate(held_out):
        outputs = vqvae(inputs)
        known = vqvae.condition(inputs)
        shape = inputs["target"].shape
        numbers = (uniforms(k, range(i * shape[0], (i + 1) * shape[0]), (*shape[1:], 2))
                   for k in range(samples))  # fmt: skip
        filled = sampler.fill(inputs, numbers)
        linear.append(np.asarray(outputs["linear"]))
        decoded.append(np.asarray(vqvae.mean(outputs["mixture"], known)))
        prediction.append(filled.prediction)
        drawn.append(filled.levels)
        true.append(inputs["target"])
    true, sampled = np.concatenate(true), np.concatenate(drawn, axis=1)
    columns = {
        "linear": np.concatenate(linear),
        "prediction": np.concatenate(prediction),
        "true codes": np.concatenate(decoded),
        "sampled": sampled,
        "mean of samples": sampled.mean(axis=0),
    }
    first, second = (bundle.metrics[stage] for stage in ("vqvae", "prior"))
    return {
        **{name: psnr_db(images, true, vqvae.levels) for name, images in columns.items()},
        "power": power(sampled) / power(true.astype(np.float32)),
        "bits given codes": first["residual_bits_per_dim"],
        "bits": second["elbo_bits_per_dim"],
        "bits a code": second["bits_per_code"],
        "usage": first["codebook_usage"],
    }


def main() -> None:
    """Train and measure every arm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--validation", action="append", type=Path, required=True)
    parser.add_argument("--start", default="ct-pixelminer", help="whose prediction is built on")
    parser.add_argument("--arm", action="append", choices=ARMS, help="default: all")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--prior-steps", type=int, default=800)
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    args = parser.parse_args()

    start = load_bundle(folder_named(args.start))
    scans = gather_scans(
        args.data, args.validation, rule=start.rule, image_size=None, guard_mm=9.0, seed=SEED
    )
    rows = {}
    for name in args.arm or ARMS:
        rows[name] = measured(*trained(ARMS[name], scans, start, args), args.samples)
        if len(rows) == 1:
            print(" " * 16 + "".join(f"{column:>17}" for column in rows[name]))
        cells = "".join(f"{value:17.2f}" for value in rows[name].values())
        print(f"{name:16}{cells}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
