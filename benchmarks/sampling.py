"""Cached against raster sampling, one teacher-forced pass, and TFP's PixelCNN.

    python benchmarks/sampling.py [--size 64] [--batch 16] [--raster-positions 4] [--no-tfp]

For the prior over codes and for PixelMiner, both with the default recipe and untrained: speed does
not depend on what the weights are. Every position of the raster sampler costs one full pass of the
net, so its time for whole maps is the time of some positions, scaled up; `--raster-positions 0`
runs all of them. Equality is checked code for code on maps small enough to finish. On an
accelerator `WavefrontSampler`, which draws many rows at once, takes the cached sampler's place, as
it does in `medgen interpolate`. The legacy
`tfp.distributions.PixelCNN` (32 filters, 1 residual layer in each of 3 hierarchies) samples one
image of the same size with 256 levels, against one of PixelMiner's with 2048; it needs TensorFlow
Probability. All else runs on any backend (KERAS_BACKEND=jax) and says on which device.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from medgen.backends import Tensor, accelerators, backend_name, compiled
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PRIOR_RECIPES
from medgen.families.vqvae.recipe import VQVAE_RECIPES
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import Draw, categorical_draw, logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler
from medgen.sampling.wavefront import WavefrontSampler

LEVELS = 2048


@dataclass(frozen=True)
class Contender:
    """A net to sample from.

    Args:
        name: of it.
        net: a net with a causal stack.
        target: the key of its inputs that holds the values to be sampled.
        inputs: function of batch, rows and columns.
        draw: from its outputs to values.
        numbers: uniforms a position.
        jit_compile: as medgen samples from it.
    """

    name: str
    net: keras.Model
    target: str
    inputs: Callable[[int, int, int], dict[str, np.ndarray]]
    draw: Draw
    numbers: int
    jit_compile: bool


def prior() -> Contender:
    """The prior over 512 codes."""
    net = pixelcnn_from(PRIOR_RECIPES["default"], VQVAE_RECIPES["default"])

    def inputs(*shape: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        maps = ("codes", "previous", "next")
        codes = {key: rng.integers(0, net.config["num_embeddings"], shape) for key in maps}
        return codes | gaps(shape[0])

    return Contender("prior", net, "codes", inputs, categorical_draw(), 1, jit_compile=False)


def pixelminer() -> Contender:
    """PixelMiner over 2048 levels."""
    net = pixelminer_from(PIXELMINER_RECIPES["default"], LEVELS)

    def inputs(*shape: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        slices = 2 * net.context
        return gaps(shape[0]) | {
            "target": rng.integers(0, LEVELS, shape),
            "context": rng.integers(0, LEVELS, (*shape, slices)),
            "present": np.ones((shape[0], slices), np.float32),
        }

    draw = logistic_mixture_draw(LEVELS, net.center)
    return Contender("pixelminer", net, "target", inputs, draw, 2, jit_compile=True)


def gaps(batch: int) -> dict[str, np.ndarray]:
    """Positions halfway in gaps of 4 mm."""
    return {
        "position": np.full(batch, 0.5, np.float32),
        "gap_mm": np.full(batch, 4.0, np.float32),
    }


def timed(function: Callable[[], Tensor], repeats: int = 3) -> float:
    """Median seconds of a call, after one to warm up, until its result is there."""
    keras.ops.convert_to_numpy(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        keras.ops.convert_to_numpy(function())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure(contender: Contender, batch: int, size: int, positions: int) -> dict[str, float]:
    """Seconds for `batch` maps by each way, and the share of equal values on small maps."""
    net, (way, fast) = contender.net, fast_sampler(contender)
    small = net.condition(contender.inputs(4, 12, 16))
    numbers = uniforms(1, range(4), (12, 16, contender.numbers))
    drawn = (
        keras.ops.convert_to_numpy(sampler(small, numbers))
        for sampler in (RasterSampler(net, contender.draw), fast)
    )
    same = float(np.mean(next(drawn) == next(drawn)))

    inputs = contender.inputs(batch, size, size)
    numbers = uniforms(1, range(batch), (size, size, contender.numbers))
    condition = compiled(net.condition, net)
    conditioning = condition(inputs)
    values = inputs[contender.target]
    causal = compiled(lambda values, known: net.stack(net.embed(values, known), known), net)
    limited = RasterSampler(net, contender.draw, positions=positions)
    return {
        "conditioner": timed(lambda: condition(inputs)),
        "causal pass": timed(lambda: causal(values, conditioning)),
        f"{way} sampling": timed(lambda: fast(conditioning, numbers)),
        "raster sampling": timed(lambda: limited(conditioning, numbers), repeats=1)
        * (size * size / positions),
        f"{way}, one map": timed(lambda: fast(conditioning[:1], numbers[:1])),
        "equal": same,
    }


def fast_sampler(contender: Contender) -> tuple[str, CachedSampler | WavefrontSampler]:
    """What medgen draws with on this device, see `sampling.slices.SliceSampler`."""
    net, draw = contender.net, contender.draw
    if accelerators():
        return "wavefront", WavefrontSampler(net, draw)
    return "cached", CachedSampler(net, draw, jit_compile=contender.jit_compile)


def tfp_pixelcnn_seconds(size: int) -> float:
    """Seconds in which `tfp.distributions.PixelCNN` samples one image of `size` x `size`."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    net = tfp.distributions.PixelCNN(
        image_shape=(size, size, 1),
        num_resnet=1,
        num_hierarchies=3,
        num_filters=32,
        num_logistic_mix=5,
        dropout_p=0.0,
    )
    net.log_prob(tf.zeros((1, size, size, 1)))  # builds it
    sample = tf.function(lambda: net.sample(1, seed=0)).get_concrete_function()
    start = time.perf_counter()
    sample()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--raster-positions", type=int, default=4)
    parser.add_argument("--no-tfp", action="store_true", help="leave the slow peer out")
    options = parser.parse_args()
    size, positions = options.size, options.raster_positions or options.size**2

    device = ", ".join(accelerators()) or "the CPU"
    print(f"{backend_name()} on {device}")
    ratios, one_map = {}, {}
    for contender in (prior(), pixelminer()):
        seconds = measure(contender, options.batch, size, positions)
        print(f"{contender.name}: {seconds.pop('equal'):.2%} equal values on 4 maps of 12 x 16")
        for name, value in seconds.items():
            print(f"  {name:18s} {value:10.3f} s for {options.batch} maps of {size} x {size}")
        read, forward, fast, raster, one = seconds.values()
        # All ways read the neighbours once; both sides count it.
        print(f"  {options.batch / (read + fast):18.2f} slices a second")
        prefix = "prior_" if contender.name == "prior" else ""
        ratios |= {
            f"{prefix}raster_over_cached": (read + raster) / (read + fast),
            f"{prefix}cached_over_forward": (read + fast) / (read + forward),
            f"{prefix}causal_cached_over_forward": fast / forward,
        }
        one_map[prefix] = read / options.batch + one
    if not options.no_tfp and importlib.util.find_spec("tensorflow_probability"):
        seconds = tfp_pixelcnn_seconds(size)
        print(f"tfp.distributions.PixelCNN: {seconds:.1f} s for one image of {size} x {size}")
        for prefix, value in one_map.items():
            ratios[f"{prefix}tfp_pixelcnn_over_cached"] = seconds / value
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
