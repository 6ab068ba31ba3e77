"""A scan through the VQ-VAE and back, with what was lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.evaluation.similarity import box_ssim, psnr
from medgen.examples.stacks import axial_square
from medgen.intensities.scale import Scale
from medgen.interpolation.contract import Progress
from medgen.layers.quantizer import codebook_statistics
from medgen.volumes import Volume

# Slices of less contrast (standard deviation over the intensity range) hold nothing to measure, and
# those smaller than the window of SSIM cannot be.
EMPTY = 0.01
SSIM_SIDE = 7


class Codec(Protocol):
    """A model's way from acquired slices to codes and back."""

    @property
    def image_size(self) -> int | None:
        """Side in pixels of the axial slices it takes; None if it takes slices as they are."""

    @property
    def num_embeddings(self) -> int:
        """Size of its codebook."""

    def seen(
        self, slices: np.ndarray, scale: Scale, distance_mm: float
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        """Yield the codes of each slice, and the slice that they stand for.

        Args:
            slices: `(n, rows, cols)` in physical units.
            scale: of the model for this scan.
            distance_mm: of the slices.

        Yields:
            Codes `(h, w)`, or None where the model has none and gives the slice as it is; and
            `(rows, cols)` in the unit range.

        Raises:
            BundleError: too few slices.
        """


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A reconstructed scan and its measures.

    Args:
        volume: on the grid the model works on.
        ssim: of every slice that can be measured, over the range `low … high`.
        psnr_db: likewise.
        codebook_usage: share of codes that occur in the scan.
        low: lowest physical value the model can give.
        high: highest.
    """

    volume: Volume
    ssim: np.ndarray
    psnr_db: np.ndarray
    codebook_usage: float
    low: float
    high: float


def reconstruct_volume(
    volume: Volume, bundle: Bundle, progress: Progress = lambda done, total: None
) -> Reconstruction:
    """Encode and decode every slice of `volume` that the model has codes of.

    Intensities are limited to the model's range on both sides of the comparison; slices of next to
    no contrast (air), or of fewer than `SSIM_SIDE` pixels a side, are reconstructed, not measured.

    Args:
        volume: a scan of the model's modality; brought to axial slices of the model's size first
            if it has one (`recipes.VQVAERecipe.image_size`).
        bundle: any model with a VQ-VAE.
        progress: called with slices done and slices in all.

    Raises:
        BundleError: the model has no codes of acquired slices, or too few slices for them.
        IntensityError: a scan of another modality, or NaN or infinite voxels.
    """
    bundle.rule.require(volume.modality, volume.guess)
    volume.require_one_channel("A reconstruction with its likeness")
    codec = bundle.family.codec(bundle)
    size = codec.image_size
    if size is not None:
        volume = axial_square(volume, size)
    axis = volume.geometry.slice_axis if size is None else 2
    physical = volume.to_physical()
    scale = bundle.rule.scale_for(physical)
    counts = np.zeros(codec.num_embeddings, int)
    likeness = []
    output = np.moveaxis(np.empty_like(physical), axis, 0)
    slices = np.moveaxis(physical, axis, 0)
    seen = codec.seen(slices, scale, volume.geometry.spacing[axis])
    for done, (source, target, (codes, image)) in enumerate(zip(slices, output, seen, strict=True)):
        progress(done, len(slices))
        true, test = scale.to_unit(source), np.clip(image, -0.5, 0.5)
        target[...] = scale.from_unit(test)
        if codes is None:
            continue
        counts += np.bincount(codes.ravel(), minlength=counts.size)
        if true.std() >= EMPTY and min(true.shape) >= SSIM_SIDE:
            likeness.append([m(true, test, data_range=1.0) for m in (box_ssim, psnr)])
    array = volume.to_stored(np.moveaxis(output, 0, axis))
    likeness_ssim, likeness_psnr = np.reshape(likeness, (-1, 2)).T
    return Reconstruction(
        volume.with_array(array, volume.geometry),
        likeness_ssim,
        likeness_psnr,
        codebook_statistics(counts)["usage"],
        scale.low,
        scale.high,
    )
