"""Against closed forms, brute force and simulation."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import beta, norm, t

from medgen.errors import StudyError
from medgen.study.planning import assumed, of_pilot, plan
from medgen.study.statistics import (
    Bootstrap,
    Components,
    components,
    detection,
    exact_interval,
    exact_p,
    fleiss_kappa,
    kappa_interval,
    mrmc_interval,
    mrmc_variance,
    wilson_interval,
)

NAN = np.nan


def scores_of(readers=7, cases=11, asked=0.6, seed=0) -> np.ndarray:
    """0 and 1 at random, and who was asked what."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 2, (readers, cases)).astype(float)
    scores[generator.random(scores.shape) > asked] = NAN
    return scores


@pytest.mark.parametrize(("chosen", "answers"), [(101, 140), (8, 12), (0, 5), (5, 5), (7, 14)])
def test_binomial_test_and_intervals(chosen, answers):
    """The first is that of the paper: 72 % of 140."""
    more = max(chosen, answers - chosen)
    tail = sum(comb(answers, k) for k in range(more, answers + 1)) / 2**answers
    assert exact_p(chosen, answers) == pytest.approx(min(1, 2 * tail), rel=1e-9)

    exact = exact_interval(chosen, answers)
    low = beta.ppf(0.025, chosen, answers - chosen + 1) if chosen else 0
    high = beta.ppf(0.975, chosen + 1, answers - chosen) if chosen < answers else 1
    assert (exact.low, exact.high) == pytest.approx((low, high))

    z, p = norm.ppf(0.975), chosen / answers
    middle = (p + z**2 / (2 * answers)) / (1 + z**2 / answers)
    half = z / (1 + z**2 / answers) * np.sqrt(p * (1 - p) / answers + z**2 / (4 * answers**2))
    wilson = wilson_interval(chosen, answers)
    assert (wilson.low, wilson.high) == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_no_answers_say_nothing():
    assert exact_p(0, 0) == 1
    for interval in (exact_interval(0, 0), wilson_interval(0, 0)):
        assert (interval.low, interval.high) == (0, 1)


def gallas(scores) -> float:
    """Equation by equation: all pairs of answers, one by one."""
    asked = list(zip(*np.nonzero(~np.isnan(scores)), strict=True))
    products = {key: [] for key in product((True, False), repeat=2)}
    for (r, c), (s, d) in product(asked, asked):
        products[r == s, c == d].append(scores[r, c] * scores[s, d])
    pairs = len(asked) ** 2
    moments = {key: np.mean(values) if values else 0 for key, values in products.items()}
    weights = {key: len(values) / pairs for key, values in products.items()}
    return sum(weights[key] * moments[key] for key in moments) - moments[False, False]


@pytest.mark.parametrize("asked", [1.0, 0.6, 0.3])
def test_mrmc_variance_is_that_of_all_pairs(asked):
    scores = scores_of(asked=asked)
    assert mrmc_variance(scores) == pytest.approx(gallas(scores), abs=1e-12)


def test_mrmc_variance_of_a_crossed_study_is_that_of_its_mean_squares():
    """(MSR + MSC - MSRC) / RC of a two-way layout, an identity of unbiased estimates."""
    scores = scores_of(asked=1.0)
    readers, cases = scores.shape
    rows, columns, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    of_rows = cases * ((rows - mean) ** 2).sum() / (readers - 1)
    of_columns = readers * ((columns - mean) ** 2).sum() / (cases - 1)
    rest = scores - rows[:, None] - columns + mean
    of_rest = (rest**2).sum() / ((readers - 1) * (cases - 1))
    expected = (of_rows + of_columns - of_rest) / (readers * cases)
    assert mrmc_variance(scores) == pytest.approx(expected, abs=1e-12)


def test_mrmc_variance_is_unbiased():
    """Readers and cases of known spread, one study after the other."""
    generator = np.random.default_rng(0)
    readers, cases, of_readers, of_cases = 12, 20, 0.1, 0.15
    design = generator.random((readers, cases)) < 0.5
    means, variances = [], []
    for _ in range(3000):
        chance = 0.6 + of_readers * generator.choice((-1, 1), (readers, 1))
        chance = chance + of_cases * generator.choice((-1, 1), cases)
        scores = np.where(generator.random((readers, cases)) < chance, 1.0, 0.0)
        scores[~design] = NAN
        means.append(np.nanmean(scores))
        variances.append(mrmc_variance(scores))
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.08)


def test_components_are_found():
    """In one study so large that little is left to chance."""
    generator = np.random.default_rng(0)
    chance = 0.6 + 0.1 * generator.choice((-1, 1), (400, 1)) + 0.15 * generator.choice((-1, 1), 500)
    scores = np.where(generator.random(chance.shape) < chance, 1.0, 0.0)
    scores[generator.random(chance.shape) < 0.5] = NAN
    found = components(scores)
    assert found.reader == pytest.approx(0.1**2, rel=0.05)
    assert found.case == pytest.approx(0.15**2, rel=0.05)
    assert found.both == pytest.approx(0.24 - 0.1**2 - 0.15**2, rel=0.05)


def test_mrmc_interval():
    scores = scores_of(readers=10, cases=30, asked=0.8)
    interval = mrmc_interval(scores)
    half = t.ppf(0.975, 9) * np.sqrt(mrmc_variance(scores))
    assert interval.low == pytest.approx(np.nanmean(scores) - half)
    assert interval.high == pytest.approx(np.nanmean(scores) + half)
    assert mrmc_interval(np.ones((3, 4))) is None  # no variance to tell
    assert mrmc_interval(np.array([[1.0, 0.0, NAN]])) is None  # one reader
    assert components(np.array([[1.0, NAN], [NAN, 0.0]])) is None  # nothing shared


def test_bootstrap_samples_readers_and_units_crosswise():
    """As if whole rows and columns were repeated."""
    scores = scores_of()
    units = np.arange(11) // 3
    bootstrap = Bootstrap.drawn(7, units, seed=3, resamples=20)
    weights = bootstrap.of_readers, bootstrap.of_units
    sums = bootstrap.sums(scores)
    for drawn, (rows, of_units) in zip(sums, zip(*weights, strict=True), strict=True):
        repeated = np.repeat(np.nan_to_num(scores), rows, axis=0)
        assert drawn == np.repeat(repeated, of_units[units], axis=1).sum()
    assert (weights[0].sum(axis=1) == 7).all()
    assert (weights[1].sum(axis=1) == 4).all()


def test_bootstrap_interval_holds_readers_and_cases():
    """Wider than that of independent answers where readers differ; none without two of each."""
    generator = np.random.default_rng(0)
    chance = np.repeat([0.2, 0.9], 10)[:, None] * np.ones(40)
    scores = (generator.random(chance.shape) < chance).astype(float)
    bootstrap = Bootstrap.drawn(20, np.arange(40), seed=0)
    found = bootstrap.interval(scores)
    wilson = wilson_interval(int(scores.sum()), scores.size)
    assert found.high - found.low > 3 * (wilson.high - wilson.low)
    middle = np.sqrt(mrmc_variance(scores)) * 2 * norm.ppf(0.975)
    assert found.high - found.low == pytest.approx(middle, rel=0.15)
    alone = np.where(np.arange(20)[:, None] == 3, scores, NAN)
    assert bootstrap.interval(alone) is None
    assert Bootstrap.drawn(20, np.zeros(40, int), seed=0).interval(scores) is None


def test_detection():
    """Without a side preferred, d′ is √2 z of the proportion correct; guessing has none."""
    many = 10**7
    d_prime, criterion = detection(0.8 * many, many, 0.2 * many, many)
    assert d_prime == pytest.approx(np.sqrt(2) * norm.ppf(0.8), abs=1e-5)
    assert criterion == pytest.approx(0, abs=1e-6)
    d_prime, criterion = detection(0.3 * many, many, 0.3 * many, many)
    assert d_prime == pytest.approx(0, abs=1e-6)
    assert criterion == pytest.approx(-norm.ppf(0.3), abs=1e-5)
    d_prime, _ = detection(6, 6, 0, 6)  # all right, and still a number
    assert d_prime == pytest.approx(2 * norm.ppf(6.5 / 7) / np.sqrt(2))


def test_fleiss_kappa():
    """Of two raters it is Scott's pi; of more, agreement of all pairs of raters, counted here."""
    ratings = np.random.default_rng(1).integers(0, 2, (2, 30)).astype(float)
    observed, one = (ratings[0] == ratings[1]).mean(), ratings.mean()
    chance = one**2 + (1 - one) ** 2
    assert fleiss_kappa(ratings) == pytest.approx((observed - chance) / (1 - chance))

    ratings = np.random.default_rng(2).integers(0, 2, (5, 12)).astype(float)
    pairs = [
        (a[item], b[item])
        for item in range(12)
        for i, a in enumerate(ratings)
        for j, b in enumerate(ratings)
        if i < j
    ]
    observed, one = np.mean([a == b for a, b in pairs]), ratings.mean()
    chance = one**2 + (1 - one) ** 2
    assert fleiss_kappa(ratings) == pytest.approx((observed - chance) / (1 - chance))


def test_kappa_at_its_ends_and_with_gaps():
    assert fleiss_kappa(np.array([[0, 1, 1.0]] * 4)) == pytest.approx(1)
    assert fleiss_kappa(np.array([[0, 1.0], [1, 0]])) == pytest.approx(-1)
    assert fleiss_kappa(np.ones((3, 4))) is None
    assert fleiss_kappa(np.array([[1, NAN], [NAN, 0.0]])) is None
    ratings = np.array([[0, 1, 1.0, NAN], [0, 1, 0, 1], [NAN, NAN, NAN, NAN]])
    assert fleiss_kappa(ratings) == pytest.approx(fleiss_kappa(ratings[:2, :3]))
    interval = kappa_interval(ratings, seed=0)
    assert -1 <= interval.low <= fleiss_kappa(ratings) <= interval.high <= 1


def test_a_plan_is_what_studies_of_its_kind_show():
    """Half of the interval, by the variance of the means of simulated studies."""
    generator = np.random.default_rng(0)
    parts = assumed(0.6, reader_sd=0.1, case_sd=0.15)
    assert parts == Components(0.1**2, 0.15**2, pytest.approx(0.24 - 0.1**2 - 0.15**2))
    expected = plan(0.6, parts, readers=8, cases=30, questions=30)
    means = []
    for _ in range(2000):
        chance = 0.6 + 0.1 * generator.choice((-1, 1), (8, 1))
        chance = chance + 0.15 * generator.choice((-1, 1), 30)
        means.append((generator.random((8, 30)) < chance).mean())
    assert expected.half_width == pytest.approx(t.ppf(0.975, 7) * np.std(means), rel=0.06)
    power = np.mean(np.array(means) - expected.half_width > 0.5)
    assert expected.power == pytest.approx(power, abs=0.04)


def test_more_readers_and_cases_tell_more():
    parts = assumed(0.7, reader_sd=0.1, case_sd=0.2)

    def power(readers, cases):
        return plan(0.7, parts, readers=readers, cases=cases, questions=12).power

    assert power(4, 40) < power(8, 40) < power(16, 40) < power(16, 160)
    assert plan(0.5, parts, readers=8, cases=40, questions=12).power < 0.05


def test_a_pilot_that_is_none(tmp_path):
    with pytest.raises(StudyError, match="is no report of a reader study"):
        of_pilot(tmp_path)
    (tmp_path / "summary.json").write_text('{"overall": {"share": 0.6}, "components": null}')
    with pytest.raises(StudyError, match="has too few answers"):
        of_pilot(tmp_path)
