"""Cached against raster sampling, and against one teacher-forced pass, for the prior over codes.

    python benchmarks/sampling.py [--size 64] [--batch 16] [--raster-positions 4]

Every position of the raster sampler costs one full pass of the net, so its time for a whole map is
the time of some positions, scaled up; `--raster-positions 0` runs all of them. Equality is checked
code for code on a map small enough to finish.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import tensorflow as tf

from medgen.nets.pixelcnn import PixelCNN, pixelcnn_from
from medgen.recipes import PRIOR_RECIPES, VQVAE_RECIPES
from medgen.samplers.cached import CachedSampler
from medgen.samplers.draw import categorical_draw
from medgen.samplers.randomness import uniforms
from medgen.samplers.raster import RasterSampler


def timed(function, repeats: int = 3) -> float:
    """Median seconds of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def prior_inputs(net: PixelCNN, batch: int, height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    maps = ("codes", "previous", "next")
    codes = net.config["num_embeddings"]
    return {key: rng.integers(0, codes, (batch, height, width)) for key in maps} | {
        "position": np.full(batch, 0.5, np.float32),
        "gap_mm": np.full(batch, 4.0, np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--raster-positions", type=int, default=4)
    options = parser.parse_args()
    batch, size = options.batch, options.size

    net = pixelcnn_from(PRIOR_RECIPES["default"], VQVAE_RECIPES["default"])
    raster = RasterSampler(net, categorical_draw())
    cached = CachedSampler(net, categorical_draw())

    small = net.condition(prior_inputs(net, 4, 12, 16))
    numbers = uniforms(1, tf.range(4, dtype=tf.int64), (12, 16, 1))
    same = np.mean(raster(small, numbers).numpy() == cached(small, numbers).numpy())
    print(f"equal codes on 4 maps of 12 x 16: {same:.2%}")

    inputs = prior_inputs(net, batch, size, size)
    conditioning = net.condition(inputs)
    numbers = uniforms(1, tf.range(batch, dtype=tf.int64), (size, size, 1))
    forward = tf.function(lambda: net.stack(net.embed(inputs["codes"], conditioning), conditioning))
    seconds = {
        "teacher-forced pass": timed(forward),
        "cached sampling": timed(lambda: cached(conditioning, numbers)),
    }
    positions = options.raster_positions or size * size
    limited = RasterSampler(net, categorical_draw(), positions=positions)
    some = timed(lambda: limited(conditioning, numbers), repeats=1)
    seconds["raster sampling"] = some * size * size / positions
    for name, value in seconds.items():
        print(f"{name:20s} {value:10.2f} s for {batch} maps of {size} x {size}")
    print(
        json.dumps(
            {
                "raster_over_cached": seconds["raster sampling"] / seconds["cached sampling"],
                "cached_over_forward": seconds["cached sampling"] / seconds["teacher-forced pass"],
                "equal_codes": same,
            }
        )
    )


if __name__ == "__main__":
    main()
