"""All texture features of one region: discretise, count, describe, average over directions."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects

from medgen.errors import EvaluationError
from medgen.evaluation.texture.glcm import cooccurrences, glcm_features
from medgen.evaluation.texture.gldm import dependences, gldm_features
from medgen.evaluation.texture.glrlm import glrlm_features, runs
from medgen.evaluation.texture.glszm import glszm_features, zones
from medgen.evaluation.texture.levels import fit_bins
from medgen.evaluation.texture.ngtdm import ngtdm_features, tone_differences

# Beyond this a matrix of levels × levels × directions is mostly zeros, and slow.
MAX_LEVELS = 1024


def texture_features(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    bin_width: float = 25.0,
    bin_count: int | None = None,
) -> dict[str, float]:
    """The 75 features of the classes GLCM, GLRLM, GLSZM, GLDM and NGTDM of a region of interest.

    Names, definitions and defaults are those of PyRadiomics 3.0.1 (with `force2D` for a slice):
    distance 1, all 4 directions of a slice and 13 of a volume, but for those in which the region is
    one voxel thin, symmetric GLCM, GLCM and GLRLM features averaged over the directions, GLDM with
    alpha 0. On the digital phantom of IBSI they have its published values. Where a definition is
    0 / 0, in a flat region, Correlation and MCC are 1, Imc1, Imc2 and the NGTDM Contrast, Busyness
    and Strength are 0, and Coarseness is 10^6, as in PyRadiomics.

    Args:
        image: `(rows, cols)` or `(i, j, k)` in physical units (HU); voxels are taken as isotropic.
        mask: bool, same shape, true in the region of interest.
        bin_width: width of a grey level in the image's units; edges are its multiples.
        bin_count: number of grey levels between the region's minimum and maximum; goes before
            `bin_width` if given.

    Returns:
        Features as `class_Name`, such as `glcm_JointEntropy`. GLCM and NGTDM features are NaN where
        the region has no two neighbouring voxels.

    Raises:
        EvaluationError: the region is empty or holds values that are not finite, or would have more
            than 1024 grey levels.
        ValueError: shapes differ, or the bins make no sense.

    References:
        van Griethuysen et al., Computational radiomics system to decode the radiographic phenotype,
        Cancer Research 77(21), 2017; Zwanenburg et al., The image biomarker standardization
        initiative, Radiology 295(2), 2020, and its reference manual (arXiv:1612.07003).
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != np.shape(image):
        raise ValueError(f"image and mask must match, got {np.shape(image)} and {mask.shape}")
    if not mask.any():
        raise EvaluationError(
            "The region of interest is empty, so it has no texture; give another mask or slice."
        )
    box = find_objects(mask.astype(np.uint8))[0]
    image, mask = np.asarray(image)[box], mask[box]
    bins = fit_bins(image[mask], bin_width=bin_width, bin_count=bin_count)
    if bins.count > MAX_LEVELS:
        raise EvaluationError(
            f"The region of interest would have {bins.count} grey levels, but at most {MAX_LEVELS} "
            "make a texture matrix; choose a larger bin width or a fixed bin number."
        )
    levels = np.atleast_1d(np.squeeze(bins.levels(image, mask)))
    glcm = glcm_features(cooccurrences(levels, bins.count))
    by_class = {
        "glcm": {name: _mean(values) for name, values in glcm.items()},
        "glrlm": _over_directions([glrlm_features(*each) for each in runs(levels)]),
        "glszm": glszm_features(*zones(levels)),
        "gldm": gldm_features(*dependences(levels)),
        "ngtdm": ngtdm_features(*tone_differences(levels, bins.count)),
    }
    return {
        f"{family}_{name}": float(value)
        for family, features in by_class.items()
        for name, value in features.items()
    }


def _over_directions(features: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in features])) for name in features[0]}


def _mean(values: np.ndarray) -> float:
    """Mean over the directions in which the region has neighbours; NaN if there are none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
