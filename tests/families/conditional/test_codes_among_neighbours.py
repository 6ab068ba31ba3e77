"""Acquired slices through an (untrained) conditional VQ-VAE and back."""

import numpy as np
import pytest

from medgen.errors import BundleError
from medgen.families.vqvae.reconstruct import reconstruct_volume
from medgen.volumes import Geometry, Volume


def scan(slices: int) -> Volume:
    array = np.random.default_rng(0).integers(-1024, 1024, (13, 18, slices)).astype(np.int16)
    return Volume(array, Geometry.from_spacing(array.shape, (1, 1, 3)), modality="ct")


def test_a_slice_is_seen_as_missing_between_its_neighbours(exact_conditional):
    before = scan(7)
    result = reconstruct_volume(before, exact_conditional)
    net = exact_conditional.nets["vqvae"]
    levels = np.moveaxis(before.array, 2, 0).astype(np.int32) + 1024
    # Slice 2: slices 1 and 3 beside it, then, two by two, 5 and what there is not below 0.
    beside = {1: [1, 3], 2: [0, 1, 3, 5]}[net.context]
    there = {1: [1, 1], 2: [0, 1, 1, 1]}[net.context]
    inputs = {
        "target": levels[2][None],
        "context": np.moveaxis(levels[beside], 0, -1)[None],
        "present": np.array([there], np.float32),
        "position": np.array([0.5], np.float32),
        "gap_mm": np.array([6.0], np.float32),
    }
    known = net.condition(inputs)
    codes = net.encode(inputs["target"], net.surroundings(known))
    mixture = net.decode(codes, net.surroundings(known))[:, :13, :18]
    expected = np.asarray(net.mean(mixture, known))[0] - 1024
    np.testing.assert_allclose(result.volume.array[..., 2], expected, atol=0.51)
    assert np.abs(expected - before.array[..., 2]).max() > 5
    for end in (0, 6):
        np.testing.assert_array_equal(result.volume.array[..., end], before.array[..., end])
    assert result.ssim.shape == (5,)
    assert 0 < result.codebook_usage <= 1


def test_two_slices_have_none_between_them(exact_conditional):
    with pytest.raises(BundleError, match="got 2 slices; give a scan of 3 or more"):
        reconstruct_volume(scan(2), exact_conditional)
