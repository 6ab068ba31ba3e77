"""A scan through an (untrained) VQ-VAE and back, and its measures."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from medgen.errors import IntensityError
from medgen.examples.stacks import axial_square
from medgen.families.vqvae.codes import codes_of
from medgen.families.vqvae.reconstruct import reconstruct_volume
from medgen.intensities.rule import IntensityRule
from medgen.volumes import Geometry, Volume


def noise(shape=(32, 36, 3), spacing=(0.8, 0.9, 4.0), modality="ct", **options) -> Volume:
    array = np.random.default_rng(0).integers(-1024, 1024, shape).astype(np.int16)
    return Volume(array, Geometry.from_spacing(shape, spacing), modality=modality, **options)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slice_along_the_coarsest_axis_is_encoded_and_decoded(two_stage, axis):
    spacing = [0.8, 0.9, 0.7]
    spacing[axis] = 4.0
    before = noise((29, 34, 31), spacing)
    shown = []
    result = reconstruct_volume(before, two_stage, lambda *call: shown.append(call))
    assert shown[0] == (0, len(shown))
    assert result.volume.geometry == before.geometry
    assert result.volume.array.dtype == np.int16
    true = np.moveaxis(before.array, axis, 0)
    codes = [codes_of(two_stage).encode_slice(np.float32((hu + 1024) / 2047 - 0.5)) for hu in true]
    unit = np.stack([codes_of(two_stage).decode_slice(code, true.shape[1:]) for code in codes])
    expected = np.clip(unit, -0.5, 0.5) * 2047 - 0.5
    after = np.moveaxis(result.volume.array, axis, 0)
    np.testing.assert_allclose(after, expected, atol=0.51)
    assert result.codebook_usage == len(np.unique(codes)) / 16
    assert result.codebook_usage > 0.5
    assert (result.low, result.high) == (-1024, 1023)
    for k in (0, 7):
        a, b = true[k].astype(np.float32), expected[k].astype(np.float32)
        ssim = structural_similarity(a, b, data_range=2047)
        assert result.ssim[k] == pytest.approx(ssim, abs=1e-4)
        psnr = peak_signal_noise_ratio(a, b, data_range=2047)
        assert result.psnr_db[k] == pytest.approx(psnr, abs=1e-3)
    assert result.ssim.shape == result.psnr_db.shape == true.shape[:1]


def test_stored_values_keep_their_scaling(two_stage):
    array = np.random.default_rng(0).integers(0, 4095, (32, 36, 2)).astype(np.uint16)
    before = Volume(array, Geometry.from_spacing(array.shape, (1, 1, 4)), 0.5, -1024.0, "ct")
    plain = Volume(before.to_physical(), before.geometry, modality="ct")
    after = reconstruct_volume(before, two_stage).volume
    assert (after.array.dtype, after.slope, after.intercept) == (np.uint16, 0.5, -1024.0)
    expected = reconstruct_volume(plain, two_stage).volume.array
    np.testing.assert_allclose(after.to_physical(), expected, atol=0.26)


def test_values_beyond_the_range_are_limited_on_both_sides(two_stage):
    before = noise()
    beyond = before.array.copy()
    beyond[beyond == before.array.max()] = 3071
    beyond[0, :3] = -3024
    inside = np.clip(beyond, -1024, 1023)
    a, b = (
        reconstruct_volume(before.with_array(array, before.geometry), two_stage)
        for array in (beyond, inside)
    )
    np.testing.assert_array_equal(a.volume.array, b.volume.array)
    np.testing.assert_allclose(a.ssim, b.ssim, rtol=1e-4)


def test_air_is_not_measured(two_stage):
    before = noise()
    array = before.array.copy()
    array[..., 1] = -1000
    result = reconstruct_volume(before.with_array(array, before.geometry), two_stage)
    assert result.ssim.shape == result.psnr_db.shape == (2,)
    nothing = reconstruct_volume(
        before.with_array(array[..., [1, 1, 1]], before.geometry), two_stage
    )
    assert nothing.ssim.size == nothing.psnr_db.size == 0
    assert nothing.volume.shape == before.shape


def test_slices_smaller_than_the_window_of_ssim_are_not_measured(two_stage):
    result = reconstruct_volume(noise((6, 20, 3)), two_stage)
    assert result.volume.shape == (6, 20, 3)
    assert result.ssim.size == 0


def test_a_model_of_small_slices_gives_axial_squares(two_stage):
    recipe = replace(two_stage.recipes["vqvae"], image_size=20)
    mr = replace(two_stage, rule=IntensityRule("mr"))
    bundle = replace(mr, recipes=two_stage.recipes | {"vqvae": recipe})
    before = noise((5, 40, 44), (3.0, 1.0, 1.1), "mr")
    result = reconstruct_volume(before, bundle)
    square = axial_square(before, 20)
    assert result.volume.geometry == square.geometry
    assert result.volume.shape == (20, 20, 44)
    assert (result.low, result.high) == pytest.approx(
        tuple(np.percentile(square.array, (0.5, 99.9))), rel=1e-5
    )
    same = reconstruct_volume(square, mr)
    assert same.ssim.shape == (20,)  # along the coarsest axis instead
    assert result.ssim.shape == (44,)


def test_what_does_not_fit_the_model_is_refused(two_stage):
    with pytest.raises(IntensityError, match="trained on CT and the scan looks like MR"):
        reconstruct_volume(noise(modality="mr"), two_stage)
    broken = np.full((8, 8, 2), np.nan, np.float32)
    with pytest.raises(IntensityError, match="NaN"):
        reconstruct_volume(
            Volume(broken, Geometry.from_spacing(broken.shape, (1, 1, 2)), modality="ct"), two_stage
        )
