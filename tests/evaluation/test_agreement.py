import numpy as np
import pytest

from medgen.evaluation.agreement import (
    concordance_correlation_coefficient,
    nrmse,
    published_normalized_errors,
    reproducible_share,
)


@pytest.fixture
def features():
    """40 cases of 5 features: equal, noisy, shifted, scaled, unrelated."""
    generator = np.random.default_rng(7)
    true = generator.normal(10, 2, (40, 5))
    test = true.copy()
    test[:, 1] += generator.normal(0, 0.5, 40)
    test[:, 2] += 4
    test[:, 3] = 10 + 0.3 * (test[:, 3] - 10)
    test[:, 4] = generator.normal(10, 2, 40)
    return true, test


def test_concordance_golden_value():
    # concordance_correlation_coefficient([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]) of the script `ccc.py`
    # published with PixelMiner; its docstring gives the same number.
    value = concordance_correlation_coefficient([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
    assert value == pytest.approx(0.97678916827853024, abs=1e-12)


def test_concordance_is_correlation_times_bias_correction(features):
    # Lin 1989: rho_c = rho C_b, C_b = 2 / (v + 1 / v + u²), v = s_x / s_y,
    # u² = (mean difference)² / (s_x s_y).
    true, test = features
    for t, s, value in zip(
        true.T, test.T, concordance_correlation_coefficient(true, test), strict=True
    ):
        v, u2 = t.std() / s.std(), (t.mean() - s.mean()) ** 2 / (t.std() * s.std())
        assert value == pytest.approx(np.corrcoef(t, s)[0, 1] * 2 / (v + 1 / v + u2), abs=1e-12)


def test_concordance_is_symmetric_and_one_for_equal(features):
    true, test = features
    there, back = (
        concordance_correlation_coefficient(*pair) for pair in ((true, test), (test, true))
    )
    np.testing.assert_allclose(there, back, atol=1e-15)
    assert there[0] == pytest.approx(1, abs=1e-15)
    assert (there[1:] < 1).all()


def test_concordance_of_constants():
    constant, other = np.full((6, 1), 0.1), np.full((6, 1), 0.2)
    assert np.isnan(concordance_correlation_coefficient(constant, constant))
    assert concordance_correlation_coefficient(constant, other) == pytest.approx(0, abs=1e-15)


def test_reproducible_share_counts_features_at_least_085(features):
    share = reproducible_share(*features, resamples=200)
    assert share.share == 2 / 5  # equal and noisy pass; shifted, scaled and unrelated do not
    assert 0 <= share.low <= share.share <= share.high <= 1


def test_reproducible_share_leaves_out_constant_features(features):
    true, test = (np.hstack([f, np.ones((40, 1))]) for f in features)
    assert reproducible_share(true, test, resamples=2).share == 2 / 5
    nothing = reproducible_share(np.ones((4, 2)), np.ones((4, 2)), resamples=3)
    assert np.isnan(nothing).all()


def test_bootstrap_interval_depends_on_the_seed_only(features):
    true, _ = features
    noisy = true + np.random.default_rng(1).normal(0, 1.1, true.shape)  # concordance about 0.85
    first, again, other = (
        reproducible_share(true, noisy, resamples=50, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.low < first.high
    assert (first.low, first.high) != (other.low, other.high)


def test_wider_confidence_gives_a_wider_interval(features):
    true, _ = features
    noisy = true + np.random.default_rng(1).normal(0, 1.1, true.shape)
    narrow = reproducible_share(true, noisy, confidence=0.2)
    wide = reproducible_share(true, noisy, confidence=0.99)
    assert wide.low < narrow.low <= narrow.high < wide.high


def test_nrmse_by_hand():
    true = np.array([[0.0, 5, 1], [4, 5, 2], [2, 5, 3]])
    test = np.array([[1.0, 6, 1], [4, 5, 2], [0, 5, 3]])
    np.testing.assert_allclose(nrmse(true, test), [np.sqrt(5 / 3) / 4, np.nan, 0])


def test_seed_normalized_errors_by_hand():
    # Two methods, two cases, two features; errors 1, 3 | 5, 2 and 0, 0 | 0, 0.
    true = np.array([[10.0, 1], [20, 2]])
    test = np.array([[[11.0, 1], [17, 2]], [[15, 1], [22, 2]]])
    errors = published_normalized_errors(true, test)
    np.testing.assert_allclose(errors[..., 0], [[0, 0.5], [1, 0.25]])
    assert np.isnan(errors[..., 1]).all()


def test_refuses_what_does_not_fit(features):
    true, test = features
    with pytest.raises(ValueError, match=r"one shape, got \(40, 5\) and \(40, 4\)"):
        concordance_correlation_coefficient(true, test[:, :4])
    with pytest.raises(ValueError, match="at least two cases"):
        nrmse(true[:1], test[:1])
    with pytest.raises(ValueError, match="do not fit"):
        published_normalized_errors(true, test)
