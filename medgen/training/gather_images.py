"""The images of a training run, read and checked once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from medgen.errors import TrainingError
from medgen.examples.tiles import tile_batch
from medgen.images.image import Image, find_images
from medgen.images.slide import read_parts
from medgen.intensities.rule import IntensityRule

# Of the images that validate, the middle of so many counts, with sides of at most so many pixels.
VALIDATION_IMAGES = 24
VALIDATION_SIDE = 256
# Of a slide so many tiles count, spread over its tissue.
TILES = 64


class CropRecipe(Protocol):
    """What a recipe says of training crops; see `examples.tiles.tile_batch`."""

    @property
    def crop(self) -> int:
        """Side in pixels."""

    @property
    def batch_size(self) -> int:
        """Crops a batch."""

    @property
    def stain_jitter(self) -> float:
        """By how much stains vary."""


@dataclass(frozen=True)
class TrainingImages:
    """Images that train and images that validate, by name.

    Args:
        training: at least one.
        validation: images that are never trained on, at least one.
        told: what the user said of the images that the files do not, by option.
    """

    training: Mapping[str, Image]
    validation: Mapping[str, Image]
    told: Mapping[str, object] = field(default_factory=dict)

    @property
    def rule(self) -> IntensityRule:
        """Intensities of a model of such images."""
        return IntensityRule("he", levels=256, low_hu=0.0, high_hu=255.0)

    def batch(self, recipe: CropRecipe, *, seed: int, step: int) -> np.ndarray:
        """Crops `(b, crop, crop, 3)` to train on; see `examples.tiles.tile_batch`."""
        return tile_batch(
            [image.array for image in self.training.values()],
            crop=recipe.crop,
            size=recipe.batch_size,
            jitter=recipe.stain_jitter,
            seed=seed,
            step=step,
        )

    def held_out(self) -> list[np.ndarray]:
        """The middle of up to `VALIDATION_IMAGES` images that validate, spread over all."""
        images = list(self.validation.values())
        count = min(VALIDATION_IMAGES, len(images))
        chosen = np.linspace(0, len(images) - 1, count).round().astype(int)
        return [_middle(images[k].array) for k in chosen]

    def identity(self) -> dict[str, object]:
        """What must be the same when a run is resumed: what was told, a digest of each image."""
        return {
            use: {name: _digest(image) for name, image in images.items()}
            for use, images in (("training", self.training), ("validation", self.validation))
        } | dict(self.told)

    def describe(self) -> list[dict[str, object]]:
        """One row for each image: name, size, scale and what it is for."""
        return [
            {
                "image": name,
                "pixels": f"{image.shape[0]} x {image.shape[1]}",
                "um_per_pixel": "–" if image.um_per_pixel is None else f"{image.um_per_pixel:g}",
                "use": use,
            }
            for use, images in (("training", self.training), ("validation", self.validation))
            for name, image in images.items()
        ]


def gather_images(
    data: Sequence[Path],
    validation: Sequence[Path],
    *,
    crop: int,
    um_per_pixel: float | None = None,
    scale_um: float | None = None,
) -> TrainingImages:
    """Read all images, and up to `TILES` tiles of every slide; set those that validate aside.

    Args:
        data: files and folders, searched recursively.
        validation: images that validate and never train, likewise.
        crop: side in pixels that every image must have.
        um_per_pixel: see `read_image`.
        scale_um: see `read_image`.

    Raises:
        TrainingError: none to validate, none to train on besides, an image of both uses under two
            names, or one smaller than the crop.
        ReadError: a file that cannot be read.
    """
    if not validation:
        raise TrainingError(
            "No image tells of which patient it is, so none is set aside by itself; name some of "
            "another patient or laboratory with --validation."
        )
    held_out = _once(find_images(validation))
    aside = {path.resolve() for path in held_out}
    paths = [path for path in _once(find_images(data)) if path.resolve() not in aside]
    if not paths:
        raise TrainingError("There are no images to train on besides those that validate.")

    def read(of: Sequence[Path]) -> dict[str, Image]:
        names = _names(of)
        found = {}
        for path in of:
            for part, image in read_parts(
                path, um_per_pixel=um_per_pixel, scale_um=scale_um, most=TILES
            ):
                if min(image.shape) < crop:
                    raise TrainingError(
                        f"{path} has {image.shape[0]} x {image.shape[1]} pixels and crops of {crop}"
                        f" x {crop} are trained on; leave it out, or lower crop in a recipe."
                    )
                found[names[path] + part] = image
        return found

    told = {} if um_per_pixel is None else {"--um-per-pixel": um_per_pixel}
    images = TrainingImages(read(paths), read(held_out), told)
    seen = {_digest(image): name for name, image in images.training.items()}
    for name, image in images.validation.items():
        if _digest(image) in seen:
            raise TrainingError(
                f"{name}, which validates, and {seen[_digest(image)]}, which trains, are one image;"
                " leave one of them out."
            )
    return images


def _once(paths: Sequence[Path]) -> list[Path]:
    """Without those that links lead to by another name."""
    found = {path.resolve(): path for path in reversed(paths)}
    return sorted(found.values())


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """File names, or paths where these are not unique."""
    names = [path.name for path in paths]
    return {path: path.name if names.count(path.name) == 1 else str(path) for path in paths}


def _middle(image: np.ndarray) -> np.ndarray:
    starts = [max(0, (side - VALIDATION_SIDE) // 2) for side in image.shape[:2]]
    return image[tuple(slice(start, start + VALIDATION_SIDE) for start in starts)]


def _digest(image: Image) -> str:
    return hashlib.sha256(image.array.tobytes()).hexdigest()[:16]
