"""Thickness of slices, from how a scan varies within them and across."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from medgen.profiles.shape import SHAPES, Shape, SliceProfile
from medgen.profiles.variogram import Variograms, variograms
from medgen.volumes.volume import Volume

# Thicknesses that are tried, in distances of the slices.
THICKNESSES = np.linspace(0, 3, 31)
# Sizes of structures, from half a pixel to so many distances of slices.
SIZES, LARGEST = 18, 6.0
# Noise within slices: none, of single pixels, or a sum of Gaussians of these deviations, in pixels.
GRAINS: tuple[tuple[float, ...], ...] = ((), (0.3,), (0.3, 0.7, 1.2, 2.0))
# How much longer structures may be along the slice axis than across.
STRETCHES = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0)
# What fits worse than the best by more than this factor of its error is ruled out.
TOLERANCE = 1.25
# Parts of the scan that are left out in turn, to see what that changes.
PARTS = 8
# A thickness is told if it is known to this share of it, by a fit of at most this relative error.
# Textures that are alike along all axes are fitted to 0.01, the anatomy of 20 scans to 0.023 at
# best, of which none is told: what was found for those whose thickness is known was often double.
KNOWN, ERROR = 0.25, 0.02


@dataclass(frozen=True)
class Estimate:
    """How thick the slices of a scan are, as far as the scan tells.

    What is found is the blur along the slice axis beyond that within the slices.

    Args:
        distance_mm: of the slices.
        thickness_mm: full width at half maximum, by the shape that the profile is taken to have; a
            scan does not tell which it is, as both fit alike at about the same variance.
        low_mm: lower end of what is likely, of a box.
        high_mm: upper end.
        error: relative error of the fit.
    """

    distance_mm: float
    thickness_mm: Mapping[Shape, float]
    low_mm: float
    high_mm: float
    error: float

    @property
    def is_told(self) -> bool:
        """Whether the scan tells its thickness."""
        within = (self.high_mm - self.low_mm) / 2 <= KNOWN * self.thickness_mm["box"]
        return self.error <= ERROR and self.low_mm > 0 and bool(within)

    @property
    def profile(self) -> SliceProfile | None:
        """A box of the estimated thickness; None where the scan does not tell."""
        return SliceProfile("box", self.thickness_mm["box"]) if self.is_told else None

    @property
    def sentence(self) -> str:
        """For the user."""
        if not self.is_told:
            return "the scan does not tell how thick its slices are"
        box, gaussian = (self.thickness_mm[shape] for shape in SHAPES)
        span = f"{self.low_mm:.3g} to {self.high_mm:.3g} mm"
        return f"about {box:.3g} mm thick ({span}) as a box, {gaussian:.3g} mm as a Gaussian"

    @property
    def facts(self) -> dict[str, object]:
        """Plain values."""
        return {
            "told": self.is_told,
            "distance_mm": self.distance_mm,
            "box_mm": self.thickness_mm["box"],
            "gaussian_mm": self.thickness_mm["gaussian"],
            "low_mm": self.low_mm,
            "high_mm": self.high_mm,
            "error": self.error,
        }


def estimate_profile(
    scan: Volume,
    axis: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Estimate | None:
    """Estimate the thickness of a scan's slices from the scan itself.

    The scan is taken for a sum of structures of many sizes that look the same from all sides, of
    structures that run straight along the slice axis, and of noise. A slice averages structures
    over its thickness, which makes neighbouring slices more alike than pixels as far apart. With
    Gaussian covariances of deviation s for the structures and the autocorrelation g of the profile,
    the variogram at lag x within slices and lag kD across is, for each,

        V(x, k) = sum_u g(u) (exp(-u² / 2s²) - exp(-(x² + (kD + u)²) / 2s²))

    (less what the means that `variograms` takes off take of it), a non-negative combination of
    which is fitted for each thickness. Noise is correlated across slices by the profile, or not at
    all. What it is within slices, and whether structures are longer along the slice axis, is tried
    out: the simplest that fits gives the thickness, and all that fit as well the interval, which
    also holds what rows and columns by themselves give, and twice the jackknife deviation over
    parts of the scan. ESPRESO [1] asks the same question of an adversarial net.

    Args:
        scan: no label map.
        axis: of the slices; by default the geometry's.
        progress: called with what was tried, and how much there is to try.

    Returns:
        None of a scan with too few slices or too little content, or slices nearer than pixels, of a
        label map, and of several channels.

    References:
        [1] Han et al., ESPRESO: an algorithm to estimate the slice profile of a single magnetic
            resonance image, 2023.
    """
    axis = scan.geometry.slice_axis if axis is None else axis
    spacing = list(scan.spacing)
    distance = spacing.pop(axis)
    if scan.channels or scan.kind.is_categorical:
        return None
    measured = variograms(np.moveaxis(scan.to_physical(), axis, 0), (distance, *spacing))
    return None if measured is None else _estimated(measured, progress)


def _estimated(measured: Variograms, progress: Callable[[int, int], None]) -> Estimate:
    distance, values = measured.distance_mm, measured.values
    mean = np.nanmean(values, axis=0)
    # The simplest first: isotropic structures without noise.
    worlds = [(stretch, grains) for stretch in STRETCHES for grains in GRAINS]
    fits, curves = {}, {}
    for done, world in enumerate(worlds, 1):
        fits[world] = _Fits(measured, "box", *world)
        curves[world] = fits[world].errors(mean)
        progress(done, len(worlds))
    lowest = min(errors.min() for errors in curves.values())
    likely = [world for world in worlds if curves[world].min() <= TOLERANCE * lowest]
    chosen = fits[likely[0]]
    best = _lowest(curves[likely[0]])
    in_turn = np.arange(len(values)) % PARTS
    parts = [
        _lowest(chosen.errors(np.nanmean(values[in_turn != part], axis=0))) for part in range(PARTS)
    ]
    deviation = np.sqrt((PARTS - 1) * np.var(parts))
    alike = [_lowest(curves[world]) for world in likely]
    alike += [_lowest(chosen.errors(mean, direction)) for direction in (0, 1)]
    gaussian = _lowest(_Fits(measured, "gaussian", *likely[0]).errors(mean))
    return Estimate(
        distance,
        {"box": best * distance, "gaussian": gaussian * distance},
        max(0.0, min(*alike, best - 2 * deviation)) * distance,
        min(THICKNESSES[-1], max(*alike, best + 2 * deviation)) * distance,
        float(curves[likely[0]].min()),
    )


class _Fits:
    """What variograms may be, for each of `THICKNESSES` of one shape.

    Args:
        measured: for their lags.
        shape: of the profile.
        stretch: of structures along the slice axis.
        grains: of noise, in pixels.
    """

    def __init__(self, measured: Variograms, shape: Shape, stretch: float, grains: Sequence[float]):
        self.designs = [
            [
                _design(measured, direction, profile, stretch, np.array(grains))
                for direction in (0, 1)
            ]
            for profile in (SliceProfile(shape, t * measured.distance_mm) for t in THICKNESSES)
        ]

    def errors(self, values: np.ndarray, *directions: int) -> np.ndarray:
        """Root mean square relative error of the best fit to `(2, m)`, for each thickness."""
        return np.array(
            [
                _error(
                    np.concatenate([design[d] for d in directions or (0, 1)]),
                    np.concatenate([values[d] for d in directions or (0, 1)]),
                )
                for design in self.designs
            ]
        )


def _design(
    measured: Variograms,
    direction: int,
    profile: SliceProfile,
    stretch: float,
    grains: np.ndarray,
) -> np.ndarray:
    """Variogram of each kind of structure and noise in its columns, `(m, n)`."""
    distance = measured.distance_mm
    x, k = measured.within_mm[direction], measured.across
    pixel = x.max() / measured.within[direction].max()
    sizes = np.geomspace(pixel / 2, LARGEST * distance, SIZES)
    fine = max(profile.thickness_mm, 0.1 * distance) / 16
    weights = profile.weights(fine)
    g = np.convolve(weights, weights)
    u = (np.arange(len(g)) - len(g) // 2) * fine
    lags = np.arange(k.max() + 1) * distance
    across = np.exp(-((lags[:, None, None] + u[:, None]) ** 2) / (2 * (stretch * sizes) ** 2))
    across = np.einsum("u,kus->ks", g, across)
    within = _within(x, sizes, distance)
    peaks = _within(np.zeros(1), sizes, distance)
    columns = [peaks * across[0] - within * across[k], peaks - within]

    shared = np.interp(lags, u, g, right=0) / g.max()  # noise before the profile
    alone = np.eye(len(lags))[0]  # noise behind it
    within = _within(x, grains * pixel, distance)
    peaks = _within(np.zeros(1), grains * pixel, distance)
    columns += [peaks - within * noise[k, None] for noise in (shared, alone)]
    return np.concatenate(columns, axis=1)


def _within(x: np.ndarray, sizes: np.ndarray, distance: float) -> np.ndarray:
    """Covariance at lags `x` of structures of each size, less their mean under a Gaussian."""
    covariance = np.zeros((len(x), len(sizes)))
    for times, weight in ((0, 1), (1, -2), (2, 1)):
        variance = sizes**2 + times * distance**2
        covariance += weight * sizes**2 / variance * np.exp(-(x[:, None] ** 2) / (2 * variance))
    return covariance


def _error(design: np.ndarray, values: np.ndarray) -> float:
    there = np.isfinite(values) & (values > 0)
    relative = design[there] / values[there, None]
    norms = np.linalg.norm(relative, axis=0)
    relative = relative[:, norms > 0] / norms[norms > 0]
    _, residual = nnls(relative, np.ones(len(relative)), maxiter=50 * relative.shape[1])
    return float(residual / np.sqrt(len(relative)))


def _lowest(errors: np.ndarray) -> float:
    """Thickness of the lowest error, between those tried by a parabola, in slice distances."""
    i = int(np.argmin(errors))
    if not 0 < i < len(errors) - 1:
        return float(THICKNESSES[i])
    before, here, behind = errors[i - 1 : i + 2] ** 2
    bend = before - 2 * here + behind
    offset = (before - behind) / (2 * bend) if bend > 0 else 0.0
    return float(THICKNESSES[i] + offset * (THICKNESSES[1] - THICKNESSES[0]))
