"""Microscopy images: reading them, and how large their pixels are."""
