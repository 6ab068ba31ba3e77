"""The temperature at which a PixelMiner draws slices as noisy as the acquired ones beside them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from medgen.evaluation.noise import high_frequency_power, homogeneous_tissue
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer import PixelMiner
from medgen.nets.pixelminer_paper import PixelMinerPaper
from medgen.preprocessing.contexts import inputs_between
from medgen.samplers.cached import CachedSampler
from medgen.samplers.draw import Draw
from medgen.samplers.randomness import PLACES, uniforms
from medgen.samplers.staged import StagedSampler

# Tried all at once; between them the noise is interpolated.
TEMPERATURES = np.geomspace(0.4, 2.0, 9)
# Windows drawn, and their sides in pixels.
WINDOWS = 6
SIDE = 48
# Borders of a window are left out: the high-pass filter reaches so far.
MARGIN = 4
# Fewest pixels of homogeneous tissue in a window that tell anything.
ENOUGH = 64

Window = tuple[slice, slice]


def matching_temperature(
    net: PixelMiner | PixelMinerPaper,
    levels: np.ndarray,
    positions: np.ndarray,
    gap_mm: float,
    seed: int,
) -> float | None:
    """Temperature at which drawn noise has the power of the acquired noise.

    Draws a window in the most homogeneous part of up to six of the slices wanted, at nine
    temperatures with the same random numbers. The high-frequency power in homogeneous tissue (see
    `evaluation.noise`), over that of both acquired neighbours, grows with the temperature;
    where it passes 1 is the temperature looked for.

    Args:
        net: what draws.
        levels: of all acquired slices, `(n, rows, cols)`.
        positions: of the slices wanted, see `Interpolator.fill`.
        gap_mm: spacing of the acquired slices.
        seed: of the draws.

    Returns:
        A number of three decimals between 0.4 and 2, an end of that range where noise cannot be
        matched within it; None where no window has homogeneous tissue with noise in it.
    """
    chosen = np.unique(np.linspace(0, len(positions) - 1, WINDOWS).round().astype(int))
    positions, windows, tissues, acquired = positions[chosen], [], [], []
    for position in positions:
        neighbours = levels[int(position) : int(position) + 2].astype(np.float32)
        tissue = homogeneous_tissue(neighbours)
        window = _fullest(tissue)
        windows.append(window)
        tissues.append(_inner(tissue[window]))
        acquired.append(neighbours[(slice(None), *window)])
    useful = [i for i, tissue in enumerate(tissues) if np.count_nonzero(tissue) >= ENOUGH]
    if not useful:
        return None
    positions, windows = positions[useful], [windows[i] for i in useful]
    inputs = inputs_between(levels, positions, gap_mm, windows, net.context)
    drawn = _drawn(net, inputs, positions, seed)

    def power(images: np.ndarray, tissue: np.ndarray) -> float:
        return float(np.mean([high_frequency_power(image, tissue) for image in images]))

    wanted = sum(power(acquired[i], tissues[i]) for i in useful)
    if wanted == 0:
        return None
    powers = [
        sum(power(images[t : t + 1], tissues[i]) for images, i in zip(drawn, useful, strict=True))
        for t in range(len(TEMPERATURES))
    ]
    # Noise of few pixels may dip where it should grow; logarithms, as both span decades.
    ratios = np.maximum.accumulate(np.log(np.maximum(powers, 1e-12) / wanted))
    return round(float(np.exp(np.interp(0.0, ratios, np.log(TEMPERATURES)))), 3)


def _drawn(net, inputs, positions: np.ndarray, seed: int) -> np.ndarray:
    """Levels `(b, temperatures, h, w)`."""
    count, shape = len(positions), inputs["context"].shape[1:3]
    temperatures = tf.constant(np.tile(TEMPERATURES, count), tf.float32)
    places = tf.constant(np.rint(positions * PLACES), tf.int64)
    numbers = tf.repeat(uniforms(seed, places, (*shape, 2)), len(TEMPERATURES), axis=0)
    if not getattr(net, "autoregressive", True):
        _, *prediction = net.read(inputs)
        params, linear = (tf.repeat(x, len(TEMPERATURES), axis=0) for x in prediction)
        draw = _tempered(net.levels, lambda known: known, temperatures[:, None, None])
        drawn = draw(params, numbers, linear)
    else:
        sampler = StagedSampler if isinstance(net, PixelMinerPaper) else CachedSampler
        known = tf.repeat(net.condition(inputs), len(TEMPERATURES), axis=0)
        drawn = sampler(net, _tempered(net.levels, net.center, temperatures))(known, numbers)
    return drawn.numpy().reshape(count, len(TEMPERATURES), *shape)


def _tempered(levels: int, center, temperatures: tf.Tensor) -> Draw:
    """As `logistic_mixture_draw`, at a temperature for each map of the batch."""

    def draw(params: tf.Tensor, uniform: tf.Tensor, conditioning: tf.Tensor) -> tf.Tensor:
        params = logistic_mixture.temper(params, temperatures)
        return logistic_mixture.sample(params, uniform, levels=levels, center=center(conditioning))

    return draw


def _fullest(tissue: np.ndarray) -> Window:
    """The window with most tissue, of those at steps of a quarter of their side."""
    sides = [min(SIDE, n) for n in tissue.shape]
    candidates = [
        (slice(row, row + sides[0]), slice(column, column + sides[1]))
        for row in range(0, tissue.shape[0] - sides[0] + 1, SIDE // 4)
        for column in range(0, tissue.shape[1] - sides[1] + 1, SIDE // 4)
    ]
    return max(candidates, key=lambda window: np.count_nonzero(_inner(tissue[window])))


def _inner(tissue: np.ndarray) -> np.ndarray:
    """`tissue` without the borders of the window."""
    inner = np.zeros_like(tissue)
    inside = (slice(MARGIN, -MARGIN),) * 2
    inner[inside] = tissue[inside]
    return inner
