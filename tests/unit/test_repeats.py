"""The same line is said at once and then counted; nothing is lost, and what is over is said once: on a fake clock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from stream.logs.events import REGISTRY
from stream.logs.repeats import GAPS_SECONDS, SAME_MOST, Repeats
from tests.property.depth import examples


class Log:
    """Lines through the processor, as an operator sees them; `at` is the time."""

    def __init__(self) -> None:
        self.at = 0.0
        self.repeats = Repeats(lambda: self.at)
        self.said: list[tuple[float, dict[str, Any]]] = []

    def say(self, name: str, **keys: Any) -> bool:
        """Log a line; whether it was said."""
        level = REGISTRY[name].levels[0]
        try:
            line = self.repeats(None, level, {"event": name, **keys})
        except structlog.DropEvent:
            return False
        self.said.append((self.at, dict(line)))
        return True

    def look(self, *, everything: bool = False) -> None:
        """As the heartbeat does every two seconds."""
        self.said += [(self.at, dict(line)) for _, line in self.repeats.due(everything=everything)]

    def wait(self, seconds: float) -> None:
        """So much time passes."""
        end = self.at + seconds
        while self.at < end:
            self.at = min(self.at + 2.0, end)
            self.look()

    def counts(self, name: str) -> list[int]:
        """`repeated` of each line of this event that was said; 0 where it tells none."""
        return [line.get("repeated", 0) for _, line in self.said if line["event"] == name]


def lost(log: Log, cause: str = "refused") -> bool:
    return log.say("stream_lost", cause=cause, cure="", retry_seconds=1.0)


def test_twelve_hours_of_the_same_are_a_handful_of_lines() -> None:
    log, tries = Log(), 0
    while log.at < 12 * 3600:
        lost(log)
        tries += 1
        log.wait(20.0)
    times = [at for at, _ in log.said]
    assert times[0] == 0
    assert [round(later - earlier, -1) for earlier, later in pairwise(times)] == [*GAPS_SECONDS, GAPS_SECONDS[-1]]
    said = sum(count or 1 for count in log.counts("stream_lost"))
    assert log.say("stream_subscribed", channel="/data/ChangeEvents", replay_from=7)
    assert log.said[-1][1]["repeated"] == tries
    assert log.said[-1][1]["lasted_seconds"] == pytest.approx(12 * 3600, abs=30)
    assert said <= tries


def test_another_cause_is_said_at_once_and_the_end_ends_both() -> None:
    log = Log()
    assert lost(log)
    assert not lost(log)
    assert lost(log, "sign-in refused")
    assert log.say("stream_subscribed", channel="", replay_from=7)
    assert log.said[-1][1]["repeated"] == 3
    log.wait(40_000)
    assert len(log.said) == 3, "nothing is told of what is over and was said to be over"


def test_an_end_of_nothing_tells_no_count() -> None:
    log = Log()
    assert log.say("stream_subscribed", channel="", replay_from=-1)
    assert "repeated" not in log.said[0][1]


def test_what_comes_and_goes_every_second_is_counted_and_its_end_too() -> None:
    log = Log()
    for _ in range(600):
        log.say("deliver_paused", code="606", cause="rate limit", cure="")
        log.wait(0.5)
        log.say("deliver_resumed", code="606", lasted_seconds=0.5)
        log.wait(0.5)
    assert len(log.said) <= 10
    log.wait(10_000)
    assert log.said[-1][1]["event"] == "deliver_resumed", "an operator is left knowing that it is over"
    assert sum(log.counts("deliver_resumed")) == 600, "each time is in one of the counts"


def test_a_condition_that_began_unsaid_and_lasts_is_said_by_the_next_look() -> None:
    log = Log()
    log.say("deliver_paused", code="606", cause="", cure="")
    log.say("deliver_resumed", code="606", lasted_seconds=1.0)
    log.wait(10.0)
    assert not log.say("deliver_paused", code="606", cause="", cure="")
    log.wait(60.0)
    assert log.said[-1][1]["event"] == "deliver_paused"
    assert log.said[-1][1]["repeated"] == 1
    assert log.say("deliver_resumed", code="606", lasted_seconds=60.0)


def test_records_are_said_one_by_one_at_first_and_then_counted() -> None:
    log = Log()
    for number in range(300):
        log.say("dead_letter", object="Lead", id=str(number), code="1006", cause="", cure="")
    assert log.say("dead_letter", object="Lead", id="other", code="1003", cause="", cure="")
    log.wait(60.0)
    assert log.counts("dead_letter") == [0] * 11 + [290]


def test_what_is_counted_adds_up() -> None:
    log = Log()
    for number in range(1, 11):
        log.say("scores_written", object="Lead", records=number, refused=0)
    log.say("scores_written", object="Contact", records=5, refused=1)
    log.wait(60.0)
    summed = log.said[-1][1]
    assert (summed["object"], summed["records"], summed["refused"], summed["repeated"]) == ("Lead", 54, 0, 9)


def test_a_loop_is_ended_only_by_itself() -> None:
    log = Log()
    log.say("loop_hangs", loop="deliver", limit_seconds=60, where=[])
    log.say("loop_hangs", loop="scores", limit_seconds=60, where=[])
    log.say("loop_goes_on", loop="scores", silent_seconds=70)
    assert log.said[-1][1]["repeated"] == 1
    assert not log.say("loop_hangs", loop="deliver", limit_seconds=60, where=[])


def test_after_a_quiet_time_it_is_news_again() -> None:
    log = Log()
    assert log.say("reread_asked", object="Lead", why="a gap")
    log.wait(2 * GAPS_SECONDS[0] + 2)
    assert log.say("reread_asked", object="Lead", why="a gap")
    assert "repeated" not in log.said[-1][1]
    assert not log.say("reread_asked", object="Lead", why="a gap")


def test_ever_other_causes_are_no_way_round_it() -> None:
    log = Log()
    for number in range(10_000):
        lost(log, f"request {number} failed")
        log.wait(1.0)
    assert len(log.said) <= SAME_MOST + 10
    assert len(log.repeats._held) <= SAME_MOST + 1


def test_what_is_still_counted_at_the_end_is_said_then() -> None:
    log = Log()
    for _ in range(5):
        lost(log)
    log.look(everything=True)
    assert log.counts("stream_lost") == [0, 4]


def test_what_is_never_the_same_is_never_counted() -> None:
    log = Log()
    assert all(log.say("config_reloaded", changed={}) for _ in range(100))


def lines() -> st.SearchStrategy[list[tuple[str, float]]]:
    """Events that are counted and have no end, with the time until the next."""
    return st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 4000)), max_size=40)


@given(lines())
@examples(200, 5000)
def test_every_line_is_said_or_counted_once(steps: list[tuple[str, float]]) -> None:
    log = Log()
    for obj, seconds in steps:
        log.say("reread_asked", object=obj, why="")
        log.at += seconds
        log.look()
    log.look(everything=True)
    for obj in ("a", "b"):
        said = [line.get("repeated", 1) for _, line in log.said if line["object"] == obj]
        assert sum(said) == sum(each == obj for each, _ in steps)
