"""Scans with their geometry; numpy only, importing neither TensorFlow nor Keras."""

from medgen.volumes.files import find_scans, read_volume, write_volume
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

__all__ = ["Geometry", "Volume", "find_scans", "read_volume", "write_volume"]
