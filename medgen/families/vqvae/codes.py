"""Slices to codes and back, by any model that has a VQ-VAE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.intensities.scale import Scale
from medgen.nets.vqvae import VQVAE


@dataclass(frozen=True, eq=False)
class Codes:
    """The first stage of a model; a `reconstruct.Codec`.

    Args:
        recipe: its architecture and training.
        vqvae: its net.
    """

    recipe: VQVAERecipe
    vqvae: VQVAE

    def encode_slice(self, unit: np.ndarray) -> np.ndarray:
        """Codes `(h, w)` int32 of one slice `(rows, cols)` or `(rows, cols, c)`, unit range."""
        image = unit.reshape(1, *unit.shape[:2], self.recipe.channels)
        return keras.ops.convert_to_numpy(self.vqvae.encode(image))[0]

    def decode_slice(self, codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Slice of `shape`, as `encode_slice` takes it, float32, from codes `(h, w)`."""
        image = keras.ops.convert_to_numpy(self.vqvae.decode(codes[None]))
        return image[0, : shape[0], : shape[1]].reshape(shape)

    @property
    def image_size(self) -> int | None:
        """See `reconstruct.Codec`."""
        return self.recipe.image_size

    @property
    def num_embeddings(self) -> int:
        """See `reconstruct.Codec`."""
        return self.recipe.num_embeddings

    def seen(
        self, slices: np.ndarray, scale: Scale, distance_mm: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `reconstruct.Codec`."""
        for image in slices:
            unit = scale.to_unit(image)
            codes = self.encode_slice(unit)
            yield codes, self.decode_slice(codes, unit.shape)


def digest(net: keras.Model) -> str:
    """What tells the weights of a first stage from others'."""
    found = hashlib.sha256()
    for weight in net.weights:
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    return found.hexdigest()[:16]


def codes_of(bundle: Bundle) -> Codes:
    """The first stage of `bundle`.

    Raises:
        BundleError: it has none.
    """
    if not isinstance(bundle.nets.get("vqvae"), VQVAE):
        raise BundleError(
            f"{bundle.name} is a {bundle.kind} model, which has no codes of slices on their own; "
            "give a model that train-vqvae or train-prior wrote with its default recipe."
        )
    return Codes(bundle.recipes["vqvae"], bundle.nets["vqvae"])
