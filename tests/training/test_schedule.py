"""Learning rates at places where they are known."""

import pytest

from medgen.errors import TrainingError
from medgen.training.schedule import Plan


def test_by_steps():
    """A tenth of the steps leads up from a hundredth of the peak, a cosine down to that."""
    plan = Plan(100, 10, 2.0)
    assert plan.rate(0, 0.0) == pytest.approx(0.02)
    assert plan.rate(5, 0.0) == pytest.approx(1.01)
    assert plan.rate(10, 0.0) == pytest.approx(2.0)
    assert plan.rate(55, 0.0) == pytest.approx(1.01)
    assert plan.rate(100, 0.0) == pytest.approx(0.02)
    assert [plan.share_done(step, 1e9) for step in (0, 50, 100)] == [0, 0.5, 1]


def test_a_long_run_warms_up_over_500_steps():
    assert Plan(20_000, 100, 1.0).rate(500, 0.0) == pytest.approx(1.0)
    assert Plan(20_000, 100, 1.0).rate(499, 0.0) < 1.0


def test_by_the_clock():
    plan = Plan(None, 10, 2.0, minutes=10)
    assert plan.rate(7, 0.0) == pytest.approx(0.02)
    assert plan.rate(7, 18.0) == pytest.approx(2.0)
    assert plan.rate(10**6, 309.0) == pytest.approx(1.01)
    assert plan.rate(7, 600.0) == pytest.approx(0.02)
    assert [plan.share_done(9, seconds) for seconds in (0, 300, 600, 700)] == [0, 0.5, 1, 1]


@pytest.mark.parametrize(("steps", "minutes"), [(None, None), (10, 1.0)])
def test_either_steps_or_minutes(steps, minutes):
    with pytest.raises(TrainingError, match="a number of steps or of minutes"):
        Plan(steps, 10, 1.0, minutes)
