"""Marketo's short-term limits: never more arrivals in 20 seconds than configured, never more at once, and nobody starves."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.marketo.limits import CallLimits, Gate

START = 1000.0


class JumpingSelector(selectors.SelectSelector):
    """Waits no real time: it moves the loop's clock to where it would have waited until."""

    now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move on; waiting for what can never happen is an error."""
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will wake them")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all tasks wait."""

    def __init__(self) -> None:
        self._virtual = JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """The virtual time."""
        return self._virtual.now


class LoopClock:
    """The running loop's time."""

    def now(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let the loop's time pass."""
        await asyncio.sleep(seconds)  # noqa: TID251 - this is the clock


def in_virtual_time(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in a loop of its own, whose waits take no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_awaited(scenario))


async def _awaited(scenario: Callable[[], Awaitable[None]]) -> None:
    await scenario()


@dataclass
class Caller:
    """One call: when it is wanted, how long its answer takes, when in between Marketo counts it, when it is given up, if ever."""

    wanted: float
    latency: float
    arrives: float
    gives_up_after: float | None = None
    started: float | None = None
    ended: float = math.nan

    @property
    def arrival(self) -> float:
        """When Marketo counted it."""
        assert self.started is not None
        return self.started + self.arrives * (self.ended - self.started)


@dataclass
class Run:
    """A number of callers at one gate, and what came of it."""

    callers: Sequence[Caller]
    calls: int
    concurrency: int
    clock: LoopClock = field(default_factory=LoopClock)
    order: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self) -> None:
        """Let everybody call; returns when the last one is through."""
        gate = Gate(self.clock, calls_per_20s=self.calls, concurrency=self.concurrency)
        async with asyncio.TaskGroup() as group:
            for number in range(len(self.callers)):
                group.create_task(self._call(gate, number))

    async def _call(self, gate: Gate, number: int) -> None:
        caller = self.callers[number]
        await self.clock.sleep(caller.wanted)
        try:
            async with asyncio.timeout(caller.gives_up_after), gate.call():
                self.order.append(number)
                caller.started = self.clock.monotonic()
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    await self.clock.sleep(caller.latency)
                finally:
                    self.at_once -= 1
                    caller.ended = self.clock.monotonic()
        except TimeoutError:
            assert caller.gives_up_after is not None


def most_in_any_window(moments: Sequence[float], seconds: float = 20.0) -> int:
    """The most moments that any stretch of so many seconds holds, both ends counted in."""
    sorted_moments = sorted(moments)
    return max((sum(first <= each <= first + seconds for each in sorted_moments) for first in sorted_moments), default=0)


TIMES = st.integers(0, 9000).map(lambda hundredths: hundredths / 100)
CALLERS = st.lists(
    st.builds(
        Caller,
        wanted=st.one_of(st.just(0.0), TIMES),
        latency=st.one_of(st.just(0.0), TIMES.map(lambda seconds: seconds / 30), TIMES),
        arrives=st.sampled_from((0.0, 0.5, 1.0)),
        gives_up_after=st.one_of(st.none(), st.none(), TIMES),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(callers=CALLERS, calls=st.integers(1, 12), concurrency=st.integers(1, 6))
def test_no_20_seconds_see_more_calls_than_configured_whatever_the_latency(
    callers: list[Caller], calls: int, concurrency: int
) -> None:
    run = Run(callers, calls, concurrency)
    in_virtual_time(run)
    started = [caller for caller in callers if caller.started is not None]
    assert most_in_any_window([caller.arrival for caller in started]) <= calls
    assert most_in_any_window([caller.started or 0.0 for caller in started]) <= calls
    assert run.most_at_once <= concurrency


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(callers=CALLERS, calls=st.integers(1, 12), concurrency=st.integers(1, 6))
def test_everybody_who_does_not_give_up_is_served_in_the_order_they_came(
    callers: list[Caller], calls: int, concurrency: int
) -> None:
    run = Run(callers, calls, concurrency)
    in_virtual_time(run)
    assert all(caller.started is not None for caller in callers if caller.gives_up_after is None)
    wanted = [callers[number].wanted for number in run.order]
    assert wanted == sorted(wanted)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls=st.integers(1, 12), concurrency=st.integers(1, 6), count=st.integers(1, 60))
def test_the_limit_is_used_to_the_full(calls: int, concurrency: int, count: int) -> None:
    callers = [Caller(0.0, 0.0, 0.0) for _ in range(count)]
    in_virtual_time(Run(callers, calls, concurrency))
    windows = (count - 1) // calls
    assert max(caller.started or 0.0 for caller in callers) - START == pytest.approx(windows * 20.25, abs=0.1)


def test_a_rate_refusal_holds_everybody_for_20_seconds_and_a_concurrency_refusal_briefly() -> None:
    starts: dict[str, float] = {}

    async def scenario() -> None:
        clock = LoopClock()
        gate = Gate(clock)

        async def call(name: str) -> None:
            async with gate.call():
                starts[name] = clock.monotonic() - START

        for code in ("606", "615", "1003"):
            async with gate.call():
                gate.refused(code)
            async with asyncio.TaskGroup() as group:
                group.create_task(call(f"one after {code}"))
                group.create_task(call(f"two after {code}"))

    in_virtual_time(scenario)
    assert starts["one after 606"] == starts["two after 606"] == pytest.approx(20.0, abs=0.1)
    assert starts["one after 615"] == starts["two after 615"] == pytest.approx(22.0, abs=0.1)
    assert starts["one after 1003"] == starts["one after 615"]


def test_a_short_hold_does_not_cut_a_longer_one() -> None:
    limits = CallLimits()
    limits.hold(100.0, 20.0)
    limits.hold(101.0, 2.0)
    assert limits.wait_seconds(110.0) == pytest.approx(10.0)
    assert limits.wait_seconds(120.0) == 0.0


def test_a_hold_that_begins_while_somebody_waits_holds_them_too() -> None:
    started: list[float] = []

    async def scenario() -> None:
        clock = LoopClock()
        gate = Gate(clock, concurrency=1)

        async def waiting() -> None:
            async with gate.call():
                started.append(clock.monotonic() - START)

        async with asyncio.TaskGroup() as group, gate.call():
            group.create_task(waiting())
            await clock.sleep(1.0)
            gate.refused("606")

    in_virtual_time(scenario)
    assert started == [pytest.approx(21.0, abs=0.1)]


def test_a_caller_cancelled_in_the_queue_leaves_no_place_taken() -> None:
    async def scenario() -> None:
        clock = LoopClock()
        gate = Gate(clock, calls_per_20s=1, concurrency=1)

        async def call() -> None:
            async with gate.call():
                pass

        async with gate.call():
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(call()) for _ in range(5)]
            await clock.sleep(1.0)
            for task in tasks[:4]:
                task.cancel()
            await asyncio.gather(*tasks[:4], return_exceptions=True)
            assert all(task.cancelled() for task in tasks[:4])
        await tasks[4]
        assert clock.monotonic() - START == pytest.approx(21.25, abs=0.1)

    in_virtual_time(scenario)


def test_a_call_that_fails_gives_its_place_back() -> None:
    async def scenario() -> None:
        gate = Gate(LoopClock(), concurrency=1)
        for _ in range(3):
            with pytest.raises(OSError, match="broken"):
                async with gate.call():
                    raise OSError("broken")

    in_virtual_time(scenario)


def test_the_decision_is_now_or_a_wait_or_when_a_call_has_ended() -> None:
    limits = CallLimits(calls_per_window=2, concurrency=2, margin_seconds=0.0)
    assert limits.wait_seconds(0.0) == 0.0
    limits.start()
    limits.start()
    assert limits.wait_seconds(5.0) == math.inf
    limits.end(6.0)
    assert limits.wait_seconds(6.0) == pytest.approx(20.0)
    assert limits.wait_seconds(26.0) == 0.0
