"""The proof that loops go on: who is overdue and when, what counts as a sign of life and what does not, on a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from stream.delivery.exclusion import Exclusion
from stream.watch import pulse
from stream.watch.pulse import Pulses


class StandingClock:
    """Time passes only when a test says so."""

    seconds = 1000.0

    def now(self) -> float:
        """The time."""
        return self.seconds

    def monotonic(self) -> float:
        """The time."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps here."""
        raise AssertionError(f"nothing here may run by a timer, and somebody sleeps {seconds} s")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def pulses(clock: StandingClock) -> Pulses:
    return Pulses(clock)


@asynccontextmanager
async def watched(
    pulses: Pulses, name: str, run: Callable[[], Awaitable[None]], limit_seconds: float = 100.0
) -> AsyncIterator[asyncio.Task[None]]:
    """A loop that runs under watch, begun and let go as far as it goes."""
    task = asyncio.create_task(pulses.watch(name, limit_seconds, run))
    await settle()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)  # noqa: TID251 - no time passes


class Steps:
    """A loop that does one thing each time it is told to."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Callable[[], None]] = asyncio.Queue()

    async def run(self) -> None:
        while True:
            (await self._told.get())()

    async def do(self, what: Callable[[], None]) -> None:
        self._told.put_nowait(what)
        await settle()


def names(pulses: Pulses) -> list[str]:
    return [each.name for each in pulses.overdue()]


async def test_a_loop_is_overdue_when_its_time_is_over_and_not_before(pulses: Pulses, clock: StandingClock) -> None:
    async with watched(pulses, "reading", Steps().run):
        clock.seconds += 99.9
        assert names(pulses) == []
        clock.seconds += 0.1
        assert names(pulses) == ["reading"]
    assert pulses.overdue() == [], "a loop that has ended hangs no more"


@pytest.mark.parametrize("sign", [pulse.attempted, pulse.beat])
async def test_each_sign_of_life_gives_the_whole_time_again(
    pulses: Pulses, clock: StandingClock, sign: Callable[[], None]
) -> None:
    steps = Steps()
    async with watched(pulses, "reading", steps.run):
        clock.seconds += 90
        await steps.do(sign)
        clock.seconds += 99
        assert names(pulses) == []
        clock.seconds += 1
        assert names(pulses) == ["reading"]
        await steps.do(sign)
        assert names(pulses) == [], "one that goes on after all is watched as before"


async def test_a_wait_that_was_announced_is_no_delay(pulses: Pulses, clock: StandingClock) -> None:
    steps = Steps()
    async with watched(pulses, "load", steps.run):
        await steps.do(lambda: pulse.attempted(900.0))
        clock.seconds += 999
        assert names(pulses) == []
        clock.seconds += 1
        assert names(pulses) == ["load"]
        await steps.do(lambda: pulse.attempted(900.0))
        await steps.do(pulse.beat)
        clock.seconds += 100
        assert names(pulses) == ["load"], "one that is back early has its usual time"


async def test_only_attempts_count_for_being_ready(pulses: Pulses) -> None:
    steps = Steps()
    async with watched(pulses, "scores", steps.run):
        await steps.do(pulse.beat)
        assert pulses.untried(("scores", "load")) == ["scores", "load"]
        await steps.do(pulse.attempted)
        assert pulses.untried(("scores", "load")) == ["load"]


async def test_one_loop_proves_nothing_for_another(pulses: Pulses, clock: StandingClock) -> None:
    steps = Steps()
    async with watched(pulses, "deliver", steps.run), watched(pulses, "capture", Steps().run):
        clock.seconds += 100
        await steps.do(pulse.attempted)
        assert names(pulses) == ["capture"]


async def test_a_task_that_a_loop_starts_proves_for_the_loop_unless_it_leaves(pulses: Pulses, clock: StandingClock) -> None:
    steps = Steps()
    tasks: list[asyncio.Task[None]] = []

    async def part(*, leaves: bool) -> None:
        if leaves:
            pulse.leave()
        pulse.beat()

    async with watched(pulses, "capture", steps.run):
        clock.seconds += 100
        await steps.do(lambda: tasks.append(asyncio.create_task(part(leaves=True))))
        assert names(pulses) == ["capture"]
        await steps.do(lambda: tasks.append(asyncio.create_task(part(leaves=False))))
        assert names(pulses) == []


async def test_whoever_is_not_watched_may_beat_all_the_same() -> None:
    pulse.attempted()
    pulse.beat()
    with pulse.batch("Lead"), pulse.aside():
        pulse.leave()
    assert pulse.mine() is None


async def test_a_batch_that_hangs_is_seen_though_all_others_go_on(pulses: Pulses, clock: StandingClock) -> None:
    steps, other, hung = Steps(), Steps(), Steps()
    tasks: list[asyncio.Task[None]] = []

    async def send(name: str, run: Callable[[], Awaitable[None]]) -> None:
        with pulse.batch(name):
            await run()

    async with watched(pulses, "deliver", steps.run):
        await steps.do(lambda: tasks.extend([asyncio.create_task(send("Lead", other.run))]))
        await steps.do(lambda: tasks.extend([asyncio.create_task(send("Account", hung.run))]))
        clock.seconds += 100
        await steps.do(pulse.attempted)
        await other.do(pulse.beat)
        assert names(pulses) == ["deliver Account"]
        for task in tasks:
            task.cancel()


async def test_who_waits_for_another_batch_is_excused_as_long_as_one_is_under_way(pulses: Pulses, clock: StandingClock) -> None:
    exclusion, first, steps = Exclusion(), Steps(), Steps()
    tasks: list[asyncio.Task[None]] = []

    async def send(name: str, run: Callable[[], Awaitable[None]]) -> None:
        with pulse.batch(name):
            async with exclusion.hold({"id:1"}):
                await run()

    async with watched(pulses, "deliver", steps.run):
        await steps.do(lambda: tasks.append(asyncio.create_task(send("Lead", first.run))))
        await steps.do(lambda: tasks.append(asyncio.create_task(send("Contact", Steps().run))))
        for _ in range(3):
            clock.seconds += 90
            await steps.do(pulse.attempted)
            await first.do(pulse.beat)
            assert names(pulses) == []
        clock.seconds += 100
        await steps.do(pulse.attempted)
        assert names(pulses) == ["deliver Lead"], "it is the other one that hangs"
        tasks[0].cancel()
        await settle()
        assert names(pulses) == [], "its turn has come, and its time begins"
        clock.seconds += 100
        await steps.do(pulse.attempted)
        assert names(pulses) == ["deliver Contact"]
        tasks[1].cancel()


async def test_nobody_left_to_wait_for_is_no_excuse(pulses: Pulses, clock: StandingClock) -> None:
    async def lost() -> None:
        with pulse.batch("Lead"), pulse.aside():
            await asyncio.Event().wait()

    async with watched(pulses, "deliver", lost):
        clock.seconds += 100
        assert "deliver Lead" in names(pulses)


async def test_an_older_sign_of_life_takes_nothing_away(pulses: Pulses, clock: StandingClock) -> None:
    async with watched(pulses, "capture", Steps().run):
        [own] = pulses.watched
        own.beat(at=clock.seconds - 50)
        clock.seconds += 99
        assert names(pulses) == []
        own.beat(at=clock.seconds - 10)
        clock.seconds += 89
        assert names(pulses) == []
        clock.seconds += 1
        assert names(pulses) == ["capture"]


async def test_what_nobody_can_help_gives_everybody_the_whole_time_again(pulses: Pulses, clock: StandingClock) -> None:
    async with watched(pulses, "reading", Steps().run):
        clock.seconds += 99
        pulses.excuse()
        clock.seconds += 99
        assert names(pulses) == []
        clock.seconds += 1
        assert names(pulses) == ["reading"]


async def test_where_it_hangs_is_told_from_the_loop_down_to_the_wait(pulses: Pulses) -> None:
    async def deep() -> None:
        await asyncio.Event().wait()

    async def loop() -> None:
        await deep()

    async with watched(pulses, "load", loop) as task:
        told = pulse.where(task)
    assert [line.split(":")[0] for line in told] == ["pulse.py", "test_pulse.py", "test_pulse.py", "locks.py"]
    assert pulse.where(None) == []
