"""Sampling from a net of several resolutions: what is known, rows and pixels, the loops."""
