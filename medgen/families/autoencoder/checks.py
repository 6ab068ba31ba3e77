"""What `medgen doctor` looks for in an autoencoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops
from scipy.ndimage import gaussian_filter

from medgen.doctor.causality import reach
from medgen.doctor.findings import Finding
from medgen.nets.autoencoder import COMPRESSION, Autoencoder

SEED = 0
SIDE = 181
# Standard deviation of the encodings of noise below which nothing is encoded.
FLAT = 1e-3
# float32 over some dozens of layers.
ROUNDING = 1e-3


def findings(stage: str, net: Autoencoder) -> Iterator[Finding]:
    """Sizes, that encodings tell images apart, how far a value sees, and that shifts are kept."""
    yield _check_sizes(stage, net)
    yield _check_encoding(stage, net)
    yield _check_reach(stage, net)


def _check_sizes(stage: str, net: Autoencoder) -> Finding:
    image = noise_image(SIDE, SIDE)[None]
    encoding, back = net.encode(image), net(image)
    shapes = [" x ".join(map(str, array.shape[1:])) for array in (image, encoding, back)]
    expected = (-(-SIDE // COMPRESSION),) * 2
    return Finding(
        f"{stage} sizes",
        tuple(encoding.shape[1:]) == (*expected, 1) and back.shape == image.shape,
        f"{shapes[0]} numbers become {shapes[1]} and {shapes[2]} again",
    )


def _check_encoding(stage: str, net: Autoencoder) -> Finding:
    """Images of noise have encodings that vary, and a decoder that tells them apart."""
    image = noise_image(64, 48)[None]
    encoding = net.encode(image)
    spread = float(ops.std(encoding))
    change = float(ops.std(net.decode(encoding) - net.decode(ops.flip(encoding, axis=1))))
    return Finding(
        f"{stage} encoding",
        spread > FLAT and change > FLAT,
        f"standard deviation {spread:.2g} of an encoding, {change:.2g} of what it changes",
    )


def _check_reach(stage: str, net: Autoencoder) -> Finding:
    """A pixel counts in the encoding around its own place, and a shift by 4 pixels is one by 1."""
    far = net.reach
    count = 2 * far + 3
    image = noise_image(count * COMPRESSION, count * COMPRESSION)[None]
    other = image.copy()
    middle = count // 2
    other[:, middle * COMPRESSION + 1, middle * COMPRESSION + 1] += 0.25
    before, after = (ops.convert_to_numpy(net.encode(x))[0, ..., 0] for x in (image, other))
    up, down, left, right = reach(before != after, (middle, middle))
    shifted = np.roll(image, (COMPRESSION, COMPRESSION), axis=(1, 2))
    moved = ops.convert_to_numpy(net.encode(shifted))[0, ..., 0]
    # What no border has touched, in either.
    inside = slice(far + 1, count - far)
    off = np.abs(moved[inside, inside] - np.roll(before, (1, 1), (0, 1))[inside, inside]).max()
    sound = off < ROUNDING and before[middle, middle] != after[middle, middle]
    return Finding(
        f"{stage} reach",
        bool(sound and max(up, down, left, right) <= far),
        f"a pixel counts {up} values up, {down} down, {left} left, {right} right; an image moved "
        f"by 4 pixels has its encoding moved by 1, at most {off:.1e} off",
    )


def noise_image(rows: int, cols: int) -> np.ndarray:
    """A smooth image `(rows, cols, 3)`, float32, in the unit range."""
    noise = np.random.default_rng(SEED).normal(size=(rows, cols, 3))
    smooth = gaussian_filter(noise, (1, 1, 0))
    return np.clip(smooth / (4 * smooth.std()), -0.5, 0.5).astype(np.float32)
