"""Texture-true slice interpolation of CT and MR scans with generative models."""

__version__ = "0.1.0"
