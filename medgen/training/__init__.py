"""Fitting the models: one loop, and one module for each family that says what goes into it."""

from medgen.training.pixelminer import fit_pixelminer
from medgen.training.prior import fit_prior
from medgen.training.vqvae import fit_vqvae

__all__ = ["fit_pixelminer", "fit_prior", "fit_vqvae"]
