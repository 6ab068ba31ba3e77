"""What a lean PixelMiner is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgen.errors import RecipeError
from medgen.recipes import HELD, Recipe


@dataclass(frozen=True)
class PixelMinerRecipe(Recipe):
    """A lean PixelMiner on grey levels; see `nets.pixelminer_lean.PixelMinerLean`.

    Training targets lie at random places between two slices at random distances, at most
    `max_gap_mm` apart (the nearest pair of the scan where even that is wider), with `context`
    slices a side at that distance. A share `edge` of them is shown as if near an end of the scan.

    Augmentation, the same for all slices of an example, 0 leaves it out: a share `other_axes` of
    the examples is sliced along other axes, slices are averaged to a thickness of up to `thickness`
    of their distance, pixels resized by up to `zoom`, noise of up to `noise` (standard deviation
    over the intensity range) with in-plane correlation is added, and images are sharpened or
    smoothed by up to `kernel` times what a Gaussian takes away.

    Variants: not `autoregressive`, every pixel is drawn on its own; `partially_causal`, parts of a
    slice may be known and count on all sides, for which half of the examples show all but a band of
    the target; `in_plane`, rows of single slices are missing instead of slices: every slice is a
    stack of its rows, and one of its columns, and windows are `crop` pixels of one. `subdivides`,
    of those: rows do not lie between others but are so many times as fine, and a given one is the
    mean over them; see `examples.rows`. Then only `noise` and `kernel` change the examples.

    A 90 % interval is the central `held` of the prediction's probability; no training changes it.
    """

    levels: ClassVar[int] = 2048

    context: int = 3
    filters: int = 32
    blocks: int = 4
    mixtures: int = 5
    conditioner_filters: int = 48
    conditioner_blocks: int = 2
    prediction_mixtures: int = 3
    input_noise: float = 0.5
    dropout: float = 0.0
    autoregressive: bool = True
    partially_causal: bool = False
    in_plane: bool = False
    subdivides: int | None = None
    max_gap_mm: float = 8.0
    edge: float = 0.2
    other_axes: float = 0.4
    thickness: float = 1.0
    zoom: float = 0.3
    noise: float = 0.02
    kernel: float = 0.8
    held: float = HELD
    crop: int = 64
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_below_1("dropout", "edge", "other_axes", "zoom", "held")
        # The middle one of an odd number of parts lies where the coarse row does, at a distance of
        # 0, of which nets see the logarithm.
        if self.subdivides is not None and (self.subdivides % 2 or not self.in_plane):
            raise RecipeError(
                "Field subdivides must be an even number, of a recipe that is in_plane, got "
                f"{self.subdivides}."
            )

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(
            self.filters**2 * self.blocks * self.autoregressive,
            self.conditioner_filters**2 * self.conditioner_blocks,
            self.filters * self.mixtures * self.autoregressive,
            self.conditioner_filters * self.prediction_mixtures,
            self.conditioner_filters * self.context,
        )
