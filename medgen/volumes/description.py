"""What there is to know about a volume before working with it."""

from __future__ import annotations

import numpy as np

from medgen.intensities.padding import find_outside
from medgen.volumes.volume import Volume


def describe(volume: Volume) -> dict[str, object]:
    """Describe a volume in plain values, as `medgen info` prints them.

    Args:
        volume: as read.

    Returns:
        A dict that JSON can hold, in this order; a value is None where it is not known.

        - `format` (str), `shape` (3 ints), `spacing_mm` (3 floats), `orientation` (such as `RAS`),
          `obliquity_deg`, `slice_axis` (0, 1 or 2), `slices` (along that axis),
          `slice_spacing_mm`, `slice_thickness_mm`
        - `uncovered_mm`: unscanned space between slices, spacing minus thickness, negative where
          slices overlap
        - `position_deviation_mm`, `modality`, `modality_tag`
        - `modality_sure`, `modality_guess` (the likeliest kind), `modality_reasons` (list of str):
          see `medgen.intensities.guess`; None for a volume that was not read
        - `unit` of physical values, empty where there is none
        - `dtype` (stored), `slope`, `intercept`
        - `minimum`, `maximum`: physical units (HU for CT), of the finite voxels
        - `non_finite`: number of NaN and infinite voxels
        - `padding_value` (physical units, declared or guessed), `padding_fraction` (of all voxels,
          where it is taken for padding: see `medgen.intensities.padding`)
        - `notes` (list of str)
    """
    geometry, metadata = volume.geometry, volume.metadata
    axis = geometry.slice_axis
    spacing = geometry.spacing[axis]
    thickness = metadata.get("slice_thickness_mm")
    guess = metadata.get("modality_guess")
    finite = volume.array[np.isfinite(volume.array)]
    ends = [float(end) * volume.slope + volume.intercept for end in extremes(finite)]
    padding = metadata.get("padding_value")
    padded = None
    if padding is not None:
        slices = np.moveaxis(volume.to_physical(), axis, 0)
        padded = find_outside(slices, volume.kind, declared=padding).padding
    return {
        "format": metadata.get("format"),
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 6) for s in geometry.spacing],
        "orientation": geometry.orientation,
        "obliquity_deg": round(geometry.obliquity_deg, 4),
        "slice_axis": axis,
        "slices": volume.shape[axis],
        "slice_spacing_mm": round(spacing, 6),
        "slice_thickness_mm": thickness,
        "uncovered_mm": None if thickness is None else round(spacing - thickness, 6) + 0.0,
        "position_deviation_mm": metadata.get("position_deviation_mm"),
        "modality": volume.modality,
        "modality_tag": metadata.get("modality_tag"),
        "modality_sure": guess and guess.is_sure,
        "modality_guess": guess and guess.modality,
        "modality_reasons": guess and list(guess.reasons),
        "unit": volume.kind.unit,
        "dtype": volume.array.dtype.name,
        "slope": volume.slope,
        "intercept": volume.intercept,
        "minimum": min(ends, default=None),
        "maximum": max(ends, default=None),
        "non_finite": volume.array.size - finite.size,
        "padding_value": padding,
        "padding_fraction": None if padded is None else round(float(padded.mean()), 6),
        "notes": list(metadata.get("notes", ())),
    }


def extremes(values: np.ndarray) -> tuple[np.generic, ...]:
    """Lowest and highest value, or nothing of nothing."""
    return (values.min(), values.max()) if values.size else ()
