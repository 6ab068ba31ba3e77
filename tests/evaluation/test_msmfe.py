import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation import msmfe as module
from medgen.evaluation.msmfe import feature_maps, map_errors, msmfe
from medgen.evaluation.texture import Bins, fit_bins
from medgen.evaluation.texture.glcm import cooccurrences, glcm_features


def noisy_slice():
    """A 14 x 19 slice, flat in one corner and smooth in another, and a mask with holes."""
    rng = np.random.default_rng(7)
    image = -700 + 40 * rng.standard_normal((14, 19)) + 9 * np.arange(19)
    image[:7, :8] = -650
    image[9:, 13:] = -600 + 5 * np.arange(6)
    mask = rng.random(image.shape) < 0.85
    mask[:6, :7] = True
    mask[12, :4] = False
    mask[13, 0] = True  # alone in its corner
    mask[11:, 1:3] = False
    mask[11, 0] = mask[10, 0] = mask[10, 1] = False
    return image, mask


def direct_maps(image, mask, bins):
    """The same maps by the full matrix of each window in turn."""
    levels = bins.levels(image, mask)
    maps = {}
    for i, j in np.argwhere(mask):
        window = levels[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
        for name, values in glcm_features(cooccurrences(window, bins.count)).items():
            new = maps.setdefault("glcm_" + name, np.full(mask.shape, np.nan))
            defined = values[~np.isnan(values)]
            new[i, j] = defined.mean() if defined.size else np.nan
    return maps


@pytest.mark.parametrize("options", [{"bin_count": 8}, {"bin_width": 25.0}, {"bin_width": 6.0}])
def test_maps_are_the_features_of_every_window(options):
    image, mask = noisy_slice()
    bins = fit_bins(image[mask], **options)
    expected = direct_maps(image, mask, bins)
    found = feature_maps(image, mask, bins)
    assert set(found) == set(expected)
    assert len(found) == 24
    for name in expected:
        # Imc2 is the root of a difference of entropies: rounding of 1e-16 becomes 1e-8.
        atol = 1e-7 if name == "glcm_Imc2" else 1e-9
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=atol, err_msg=name)
    assert np.isnan(found["glcm_MCC"][13, 0])
    assert np.isfinite(found["glcm_MCC"]).sum() == mask.sum() - 1


def test_msmfe_is_the_mean_squared_difference_of_the_maps():
    image, mask = noisy_slice()
    other = 0.5 * (image + np.roll(image, 1, axis=1))
    bins = fit_bins(image[mask], bin_count=8)
    true, test = direct_maps(image, mask, bins), direct_maps(other, mask, bins)
    expected = {name: np.nanmean((true[name] - test[name]) ** 2) for name in true}
    assert msmfe(image, other, mask) == pytest.approx(expected, rel=1e-6)
    assert min(expected.values()) > 1e-6


def test_equal_images_have_no_error():
    image, mask = noisy_slice()
    assert set(msmfe(image, image.copy(), mask).values()) == {0.0}


def test_contrast_of_a_checkerboard_against_a_flat_image():
    board = np.indices((9, 12)).sum(axis=0) % 2 * 100.0
    # Levels 1 and 8: 49 for every pair along rows and columns, 0 along both diagonals.
    errors = msmfe(board, np.zeros_like(board))
    assert errors["glcm_Contrast"] == pytest.approx(24.5**2)
    assert errors["glcm_DifferenceAverage"] == pytest.approx(3.5**2)
    assert errors["glcm_Correlation"] == pytest.approx(1)  # -1, -1, 1, 1 against 1


def test_values_beyond_the_reference_are_not_clipped():
    image, mask = noisy_slice()
    for shift in (-50.0, 50.0):
        errors = msmfe(image, image + shift, mask, bin_width=25.0, bin_count=None)
        assert errors["glcm_JointAverage"] == pytest.approx(4, rel=1e-9)
        assert errors["glcm_Contrast"] == pytest.approx(0, abs=1e-15)


def test_what_lies_outside_the_mask_does_not_matter():
    image, mask = noisy_slice()
    other = np.where(mask, image, np.nan)
    assert set(msmfe(image, other, mask).values()) == {0.0}


def test_maps_do_not_depend_on_the_size_of_blocks(monkeypatch):
    image, mask = noisy_slice()
    bins = fit_bins(image[mask], bin_count=8)
    whole = feature_maps(image, mask, bins)
    monkeypatch.setattr(module, "BLOCK", 10)
    for name, values in feature_maps(image, mask, bins).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12, err_msg=name)


@pytest.mark.slow
def test_maps_of_pyradiomics():
    radiomics = pytest.importorskip("radiomics.glcm", reason="needs an environment of its own")
    import SimpleITK as sitk

    rng = np.random.default_rng(11)
    image, mask = 60 * rng.standard_normal((12, 15)), np.ones((12, 15), bool)
    extractor = radiomics.RadiomicsGLCM(
        sitk.GetImageFromArray(image[None]),
        sitk.GetImageFromArray(mask[None].astype(np.uint8)),
        voxelBased=True,
        kernelRadius=2,
        maskedKernel=True,
        force2D=True,
        binCount=8,
    )
    extractor.enableAllFeatures()
    found = feature_maps(image, mask, fit_bins(image, bin_count=8))
    for name, expected in extractor.execute().items():
        expected = sitk.GetArrayFromImage(expected)[0]
        np.testing.assert_allclose(found["glcm_" + name], expected, rtol=1e-6, atol=1e-6)


def test_an_empty_mask_is_refused():
    with pytest.raises(EvaluationError, match="region of interest is empty"):
        msmfe(np.zeros((5, 6)), np.zeros((5, 6)), np.zeros((5, 6), bool))


def test_pixels_without_neighbours_are_refused():
    mask = np.zeros((7, 8), bool)
    mask[::6, ::7] = True
    with pytest.raises(EvaluationError, match="no two neighbouring pixels"):
        msmfe(np.zeros((7, 8)), np.zeros((7, 8)), mask)


def test_a_test_image_that_is_not_finite_is_refused():
    other = np.zeros((5, 6))
    other[2, 3] = np.nan
    with pytest.raises(EvaluationError, match="not finite"):
        msmfe(np.zeros((5, 6)), other)


def test_shapes_must_match():
    with pytest.raises(ValueError, match="must match"):
        msmfe(np.zeros((5, 6)), np.zeros((6, 5)))


def test_errors_skip_pixels_without_features():
    a, b = np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, np.nan, 5.0]])
    assert map_errors({"x": a}, {"x": b}) == {"x": 2.5}


def test_maps_take_levels_of_a_fixed_range():
    image = np.array([[-1000.0, -1000.0], [-1000.0, -744.0]])
    maps = feature_maps(image, np.ones((2, 2), bool), Bins(-1024.0, 1024.0, 8))
    assert maps["glcm_JointAverage"][0, 0] == pytest.approx((1.25 + 1.25 + 1.5 + 1) / 4)
