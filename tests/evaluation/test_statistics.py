from itertools import product

import numpy as np
import pytest

from medgen.evaluation.statistics import (
    binomial_wins_p,
    compare_methods,
    holm,
    proportion_interval,
    signed_rank_p,
    win_matrix,
)

# Method 0 beats 1 in three of four cases; 2 ties with 1 throughout.
SCORES = np.array([[4.0, 5, 6, 1], [3, 4, 5, 2], [3, 4, 5, 2]])


def test_win_matrix_by_hand():
    nan = np.nan
    expected = [[nan, 75, 75], [25, nan, 0], [25, 0, nan]]
    np.testing.assert_array_equal(win_matrix(SCORES, higher_is_better=True), expected)


def test_win_matrix_of_errors_is_the_transpose():
    gains, errors = (win_matrix(SCORES, higher_is_better=h) for h in (True, False))
    np.testing.assert_array_equal(errors, gains.T)


def test_win_matrix_leaves_out_missing_scores():
    scores = np.array([[np.nan, 2.0, 3.0], [5.0, 1.0, 4.0]])
    assert win_matrix(scores, higher_is_better=True)[0, 1] == 50
    assert np.isnan(win_matrix(scores[:, :1], higher_is_better=True)).all()


def test_signed_rank_golden_value():
    # Darwin's Zea mays: heights of cross- less those of self-fertilised plants; R 4:
    #   wilcox.test(d)$p.value, also printed by the documentation of scipy.stats.wilcoxon
    d = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    assert signed_rank_p(d) == pytest.approx(0.041259765625)


def test_signed_rank_is_the_enumeration_of_signs():
    d = np.array([1.5, -2.0, 3.0, 4.5, 7.0, -0.5, 8.0])
    ranks = np.abs(d).argsort().argsort() + 1
    sums = np.array([np.dot(signs, ranks) for signs in product((0, 1), repeat=len(d))])
    observed = ranks[d > 0].sum()
    tail = min((sums >= observed).mean(), (sums <= observed).mean())
    assert signed_rank_p(d) == pytest.approx(min(1, 2 * tail))


def test_binomial_by_hand():
    # 8 wins of 10 under a fair coin: 2 (45 + 10 + 1) / 1024.
    assert binomial_wins_p(8, 2) == pytest.approx(112 / 1024)
    assert binomial_wins_p(0, 0) == 1


def test_holm_golden_value():
    # statsmodels 0.14: multipletests([0.01, 0.04, 0.03, 0.005, 0.2], method="holm")[1]
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005, 0.2]), [0.04, 0.09, 0.09, 0.025, 0.2])
    assert holm([0.6, 0.9]).max() == 1
    assert holm([]).size == 0


def test_compare_methods_counts_and_corrects():
    comparisons = compare_methods(SCORES, higher_is_better=True)
    assert [(c.first, c.second) for c in comparisons] == [(0, 1), (0, 2), (1, 2)]
    assert [(c.first_wins, c.second_wins, c.ties) for c in comparisons] == [
        (3, 1, 0),
        (3, 1, 0),
        (0, 0, 4),
    ]
    assert comparisons[0].binomial_p == pytest.approx(0.625)
    assert comparisons[2].wilcoxon_p == comparisons[2].binomial_p == 1
    np.testing.assert_allclose(
        [c.wilcoxon_holm for c in comparisons], holm([c.wilcoxon_p for c in comparisons])
    )
    np.testing.assert_allclose(
        [c.binomial_holm for c in comparisons], holm([c.binomial_p for c in comparisons])
    )


def test_direction_swaps_wins_and_keeps_p_values():
    better, worse = (compare_methods(SCORES, higher_is_better=h)[0] for h in (True, False))
    assert (better.first_wins, better.second_wins) == (worse.second_wins, worse.first_wins)
    assert better.wilcoxon_p == worse.wilcoxon_p


def test_missing_and_infinite_scores():
    scores = np.array([[np.inf, np.nan, 3.0, np.inf], [np.inf, 1.0, 2.0, 1.0]])
    comparison = compare_methods(scores, higher_is_better=True)[0]
    assert (comparison.first_wins, comparison.second_wins, comparison.ties) == (2, 0, 1)


def test_refuses_a_flat_list_of_scores():
    with pytest.raises(ValueError, match=r"\(methods, cases\), got shape \(4,\)"):
        win_matrix(SCORES[0], higher_is_better=True)


def test_a_proportion_of_independent_observations_has_wilsons_interval():
    """By hand: 8 of 10, z = 1.96, gives 0.490 to 0.943."""
    share, low, high = proportion_interval([1] * 8 + [0] * 2, range(10))
    assert share == 0.8
    assert (low, high) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_observations_that_go_together_count_once():
    """Each case five times over tells hardly more than once; by Monte Carlo it holds the truth."""
    once = proportion_interval([1] * 8 + [0] * 2, range(10))
    repeated = proportion_interval(
        np.repeat([1] * 8 + [0] * 2, 5), np.repeat(range(10), 5).tolist()
    )
    assert repeated[0] == once[0]
    assert repeated[2] - repeated[1] > once[2] - once[1]
    rng, held = np.random.default_rng(0), 0
    cases = np.repeat(range(12), 8).tolist()
    for _ in range(400):
        p = rng.beta(4, 2, 12)  # of mean 2/3, different from case to case
        _, low, high = proportion_interval(rng.random(96) < np.repeat(p, 8), cases)
        held += low <= 2 / 3 <= high
    assert 0.91 <= held / 400 <= 0.99


def test_a_proportion_of_all_or_of_one_case():
    assert proportion_interval([1] * 40, [k // 10 for k in range(40)])[0] == 1
    assert proportion_interval([1] * 40, [k // 10 for k in range(40)])[1] < 0.5
    assert proportion_interval([1, 0, 1], ["one"] * 3)[1:] == (0, 1)
