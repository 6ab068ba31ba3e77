"""Voxels made finer along all three axes: `superresolve_volume` with any `SuperResolver`."""

from __future__ import annotations

from medgen.superresolution.classical import CLASSICAL
from medgen.superresolution.contract import Part, SuperResolver
from medgen.superresolution.methods import superresolver_named
from medgen.superresolution.refine import Refined, superresolve_volume

__all__ = [
    "CLASSICAL",
    "Part",
    "Refined",
    "SuperResolver",
    "superresolve_volume",
    "superresolver_named",
]
