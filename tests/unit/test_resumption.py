"""When a lost stream is taken up again: at once where it had stood, and never in a hurry twice."""

from __future__ import annotations

import pytest

from stream.retry import AT_ONCE_EVERY_SECONDS, STEADY_SECONDS, Backoff, Resumption


def lost(resumption: Resumption, now_s: float, *, stood: bool = True, passes: bool = True, lasted_seconds: float = 5.0) -> float:
    return resumption.wait_seconds(now_s=now_s, lasted_seconds=lasted_seconds, stood=stood, passes=passes)


def test_a_stream_that_stood_is_taken_up_at_once() -> None:
    assert lost(Resumption(Backoff(1.0, 60.0)), 1000.0) == 0.0


def test_one_that_is_lost_again_at_once_waits_longer_each_time() -> None:
    resumption = Resumption(Backoff(4.0, 4.0))
    waits = [lost(resumption, 1000.0 + number / 10) for number in range(20)]
    assert waits[0] == 0.0
    assert all(1.0 <= wait <= 4.0 for wait in waits[1:])
    assert max(waits[5:]) > 1.0


def test_after_a_while_it_is_taken_up_at_once_again_and_its_backoff_is_new() -> None:
    resumption = Resumption(Backoff(1.0, 60.0))
    lost(resumption, 1000.0)
    for _ in range(10):
        lost(resumption, 1001.0, stood=False)
    assert lost(resumption, 1000.0 + AT_ONCE_EVERY_SECONDS) == 0.0
    assert resumption.failures == 0
    assert lost(resumption, 1000.5 + AT_ONCE_EVERY_SECONDS, stood=False) == 0.25


@pytest.mark.parametrize(("passes", "least_seconds"), [(True, 0.25), (False, 1.0)])
def test_what_never_stood_waits(passes: bool, least_seconds: float) -> None:
    assert lost(Resumption(Backoff(1.0, 60.0)), 1000.0, stood=False, passes=passes) >= least_seconds


def test_a_refusal_that_does_not_pass_is_never_tried_at_once() -> None:
    resumption = Resumption(Backoff(1.0, 60.0))
    assert all(lost(resumption, 1000.0 * number, passes=False) >= 1.0 for number in range(10))


def test_the_waits_of_an_outage_grow_to_the_most_and_a_steady_stream_begins_anew() -> None:
    resumption = Resumption(Backoff(1.0, 60.0))
    waits = [lost(resumption, 1000.0, stood=False) for _ in range(40)]
    assert max(waits[:3]) <= 1.0
    assert 10.0 < max(waits) <= 60.0
    assert lost(resumption, 1000.0, stood=False, lasted_seconds=STEADY_SECONDS + 1) <= 0.25
