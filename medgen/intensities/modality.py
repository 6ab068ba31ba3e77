"""The kinds of scans, and everything that differs between them; no other place asks for a name."""

from __future__ import annotations

from dataclasses import dataclass

# Of the air in a CT.
AIR_HU = -1024.0
# Noise, sharp kernels and resampling take single voxels of air some hundred HU lower; what scanners
# pad with has -2000 and less.
PADDING_BELOW_HU = -1500.0


@dataclass(frozen=True)
class Window:
    """Values that a radiologist spreads over the greys, in physical units.

    Args:
        name: of what shows in it.
        level: shown as middle grey.
        width: from black to white.
    """

    name: str
    level: float
    width: float


@dataclass(frozen=True)
class Modality:
    """A kind of scan.

    Args:
        name: as `Volume.modality` has it.
        title: as sentences have it.
        unit: of physical values, empty where they are the scanner's own.
        air: physical value of what gives no signal.
        padding_below: physical value below which nothing is measured, None where there is no such.
        absolute: lowest and highest value that the unit gives a meaning, None where only values of
            one scan compare.
        body_above: physical value that parts the body from air, None where the scan has to tell.
        shows_lungs: whether lungs stand out by their value.
        bin_width: of a grey level for texture, None for a number of levels.
        is_learnt: whether a model can be for this kind.
        is_scan: whether a `Volume` can be of this kind.
        is_categorical: whether values are names, between which nothing lies.
        windows: those in which it is read, where its unit has a meaning.
    """

    name: str
    title: str
    unit: str = ""
    air: float = 0.0
    padding_below: float | None = None
    absolute: tuple[float, float] | None = None
    body_above: float | None = None
    shows_lungs: bool = False
    bin_width: float | None = None
    is_learnt: bool = False
    is_scan: bool = True
    is_categorical: bool = False
    windows: tuple[Window, ...] = ()


CT = Modality(
    "ct",
    "CT",
    unit="HU",
    air=AIR_HU,
    padding_below=PADDING_BELOW_HU,
    absolute=(AIR_HU, 3071.0),  # of 12 bits
    body_above=-320.0,
    shows_lungs=True,
    bin_width=25.0,
    is_learnt=True,
    windows=(
        Window("lung", -600.0, 1500.0),
        Window("soft tissue", 40.0, 400.0),
        Window("bone", 400.0, 1800.0),
        Window("brain", 40.0, 80.0),
    ),
)
MR = Modality("mr", "MR", is_learnt=True)
LABELS = Modality("labels", "a label map", is_categorical=True)
UNKNOWN = Modality("unknown", "of unknown modality")

# Colour images from microscopes, each channel in 8 bits.
HE = Modality("he", "H&E images", absolute=(0.0, 255.0), is_learnt=True, is_scan=False)

MODALITIES = {kind.name: kind for kind in (CT, MR, LABELS, HE, UNKNOWN)}
# What a user can say a scan is.
NAMED = tuple(kind.name for kind in MODALITIES.values() if kind.is_scan and kind is not UNKNOWN)
