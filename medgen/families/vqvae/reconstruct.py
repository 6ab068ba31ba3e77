"""A scan through the VQ-VAE and back, with what was lost on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.evaluation.similarity import box_ssim, psnr
from medgen.examples.stacks import axial_square
from medgen.families.vqvae.codes import codes_of
from medgen.layers.quantizer import codebook_statistics
from medgen.volumes import Volume

# Slices of less contrast (standard deviation over the intensity range) hold nothing to measure, and
# those smaller than the window of SSIM cannot be.
EMPTY = 0.01
SSIM_SIDE = 7


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


def reconstruct_volume(volume: Volume, bundle: Bundle) -> Reconstruction:
    """Encode and decode every slice of `volume`.

    Intensities are limited to the model's range on both sides of the comparison; slices of next to
    no contrast (air), or of fewer than `SSIM_SIDE` pixels a side, are reconstructed, not measured.

    Args:
        volume: a scan of the model's modality; brought to axial slices of the model's size first
            if it has one (`recipes.VQVAERecipe.image_size`).
        bundle: any model with a VQ-VAE.

    Raises:
        IntensityError: a scan of another modality, or NaN or infinite voxels.
    """
    bundle.rule.require(volume.modality, volume.guess)
    volume.require_one_channel("A reconstruction with its likeness")
    model = codes_of(bundle)
    size = model.recipe.image_size
    if size is not None:
        volume = axial_square(volume, size)
    axis = volume.geometry.slice_axis if size is None else 2
    physical = volume.to_physical()
    scale = bundle.rule.scale_for(physical)
    counts = np.zeros(model.recipe.num_embeddings, int)
    likeness = []
    output = np.empty_like(physical)
    for source, target in zip(
        np.moveaxis(physical, axis, 0), np.moveaxis(output, axis, 0), strict=True
    ):
        true = scale.to_unit(source)
        codes = model.encode_slice(true)
        counts += np.bincount(codes.ravel(), minlength=counts.size)
        test = np.clip(model.decode_slice(codes, true.shape), -0.5, 0.5)
        target[...] = scale.from_unit(test)
        if true.std() >= EMPTY and min(true.shape) >= SSIM_SIDE:
            likeness.append([m(true, test, data_range=1.0) for m in (box_ssim, psnr)])
    array = volume.to_stored(output)
    likeness_ssim, likeness_psnr = np.reshape(likeness, (-1, 2)).T
    return Reconstruction(
        volume.with_array(array, volume.geometry),
        likeness_ssim,
        likeness_psnr,
        codebook_statistics(counts)["usage"],
        scale.low,
        scale.high,
    )
