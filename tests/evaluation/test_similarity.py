import numpy as np
import pytest

from medgen.evaluation.similarity import mae, ms_ssim, psnr, rmse, ssim


@pytest.fixture(scope="module")
def pair():
    """Two smooth images of unequal sides, `(192, 208)`, in 0 ... 4095."""
    i, j = np.mgrid[:192, :208]
    true = 2000 + 900 * np.sin(i / 9) * np.cos(j / 13) + 300 * np.sin(i * j / 50)
    return true, 0.9 * true + 200 + 150 * np.cos(i / 3 + j / 4)


# Golden values: TensorFlow 2.21 on the same pair as float32 (1, 192, 208, 1) tensors a and b:
#   tf.image.psnr(a, b, 4095.0); tf.image.ssim(a, b, 4095.0); tf.image.ssim_multiscale(a, b, 4095.0)
@pytest.mark.parametrize(
    ("metric", "golden"), [(psnr, 30.856098), (ssim, 0.96098065), (ms_ssim, 0.94352937)]
)
def test_golden_value(pair, metric, golden):
    assert metric(*pair, data_range=4095) == pytest.approx(golden, abs=2e-5)


def test_ms_ssim_uses_the_scales_that_fit(pair):
    # tf.image.ssim_multiscale(a, b, 4095.0, power_factors=w) on the top left (48, 64) corner with
    # w = numpy.array([0.0448, 0.2856, 0.3001]) / 0.6305
    corner = [image[:48, :64] for image in pair]
    assert ms_ssim(*corner, data_range=4095) == pytest.approx(0.9485437, abs=2e-5)


def test_ms_ssim_of_an_image_too_small_for_two_scales_is_its_ssim(pair):
    corner = [image[:20, :21] for image in pair]
    assert ms_ssim(*corner, data_range=4095) == pytest.approx(ssim(*corner, data_range=4095))


def test_equal_images_are_perfect(pair):
    true, _ = pair
    assert psnr(true, true, data_range=4095) == np.inf
    assert ssim(true, true, data_range=4095) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(true, true, data_range=4095) == pytest.approx(1, abs=1e-12)
    assert mae(true, true) == rmse(true, true) == 0


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim, mae, rmse])
def test_symmetric(pair, metric):
    true, test = pair
    assert metric(true, test, data_range=4095) == pytest.approx(metric(test, true, data_range=4095))


def test_errors_are_in_the_units_of_the_image():
    true, test = np.zeros((2, 3), np.int16), np.array([[3, -3, 3], [0, 0, -9]], np.int16)
    assert mae(true, test) == pytest.approx(3)
    assert rmse(true, test) == pytest.approx(np.sqrt(108 / 6))


def test_small_integers_do_not_overflow():
    true, test = np.full((4, 5), 250, np.uint8), np.full((4, 5), 5, np.uint8)
    assert mae(true, test) == 245
    assert rmse(test, true) == 245


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim, mae, rmse])
def test_refuses_unequal_shapes_and_empty_range(pair, metric):
    true, test = pair
    with pytest.raises(ValueError, match=r"one shape, got \(192, 208\) and \(192, 207\)"):
        metric(true, test[:, :-1], data_range=4095)
    with pytest.raises(ValueError, match="above 0, got 0"):
        metric(true, test, data_range=0)


def test_ms_ssim_refuses_an_image_below_its_window(pair):
    with pytest.raises(ValueError, match="11 pixels a side"):
        ms_ssim(pair[0][:10], pair[1][:10], data_range=4095)
