"""Texture features of a region of interest, named as in PyRadiomics and checked against IBSI."""

from medgen.evaluation.texture.features import texture_features
from medgen.evaluation.texture.levels import Bins, fit_bins

__all__ = ["Bins", "fit_bins", "texture_features"]
