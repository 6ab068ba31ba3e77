"""Edge preservation: how many of the edges of the truth an image keeps, and how many it invents."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label, sobel
from skimage.feature import canny

from medgen.evaluation.similarity import as_pair

# Canny: Gaussian of sigma 1 pixel; thresholds on the Sobel magnitude as shares of the data range. A
# sharp step of height h has magnitude about 4h before smoothing, so with 4095 HU an edge starts at
# steps of some 100 HU and is followed down to some 50 HU.
SIGMA = 1.0
LOW, HIGH = 0.05, 0.10

# The published script: OpenCV's Canny with thresholds 100 and 200 on 8-bit images.
SEED_LOW, SEED_HIGH = 100, 200


def edge_preservation_ratio(
    image_true: np.ndarray,
    image_test: np.ndarray,
    *,
    data_range: float,
    over: str = "true",
    published: bool = False,
) -> float:
    """Share of edge pixels that both images have, 1 at best.

    Edges are Canny's, of both images alike (`canny_edges`). Over the edges of the true image the
    ratio is the accuracy of Yu et al. (edges found again); over those of the test image it is their
    robustness (edges not invented). Pixels must coincide exactly.

    The script published with PixelMiner computes something else under this name,
    `E_test / (E_true + E_test)` from *counts* of edge pixels that need not overlap: 0.5 when there
    are equally many, wherever they lie. `published=True` gives that number, with the edges of
    that script, and only it can be set beside the paper's 0.489.

    Args:
        image_true: `(rows, cols)`, values from 0 to `data_range`.
        image_test: of the same shape and units.
        data_range: span of the possible values in the same units.
        over: `"true"` (accuracy) or `"test"` (robustness); not used when `published`.
        published: the count ratio of the published script instead of the overlap.

    Returns:
        The ratio; NaN where the denominator has no edge.

    Raises:
        ValueError: shapes differ, `data_range` is not positive or `over` is unknown.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((64, 64))
        >>> step[:, 32:] = 1.0
        >>> edge_preservation_ratio(step, step, data_range=1.0)
        1.0
        >>> edge_preservation_ratio(step, np.zeros_like(step), data_range=1.0)
        0.0

    References:
        [1] Yu et al., 2014, edge preservation ratio.
        [2] Rogers et al., PixelMiner, 2023; script `results EPR.py` published with it.
    """
    true, test = as_pair(image_true, image_test, data_range)
    if published:
        edges_true, edges_test = (
            published_edges(image, data_range=data_range) for image in (true, test)
        )
        return _ratio(edges_test.sum(), edges_true.sum() + edges_test.sum())
    edges_true, edges_test = (canny_edges(image, data_range=data_range) for image in (true, test))
    overlap = (edges_true & edges_test).sum()
    if over == "true":
        return _ratio(overlap, edges_true.sum())
    if over == "test":
        return _ratio(overlap, edges_test.sum())
    raise ValueError(f"over must be 'true' or 'test', got {over!r}")


def canny_edges(image: np.ndarray, *, data_range: float) -> np.ndarray:
    """Canny's edges of scikit-image with `SIGMA`, `LOW` and `HIGH`: bool `(rows, cols)`.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((64, 64))
        >>> step[:, 32:] = 1.0
        >>> np.flatnonzero(canny_edges(step, data_range=1.0)[32]).tolist()
        [31, 32]
    """
    return canny(
        np.asarray(image, np.float64),
        sigma=SIGMA,
        low_threshold=LOW * data_range,
        high_threshold=HIGH * data_range,
        mode="nearest",
    )


def published_edges(image: np.ndarray, *, data_range: float) -> np.ndarray:
    """Edges as `cv2.Canny(image8, 100, 200)` draws them, pixel for pixel: bool `(rows, cols)`.

    The image is brought to 8 bits by cutting off (as the published script does), is not smoothed,
    and the magnitude is the sum of the absolute 3 x 3 Sobel derivatives.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((64, 64))
        >>> step[:, 32:] = 1.0
        >>> np.flatnonzero(published_edges(step, data_range=1.0)[32]).tolist()
        [31]
    """
    levels = np.clip(np.asarray(image, np.float64) / data_range * 255, 0, 255).astype(np.uint8)
    levels = levels.astype(np.int64)
    across, down = (sobel(levels, axis, mode="nearest") for axis in (1, 0))
    magnitude = np.abs(across) + np.abs(down)
    padded = np.pad(magnitude, 1)

    def neighbour(rows: int, cols: int) -> np.ndarray:
        return padded[1 + rows :, 1 + cols :][: levels.shape[0], : levels.shape[1]]

    # A ridge is higher than the neighbour before it and not lower than the one behind, along the
    # gradient rounded to a multiple of 45 degrees; OpenCV holds tan 22.5 degrees in 15 bits.
    low_slope = np.abs(across) * round((np.sqrt(2) - 1) * 2**15)
    high_slope = low_slope + np.abs(across) * 2**16
    steepness = np.abs(down) * 2**15
    level = (magnitude > neighbour(0, -1)) & (magnitude >= neighbour(0, 1))
    upright = (magnitude > neighbour(-1, 0)) & (magnitude >= neighbour(1, 0))
    falling = (magnitude > neighbour(-1, -1)) & (magnitude > neighbour(1, 1))
    rising = (magnitude > neighbour(-1, 1)) & (magnitude > neighbour(1, -1))
    diagonal = np.where((across < 0) != (down < 0), rising, falling)
    ridge = np.select([steepness < low_slope, steepness > high_slope], [level, upright], diagonal)
    edges, count = label(ridge & (magnitude > SEED_LOW), structure=np.ones((3, 3)))
    strong = np.unique(edges[ridge & (magnitude > SEED_HIGH)])
    return np.isin(np.arange(count + 1), strong)[edges]


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
