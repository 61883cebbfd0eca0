"""How much Marketo is given at a time: less where it is too much for it, and all of it again when that is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.marketo.pace import PROBE_SECONDS_MOST, SLOW_CALLS, STEP_SECONDS, Dial, Pace

WRITE, READ = "POST /rest/v1/leads.json", "GET /rest/v1/leads.json"
HOUR = 3600.0


@dataclass
class Marketo:
    """A service that is called with as much at a time as the pace says; each call takes what `seconds` says of it.

    More than `records_most` in a call answer 604 after a minute, more than `calls_most` at once 615 immediately.
    """

    pace: Pace = field(default_factory=lambda: Pace.full(300, 5))
    records_most: int = 300
    calls_most: int = 10
    seconds: Callable[[int, int], float] = lambda records, at_once: 0.5 + records / 200  # noqa: ARG005 - others do
    now: float = 0.0
    refusals: list[float] = field(default_factory=list)
    calls: int = 0

    def work(self, seconds: float, *, records: int = 300) -> None:
        """For so long, everything that may be sent is sent, call after call, as many at once as may be."""
        until = self.now + seconds
        while self.now < until:
            began, most, at_once = self.now, min(records, self.pace.batch_size.value), self.pace.concurrency.value
            took = self._took(most, at_once)
            self.now += took
            for number in range(at_once):
                self._answer(most, number + 1, began)
            self.now += 3.0

    def _took(self, records: int, at_once: int) -> float:
        return 60.0 if records > self.records_most else self.seconds(records, at_once)

    def _answer(self, records: int, number: int, began: float) -> None:
        self.calls += 1
        code = "604" if records > self.records_most else "615" if number > self.calls_most else ""
        if code:
            self.refusals.append(self.now)
            self.pace.refused(code, WRITE, records=records, began=began, now=self.now)
        else:
            self.pace.answered(WRITE, records=records, at_once=number, began=began, now=self.now)

    def refused_since(self, moment: float) -> int:
        """How many calls were refused after that."""
        return sum(at > moment for at in self.refusals)


def test_it_begins_with_what_is_set_and_stays_there_where_all_is_well() -> None:
    marketo = Marketo()
    marketo.work(HOUR)
    assert marketo.pace.now == (300, 5)
    assert marketo.pace.is_full


def test_a_batch_that_took_too_long_halves_and_those_that_were_under_way_with_it_say_nothing_new() -> None:
    pace = Pace.full(300, 5)
    for _ in range(5):
        pace.refused("604", WRITE, records=300, began=0.0, now=90.0)
    assert pace.now == (150, 5)
    pace.refused("604", WRITE, records=150, began=90.0, now=180.0)
    assert pace.now == (75, 5)


@pytest.mark.parametrize("code", ["606", "615"])
def test_calls_refused_for_others_halve_what_goes_at_once_and_are_one_piece_of_news(code: str) -> None:
    pace = Pace.full(300, 5)
    for ended in (1.0, 1.1, 1.2):
        pace.refused(code, WRITE, records=300, began=0.5, now=ended)
    assert pace.now == (300, 2)
    pace.refused(code, READ, records=0, began=30.0, now=30.1)
    assert pace.now == (300, 1)


def test_a_single_record_that_took_too_long_says_that_marketo_is_crowded() -> None:
    pace = Pace.full(300, 4)
    pace.refused("604", WRITE, records=1, began=0.0, now=90.0)
    assert pace.now == (300, 2)


@pytest.mark.parametrize("code", ["1003", "608", "611", "601", "607", "unknown"])
def test_other_refusals_change_nothing(code: str) -> None:
    pace = Pace.full(300, 5)
    pace.refused(code, WRITE, records=300, began=0.0, now=1.0)
    assert pace.is_full


@pytest.mark.parametrize("records_most", [299, 200, 149, 100, 50, 7, 2])
def test_where_fewer_records_go_in_time_it_finds_how_many_and_hardly_tries_again(records_most: int) -> None:
    marketo = Marketo(records_most=records_most)
    marketo.work(2 * HOUR)
    assert records_most / 3 <= marketo.pace.batch_size.value <= max(records_most, 2)
    settled = marketo.now
    marketo.work(4 * HOUR)
    probes = 4 * HOUR / PROBE_SECONDS_MOST
    assert marketo.refused_since(settled) <= (probes + 1) * 5, "five calls are under way at once"
    assert marketo.calls > 40 * len(marketo.refusals)


@pytest.mark.parametrize("calls_most", [1, 2, 3, 4])
def test_where_others_leave_less_room_it_takes_what_there_is(calls_most: int) -> None:
    marketo = Marketo(calls_most=calls_most)
    marketo.work(2 * HOUR)
    assert max(calls_most - 1, 1) <= marketo.pace.concurrency.value <= calls_most + 1
    settled = marketo.now
    marketo.work(4 * HOUR)
    assert marketo.refused_since(settled) <= 4 * HOUR / PROBE_SECONDS_MOST + 1


def test_all_goes_again_soon_after_the_trouble_is_over_however_long_it_was() -> None:
    marketo = Marketo(records_most=40, calls_most=1)
    marketo.work(24 * HOUR)
    assert not marketo.pace.is_full
    marketo.records_most, marketo.calls_most = 300, 10
    marketo.work(PROBE_SECONDS_MOST + 12 * STEP_SECONDS + 60)
    assert marketo.pace.is_full


def test_it_goes_up_slowly() -> None:
    pace = Pace.full(300, 5)
    pace.refused("604", WRITE, records=300, began=0.0, now=0.0)
    seen = []
    for second in range(50):
        pace.answered(WRITE, records=100, at_once=1, began=float(second), now=second + 0.5)
        seen.append(pace.batch_size.value)
    assert seen[: int(STEP_SECONDS)] == [150] * int(STEP_SECONDS)
    assert sorted(set(seen)) == [150, 180, 210, 240], "and not to where it was too much, for now"


def test_a_slow_service_gets_fewer_calls_at_once_and_all_again_when_it_is_as_it_was() -> None:
    marketo = Marketo()
    marketo.work(600)
    marketo.seconds = lambda records, at_once: 6 * (0.5 + records / 200)  # noqa: ARG005 - it does not depend on it
    marketo.work(60)
    assert marketo.pace.concurrency.value < 5
    marketo.seconds = lambda records, at_once: 0.5 + records / 200  # noqa: ARG005
    marketo.work(PROBE_SECONDS_MOST)
    assert marketo.pace.is_full


def test_a_service_that_stays_slow_is_what_is_usual_after_a_while() -> None:
    marketo = Marketo()
    marketo.work(600)
    marketo.seconds = lambda records, at_once: 6 * (0.5 + records / 200)  # noqa: ARG005
    marketo.work(HOUR)
    changes = {marketo.pace.now}
    for _ in range(200):
        marketo.work(60)
        changes.add(marketo.pace.now)
    assert changes == {(300, 5)}


def test_a_service_that_is_slower_with_each_call_at_once_comes_to_rest() -> None:
    marketo = Marketo(seconds=lambda records, at_once: (0.5 + records / 200) * at_once**1.5)
    marketo.pace.concurrency.value = 1
    marketo.work(6 * HOUR)
    seen = set()
    for _ in range(100):
        marketo.work(60)
        seen.add(marketo.pace.now)
    assert len(seen) == 1


@pytest.mark.parametrize("slow", [1, SLOW_CALLS // 2])
def test_a_few_slow_calls_change_nothing(slow: int) -> None:
    pace, now = Pace.full(300, 5), 0.0
    for number in range(200):
        took = 80.0 if 100 <= number < 100 + slow else 2.5
        pace.answered(WRITE, records=300, at_once=1, began=now, now=now + took)
        now += took
        assert pace.is_full


def test_small_batches_after_large_ones_are_not_taken_for_slow() -> None:
    pace, now = Pace.full(300, 5), 0.0
    for number in range(400):
        records = 300 if number % 40 < 20 else 1
        took = 2.0 + records / 100
        pace.answered(WRITE, records=records, at_once=1, began=now, now=now + took)
        now += took
        assert pace.is_full


def test_quick_calls_are_never_called_slow() -> None:
    pace, now = Pace.full(300, 5), 0.0
    for number in range(100):
        took = 0.01 if number < 50 else 1.0
        pace.answered(WRITE, records=300, at_once=1, began=now, now=now + took)
        now += took
        assert pace.is_full


def test_reading_as_many_does_not_prove_that_writing_them_is_well() -> None:
    pace = Pace.full(300, 5)
    pace.refused("604", WRITE, records=300, began=0.0, now=0.0)
    for _ in range(10):
        pace.answered(READ, records=300, at_once=1, began=1.0, now=1.5)
    assert pace.batch_size.refused_at == 300


def test_another_setting_holds_at_once_and_what_was_learnt_stays_below_it() -> None:
    dial = Dial(300)
    dial.within(200)
    assert (dial.value, dial.most) == (200, 200)
    dial.lower(200, 0.0)
    dial.within(300)
    assert dial.value == 100
    dial.within(50)
    assert (dial.value, dial.refused_at) == (50, None)


@dataclass(frozen=True)
class Seen:
    """One observation."""

    kind: str
    records: int
    took: float
    pause: float
    at_once: int


SEEN = st.builds(
    Seen,
    kind=st.sampled_from(("", "", "", "604", "606", "615", "608")),
    records=st.integers(0, 300),
    took=st.floats(0, 100),
    pause=st.floats(0, 1000),
    at_once=st.integers(1, 10),
)


def observe(pace: Pace, seen: Seen, now: float) -> float:
    """One call begins now and ends as it is said."""
    if seen.kind:
        pace.refused(seen.kind, WRITE, records=seen.records, began=now, now=now + seen.took)
    else:
        pace.answered(WRITE, records=seen.records, at_once=seen.at_once, began=now, now=now + seen.took)
    return now + seen.took + seen.pause


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 20), st.lists(SEEN, max_size=80))
def test_whatever_happens_it_is_between_one_and_what_is_set(batch_size: int, concurrency: int, history: list[Seen]) -> None:
    pace, now = Pace.full(batch_size, concurrency), 0.0
    for seen in history:
        now = observe(pace, seen, now)
        assert 1 <= pace.batch_size.value <= batch_size
        assert 1 <= pace.concurrency.value <= concurrency


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 20), st.lists(SEEN, max_size=40))
def test_whatever_has_happened_all_goes_again_when_it_is_over(batch_size: int, concurrency: int, history: list[Seen]) -> None:
    pace, now = Pace.full(batch_size, concurrency), 0.0
    for seen in history:
        now = observe(pace, seen, now)
    marketo = Marketo(pace=pace, now=now, calls_most=20)
    marketo.work(2 * HOUR)
    assert pace.is_full
    assert not marketo.refusals
