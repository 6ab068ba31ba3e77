"""Thickness of slices from the scan itself: it is found where it was made, or nothing is told."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter

from medgen.phantoms.phantom import phantom_volume
from medgen.profiles.estimate import Estimate, estimate_profile
from medgen.profiles.shape import SliceProfile
from medgen.volumes import Geometry, Volume

DISTANCE = 6  # of slices, in thin ones


@pytest.fixture(scope="module")
def texture():
    """Structures of many sizes, alike along all axes, with edges."""
    rng = np.random.default_rng(0)
    field = np.zeros((240, 144, 144), np.float32)
    for sigma, strength in ((1, 0.5), (2, 1.0), (4, 1.5), (8, 2.0)):
        noise = gaussian_filter(rng.standard_normal(field.shape, np.float32), sigma, mode="wrap")
        field += strength * noise / noise.std()
    return np.tanh(field)


def sliced(values, profile=None, noise=0.0):
    """Every sixth slice of a thin-sliced array, each of a profile, of pixels of 1 mm, axis 1."""
    if profile is not None:
        values = convolve1d(values, profile.weights(1.0), axis=0, mode="wrap")
    values = values[::DISTANCE]
    values = values + noise * values.std() * np.random.default_rng(1).standard_normal(values.shape)
    values = np.moveaxis(values, 0, 1).astype(np.float32)
    geometry = Geometry.from_spacing(values.shape, (1.0, DISTANCE, 1.0))
    return Volume(values, geometry, modality="mr")


@pytest.mark.parametrize(
    ("shape", "share", "noise"),
    [
        ("box", 0.5, 0),
        ("box", 1, 0.2),
        ("box", 2, 0),
        ("gaussian", 0.5, 0.2),
        ("gaussian", 1, 0),
        ("gaussian", 2, 0.2),
    ],
)
def test_a_known_profile_is_found_within_15_percent(texture, shape, share, noise):
    true = share * DISTANCE
    shown = []
    estimate = estimate_profile(
        sliced(texture, SliceProfile(shape, true), noise),
        progress=lambda *call: shown.append(call),
    )
    assert shown == [(n, len(shown)) for n in range(1, len(shown) + 1)]
    assert estimate.is_told
    assert estimate.thickness_mm[shape] == pytest.approx(true, rel=0.15)
    if shape == "box":
        assert estimate.low_mm < true < estimate.high_mm
        assert estimate.profile == SliceProfile("box", estimate.thickness_mm["box"])
    assert f"about {estimate.thickness_mm['box']:.3g} mm thick" in estimate.sentence


@pytest.mark.parametrize("sigma", [0, 1])
def test_noise_of_each_slice_by_itself_tells_nothing(sigma):
    noise = np.random.default_rng(0).standard_normal((30 * DISTANCE, 100, 100))
    estimate = estimate_profile(sliced(gaussian_filter(noise, (0, sigma, sigma))))
    assert not estimate.is_told
    assert estimate.profile is None
    assert estimate.sentence == "the scan does not tell how thick its slices are"


def test_where_there_is_too_little_to_see():
    small = phantom_volume("mr", (20, 20, 12), (4.0, 4.0, 8.0), seed=0)
    assert estimate_profile(small) is None
    flat = Volume(np.zeros((90, 90, 9)), Geometry.from_spacing((90, 90, 9), (1, 1, 4)))
    assert estimate_profile(flat) is None
    nearer = Geometry.from_spacing((90, 90, 90), (2.0, 2.0, 1.0))
    noise = np.random.default_rng(0).standard_normal((90, 90, 90))
    assert estimate_profile(Volume(noise, nearer), axis=2) is None
    labels = Volume((noise > 0).astype(np.uint8), nearer, modality="labels")
    assert estimate_profile(labels, axis=0) is None


def test_what_is_told_depends_on_interval_and_fit():
    thickness = {"box": 4.0, "gaussian": 2.8}
    assert Estimate(5.0, thickness, 3.0, 5.0, 0.01).is_told
    assert not Estimate(5.0, thickness, 1.0, 5.0, 0.01).is_told
    assert not Estimate(5.0, thickness, 3.0, 5.0, 0.1).is_told
    assert not Estimate(5.0, {"box": 0.0, "gaussian": 0.0}, 0.0, 0.0, 0.01).is_told
