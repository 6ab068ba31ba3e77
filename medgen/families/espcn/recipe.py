"""What an ESPCN is told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.degradation import DEGRADATIONS
from medgen.errors import RecipeError
from medgen.recipes import Recipe

FACTORS = (2, 3, 4)


@dataclass(frozen=True)
class ESPCNRecipe(Recipe):
    """A net that makes voxels finer; see `nets.espcn`.

    Training pairs are patches of a scan, `patch * factor` voxels a side, and what `degradation`
    (see `degradation`) makes of them, `patch` voxels a side; of several, joined by `+`, each makes
    as many of them. The first axis is that of the slices, and any of a scan whose voxels are cubes.

    Augmentation: patches are turned over along each axis, and rows and columns exchanged; a share
    `thick` of them has slices averaged to 2 to 4 times their thickness first, as voxels of most
    scans are longer across slices; values of scans without units are multiplied by 1 to `1 - gain`.

    `published`: the net as it was published, without blocks, skip and scale, by squared error at a
    learning rate that falls in a line to 0; patches are not changed.
    """

    factor: int = 2
    degradation: str = "mean"
    published: bool = False
    filters: int = 32
    blocks: int = 3
    thick: float = 0.5
    gain: float = 0.4
    patch: int = 16
    batch_size: int = 4
    steps: int = 12000
    learning_rate: float = 2e-3
    optimizer: str = "adam"
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor not in FACTORS:
            raise RecipeError(f"Field factor must be 2, 3 or 4, got {self.factor}.")
        if not set(self.degradations) <= set(DEGRADATIONS):
            raise RecipeError(
                f"Field degradation must be {' or '.join(DEGRADATIONS)}, or several of them joined "
                f"by +, got {self.degradation!r}."
            )
        if self.patch < 2:
            raise RecipeError(f"Field patch must be at least 2, got {self.patch}.")
        self.require_below_1("gain")

    @property
    def degradations(self) -> tuple[str, ...]:
        """The kinds that `degradation` names."""
        return tuple(self.degradation.split("+"))

    @property
    def falls_linearly(self) -> bool:  # type: ignore[override]  # of one recipe, and not another
        """See `Recipe`."""
        return self.published

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        if self.published:
            return 50 * 100
        return max(27 * self.filters**2 * self.blocks, self.filters * self.factor**3)


ESPCN_RECIPES = {
    "default": ESPCNRecipe(optimizer="muon"),
    "espcn-paper": ESPCNRecipe(
        factor=4,
        published=True,
        thick=0.0,
        gain=0.0,
        patch=16,
        batch_size=5,
        steps=100_000,
        learning_rate=1e-4,
        validate_every=2000,
    ),
    "small": ESPCNRecipe(
        filters=8, blocks=1, patch=8, steps=300, learning_rate=3e-3, validate_every=50
    ),
}
