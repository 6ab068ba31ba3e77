"""What a conditional VQ-VAE and its prior are told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.recipes import Recipe


@dataclass(frozen=True)
class ConditionalRecipe(Recipe):
    """A conditional VQ-VAE on grey levels; see `nets.conditional_vqvae.ConditionalVQVAE`.

    The first four fields are those of the PixelMiner whose prediction it builds on, which take the
    place of what is given here. Training examples and their augmentation are as a PixelMiner's, see
    `families.pixelminer.recipe.PixelMinerRecipe`.
    """

    context: int = 3
    conditioner_filters: int = 48
    conditioner_blocks: int = 2
    prediction_mixtures: int = 3
    filters: int = 96
    residual_blocks: int = 2
    mixtures: int = 3
    num_embeddings: int = 512
    embedding_dim: int = 16
    encoder_sees: bool = True
    decoder_sees: bool = True
    commitment_cost: float = 0.25
    decay: float = 0.99
    max_gap_mm: float = 8.0
    edge: float = 0.2
    other_axes: float = 0.4
    thickness: float = 1.0
    zoom: float = 0.3
    noise: float = 0.04
    kernel: float = 0.8
    crop: int = 64
    batch_size: int = 8
    steps: int = 6000
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    validate_every: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_below_1("decay", "edge", "other_axes", "zoom")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(
            self.conditioner_filters**2 * self.conditioner_blocks,
            self.conditioner_filters * self.context,
            self.conditioner_filters * self.prediction_mixtures,
            self.filters**2 * self.residual_blocks,
            max(1, self.filters // 2) * self.mixtures,
            self.num_embeddings * self.embedding_dim,
            self.filters * self.embedding_dim,
        )


@dataclass(frozen=True)
class ConditionalPriorRecipe(Recipe):
    """A PixelCNN over the codes of a conditional VQ-VAE, whose examples it is trained on."""

    filters: int = 48
    blocks: int = 5
    conditioner_filters: int = 48
    conditioner_blocks: int = 4
    dropout: float = 0.0
    batch_size: int = 8
    steps: int = 3000
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    validate_every: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_below_1("dropout")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(
            self.filters**2 * self.blocks,
            self.conditioner_filters**2 * self.conditioner_blocks,
        )


CONDITIONAL_RECIPES = {"conditional": ConditionalRecipe(learning_rate=3e-3, optimizer="muon")}
CONDITIONAL_PRIOR_RECIPES = {"default": ConditionalPriorRecipe()}
