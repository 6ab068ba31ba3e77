"""Slices drawn from the prior alone."""

import numpy as np
import pytest

from medgen.errors import BundleError, MedgenError
from medgen.families.two_stage import sample
from medgen.families.two_stage.sample import sample_slices
from medgen.families.vqvae.codes import codes_of
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler


def test_slices_are_decoded_draws_with_unknown_neighbours(exact_two_stage):
    """The same by the reference sampler; 14 x 21 pixels are cut from 4 x 6 codes."""
    unknown = np.full((3, 4, 6), 16)
    conditioning = exact_two_stage.nets["prior"].condition(
        {
            "previous": unknown,
            "next": unknown,
            "position": np.full(3, 0.5, np.float32),
            "gap_mm": np.full(3, 4.0, np.float32),
        }
    )
    numbers = uniforms(7, range(3), (4, 6, 1))
    codes = RasterSampler(exact_two_stage.nets["prior"], categorical_draw(0.8))(
        conditioning, numbers
    ).numpy()
    assert len(np.unique(codes)) > 8
    slices = sample_slices(exact_two_stage, 3, (14, 21), seed=7, temperature=0.8)
    assert slices.shape == (3, 14, 21)
    assert slices.dtype == np.float32
    expected = np.stack([codes_of(exact_two_stage).decode_slice(code, (14, 21)) for code in codes])
    np.testing.assert_allclose(slices, np.clip(expected, -0.5, 0.5), atol=1e-6)


def test_a_slice_belongs_to_seed_and_number(exact_two_stage, monkeypatch):
    monkeypatch.setattr(sample, "AT_ONCE", 2)
    shown: list[tuple[int, int]] = []
    few = sample_slices(exact_two_stage, 2, (16, 20), seed=1)
    many = sample_slices(
        exact_two_stage, 5, (16, 20), seed=1, progress=lambda *call: shown.append(call)
    )
    assert shown == [(2, 5), (4, 5), (5, 5)]
    np.testing.assert_array_equal(few, many[:2])
    assert len({image.tobytes() for image in many}) == 5
    assert (sample_slices(exact_two_stage, 2, (16, 20), seed=2) != few).any(axis=(1, 2)).all()


def test_options_reach_the_draw(exact_two_stage):
    likeliest = sample_slices(exact_two_stage, 2, (12, 16), temperature=0.0)
    np.testing.assert_array_equal(likeliest[0], likeliest[1])
    np.testing.assert_array_equal(
        likeliest, sample_slices(exact_two_stage, 2, (12, 16), top_k=1, seed=3)
    )
    np.testing.assert_array_equal(
        likeliest, sample_slices(exact_two_stage, 2, (12, 16), top_p=1e-6, seed=4)
    )


def test_what_cannot_be_sampled_is_refused(exact_two_stage, vqvae_alone):
    with pytest.raises(BundleError, match="tiny has no prior to sample; train one"):
        sample_slices(vqvae_alone, 1, (16, 20))
    for count, size in ((0, (16, 20)), (1, (0, 20)), (1, (16, -4))):
        with pytest.raises(MedgenError, match="at least 1, got"):
            sample_slices(exact_two_stage, count, size)
    with pytest.raises(MedgenError, match="temperature must be 0 or more, got -1"):
        sample_slices(exact_two_stage, 1, (16, 20), temperature=-1)
