"""How a day's budget is shared out: live changes first, longer waits in time, and never more than the service has left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.budgets.budget import DailyBudget, background
from stream.budgets.quota import AIM, LONGEST_LINGER_SECONDS, Rate, Standing, Stretch
from stream.errors import BudgetSpent

DAY, HOUR = 86400.0, 3600.0
NOON = 1_790_000_000.0


class Clock:
    """Seconds since the epoch, as the test sets them."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at


def standing(
    *, allowed: int = 10_000, used: int = 0, live: float = 0.0, per_hour: float | None = None, hours: float = 24.0
) -> Standing:
    """A day's budget; `live` and `per_hour` are calls an hour."""
    return Standing(allowed, used, live, live if per_hour is None else per_hour, hours * HOUR)


def test_a_load_may_go_while_there_is_more_than_live_changes_will_need() -> None:
    assert standing(used=5_000, live=300, hours=12).may_go(waits=False)
    assert not standing(used=5_600, live=300, hours=12).may_go(waits=False), "3,600 and a quarter more are to come"


def test_something_is_kept_for_live_changes_though_there_were_none_lately() -> None:
    assert standing(used=8_999).kept_for_live == 1_000
    assert standing(used=8_999).may_go(waits=False)
    assert not standing(used=9_000).may_go(waits=False)
    assert standing(used=9_900, hours=1).may_go(waits=False), "the day is nearly over: what is left is no use tomorrow"


def test_what_waits_goes_on_with_a_good_deal_more_only() -> None:
    just_enough = standing(used=8_950)
    assert just_enough.may_go(waits=False)
    assert not just_enough.may_go(waits=True)
    assert standing(used=8_800).may_go(waits=True)


@pytest.mark.parametrize(
    ("found", "hours"),
    [
        (standing(used=4_000, live=1_000), 6.0),
        (standing(used=4_000, live=100), None),
        (standing(used=10_000, live=0), 0.0),
        (standing(used=9_000, live=500, hours=1.9), None),
    ],
)
def test_when_it_runs_out_at_the_present_rate(found: Standing, hours: float | None) -> None:
    assert found.runs_out_in_seconds() == (None if hours is None else hours * HOUR)


def test_the_forecast_counts_what_can_wait_and_the_need_of_live_changes_does_not() -> None:
    found = standing(used=1_000, live=100, per_hour=1_000, hours=10)
    assert found.forecast == 11_000
    assert found.live_need == 1_000
    assert found.runs_out_in_seconds() == 9 * HOUR
    assert found.runs_out_in_seconds(live=True) is None


@given(rate=st.floats(1, 5_000), hours=st.floats(0.5, 24), left=st.integers(50, 50_000))
def test_longer_waits_bring_a_rate_that_follows_them_down_to_what_is_left(rate: float, hours: float, left: int) -> None:
    """Where half as many batches carry the same changes, two steps are enough, as far as waits may be lengthened at all."""
    stretch = Stretch()
    for _ in range(3):
        stretch.step(standing(allowed=left, live=rate / stretch.factor, hours=hours).tightness)
    need = rate / stretch.factor * hours
    assert need <= left * AIM * 1.001 or stretch.factor == 60.0
    assert stretch.factor == 1.0 or need >= left * AIM * 0.5


def test_waits_become_what_they_were_when_it_is_over() -> None:
    stretch = Stretch()
    stretch.step(10.0)
    assert stretch.wait_seconds(10.0) > 100
    for _ in range(5):
        stretch.step(0.0)
    assert stretch.wait_seconds(10.0) == 10.0
    assert stretch.wait_seconds(0.0) == 0.0


@pytest.mark.parametrize("linger", [0.0, 0.05, 10.0, 900.0])
def test_a_lengthened_wait_is_never_shorter_and_ends(linger: float) -> None:
    stretch = Stretch()
    stretch.step(1_000.0)
    assert linger < stretch.wait_seconds(linger) <= LONGEST_LINGER_SECONDS or stretch.wait_seconds(linger) == linger == 900.0


def test_calls_that_could_have_waited_are_counted_apart() -> None:
    budget, rate, late = DailyBudget("calls", 100, Clock()), Rate(), Rate()
    for now in (0.0, 60.0):
        rate.add(budget.count(), now)
        late.add(budget.in_background, now)
        budget.take(3)
        with background():
            budget.take(20)
        budget.take()
    rate.add(budget.count(), 120.0)
    late.add(budget.in_background, 120.0)
    assert (rate.in_span(120.0), late.in_span(120.0)) == (48, 40)


def test_no_more_is_taken_than_the_service_has_left_and_the_reason_is_said() -> None:
    budget = DailyBudget("Marketo calls", 100, Clock())
    budget.take(10)
    budget.told(5, "others were here", for_seconds=HOUR)
    budget.take(5)
    with pytest.raises(BudgetSpent, match="no more Marketo calls are left for today after 15 of 100: others were here"):
        budget.take()
    budget.told(500, "others were here", for_seconds=HOUR)
    assert budget.left() == 85, "its own limit stays"


def test_what_was_told_is_forgotten_in_time_with_the_day_and_with_the_clock() -> None:
    """Else nobody would call, and so nobody would hear that there is more."""
    for moment in (lambda clock, _: setattr(clock, "at", NOON + 901), lambda _, budget: budget.carry_over(NOON, NOON - DAY)):
        clock = Clock()
        budget = DailyBudget("calls", 100, clock)
        budget.told(0, "none", for_seconds=900.0)
        assert budget.left() == 0
        moment(clock, budget)
        assert budget.left() == 100
    clock = Clock()
    budget = DailyBudget("calls", 100, clock)
    budget.told(0, "none", for_seconds=3 * DAY)
    clock.at += DAY
    assert budget.left() == 100
