"""Scans with their geometry; numpy only, importing neither TensorFlow nor Keras."""

from medgen.volumes.description import describe
from medgen.volumes.files import find_scans, read_among, read_volume, write_volume
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

__all__ = [
    "Geometry",
    "Volume",
    "describe",
    "find_scans",
    "read_among",
    "read_volume",
    "write_volume",
]
