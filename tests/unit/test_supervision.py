"""What the service manager is told, and when: on a fake clock, and a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from store.errors import StoreBlocked
from stream.config.model import Marketo
from stream.marketo.client import Timeouts
from stream.operating.status import Status
from stream.watch import pulse
from stream.watch.notify import Notify
from stream.watch.pulse import Pulses
from stream.watch.supervision import FIRST_SECONDS, STATUS_LETTERS, STATUS_SECONDS, STILL_SECONDS, Supervision, line
from stream.watch.time_limits import LOOPS, time_limits
from tests.logged import captured


class SteppedClock:
    """Sleepers are woken when a test lets their time pass."""

    def __init__(self) -> None:
        self._at = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        """The time."""
        return self._at

    def monotonic(self) -> float:
        """The time."""
        return self._at

    async def sleep(self, seconds: float) -> None:
        """Sleep until the time was passed."""
        woken = asyncio.Event()
        self._sleepers.append((self._at + seconds, woken))
        await woken.wait()

    async def step(self, seconds: float) -> None:
        """Let so much time pass, in steps as small as anybody sleeps."""
        until = self._at + seconds
        while self._at < until:
            self._at = min([due for due, _ in self._sleepers if due > self._at] + [until])
            for due, woken in self._sleepers:
                if due <= self._at:
                    woken.set()
            self._sleepers = [(due, woken) for due, woken in self._sleepers if not woken.is_set()]
            for _ in range(10):
                await asyncio.sleep(0)  # noqa: TID251 - no time passes


@dataclass
class Scene:
    """A supervision that runs, what it watches, and what it said."""

    pulses: Pulses
    clock: SteppedClock
    listening: socket.socket
    status: Status
    fails: Exception | None = None
    excused: bool = False
    looks: int = 0
    logs: list[Any] = field(default_factory=list)
    tries: asyncio.Event = field(default_factory=asyncio.Event)
    supervision: Supervision = field(init=False)

    def heard(self) -> list[str]:
        """All messages since the last look."""
        found = []
        while True:
            try:
                found.append(self.listening.recv(4096).decode())
            except BlockingIOError:
                return found

    async def look(self) -> Status:
        """How it stands."""
        self.looks += 1
        if self.fails is not None:
            raise self.fails
        return self.status


def how(*reasons: str, waiting: int = 0, oldest: float | None = None, lately: float | None = None) -> Status:
    facts = {"backlog": {"Lead": waiting}, "freshness_seconds": {"p50": lately, "p99": lately, "oldest": oldest}}
    return Status("degraded" if reasons else "ok", reasons, facts)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        yield made


@asynccontextmanager
async def scene(listening: socket.socket, *, watchdog_seconds: float | None = 20.0, limit: float = 50.0) -> AsyncIterator[Scene]:
    """All loops stand still under watch, each with the same limit; nobody has tried anything yet."""
    clock = SteppedClock()
    pulses = Pulses(clock)
    made = Scene(pulses, clock, listening, how())
    made.supervision = Supervision(
        Notify(listening.getsockname(), watchdog_seconds), pulses, clock, made.look, lambda: made.excused
    )

    async def forever() -> None:
        await made.tries.wait()
        pulse.attempted()
        await asyncio.Event().wait()

    with captured() as made.logs:
        tasks = [asyncio.create_task(pulses.watch(name, limit, forever)) for name in LOOPS]
        tasks += [asyncio.create_task(made.supervision.run()), asyncio.create_task(made.supervision.tell())]
        await clock.step(0.5)
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def tries(here: Scene, *names: str) -> None:
    """These loops end an attempt."""
    for each in here.pulses.watched:
        if each.name in names:
            each.attempts += 1
            each.beat()


async def test_ready_is_told_once_when_every_loop_has_tried(listening: socket.socket) -> None:
    async with scene(listening) as here:
        tries(here, *(name for name in LOOPS if name != "deliver"))
        await here.clock.step(2)
        said = here.heard()
        assert "READY=1" not in said
        assert "STATUS=starting: deliver has not tried yet" in said
        tries(here, "deliver")
        await here.clock.step(30)
        assert here.heard().count("READY=1") == 1
        assert [each["still_trying"] for each in here.logs if each["event"] == "daemon_ready"] == [[]]


async def test_ready_is_told_as_soon_as_the_last_loop_has_tried(listening: socket.socket) -> None:
    async with scene(listening) as here:
        here.tries.set()
        said: list[str] = []
        while "READY=1" not in said:  # no time passes: the test's own limit ends it
            await asyncio.sleep(0)  # noqa: TID251 - no time passes
            said += here.heard()
        assert [each["after_seconds"] for each in here.logs if each["event"] == "daemon_ready"] == [0.0]


async def test_an_attempt_that_hangs_at_an_outage_delays_no_start(listening: socket.socket) -> None:
    async with scene(listening) as here:
        tries(here, *(name for name in LOOPS if name not in {"capture", "deliver"}))
        await here.clock.step(FIRST_SECONDS - 1)
        assert "READY=1" not in here.heard()
        await here.clock.step(2)
        assert "READY=1" in here.heard()
        assert [each["still_trying"] for each in here.logs if each["event"] == "daemon_ready"] == [["capture", "deliver"]]


async def test_the_watchdog_is_fed_as_long_as_every_loop_is_in_time(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=20, limit=50) as here:
        here.heard()
        for _ in range(20):
            tries(here, *LOOPS)
            await here.clock.step(10)
            assert "WATCHDOG=1" in here.heard(), "at least twice in the time that is asked for"


async def test_one_loop_that_hangs_starves_the_watchdog_and_is_named(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=20, limit=50) as here:
        told: list[str] = []
        for _ in range(12):
            await here.clock.step(10)
            tries(here, *(name for name in LOOPS if name != "reconcile"))
            told += here.heard()
        assert told[-1] == "STATUS=hangs: reconcile (for more than 50 s)"
        assert 8 <= told.count("WATCHDOG=1") <= 11, "every five seconds, until its time was over"
        [said] = [each for each in here.logs if each["event"] == "loop_hangs"]
        assert (said["loop"], said["limit_seconds"], said["log_level"]) == ("reconcile", 50, "error")
        assert said["where"][-1].startswith("locks.py")
        tries(here, "reconcile")
        await here.clock.step(10)
        assert "WATCHDOG=1" in here.heard(), "whoever goes on after all is believed"
        assert [each["loop"] for each in here.logs if each["event"] == "loop_goes_on"] == ["reconcile"]


async def test_a_reason_that_is_known_is_no_hang(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=20, limit=50) as here:
        here.excused = True
        for _ in range(20):
            await here.clock.step(10)
            assert "WATCHDOG=1" in here.heard()
        here.excused = False
        await here.clock.step(60)
        assert "STATUS=hangs: " in "".join(here.heard()), "what does not go on afterwards hangs"


async def test_nobody_is_fed_who_did_not_ask(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=None) as here:
        tries(here, *LOOPS)
        await here.clock.step(40)
        assert "WATCHDOG=1" not in here.heard()


async def test_the_status_is_told_when_it_changes_and_only_then(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=None) as here:
        tries(here, *LOOPS)
        await here.clock.step(3)
        assert here.heard()[-1] == "STATUS=ok: 0 waiting"
        await here.clock.step(4 * STATUS_SECONDS)
        assert here.heard() == []
        here.status = how("3 dead letters: see `msi-stream dead list`", waiting=12, oldest=4.2, lately=1.5)
        here.supervision.stirred.set()
        await here.clock.step(2 * STATUS_SECONDS)
        assert here.heard() == [
            "STATUS=degraded: 12 waiting, the oldest for 4 s, freshness 1.5 s; 3 dead letters: see `msi-stream dead list`"
        ]


async def test_where_nothing_waits_and_nothing_stirs_it_is_looked_at_seldom(listening: socket.socket) -> None:
    async with scene(listening, watchdog_seconds=None) as here:
        tries(here, *LOOPS)
        await here.clock.step(3)
        before = here.looks
        await here.clock.step(10 * STATUS_SECONDS)
        assert here.looks == before
        await here.clock.step(STILL_SECONDS)
        assert here.looks == before + 1
        here.status = how("somebody has paused it", waiting=1)
        here.supervision.stirred.set()
        await here.clock.step(10 * STATUS_SECONDS)
        assert here.looks > before + 5, "how long the oldest waits is told as it grows"


async def test_a_store_that_cannot_be_looked_at_is_the_status(listening: socket.socket) -> None:
    async with scene(listening) as here:
        here.fails = StoreBlocked("the disk is full", hint="free some space")
        tries(here, *LOOPS)
        await here.clock.step(3)
        assert "STATUS=failing: the disk is full" in here.heard()


async def test_the_end_is_told(listening: socket.socket) -> None:
    async with scene(listening) as here:
        here.heard()
        here.supervision.stopping()
        assert here.heard() == ["STOPPING=1", "STATUS=stopping: what is in flight is being finished"]


def test_a_line_names_the_first_reason_counts_the_others_and_is_never_too_long() -> None:
    assert line(how("first", "second", "third")) == "degraded: 0 waiting; first (and 2 more: msi-stream status)"
    assert len(line(how("x" * 5000))) == STATUS_LETTERS


def limits_of(concurrency: int, calls: int) -> Mapping[str, float]:
    given = {"base_url": "https://m.example", "client_id": "i", "client_secret": "s"}
    settings = Marketo.model_validate({**given, "concurrency": concurrency, "calls_per_20s": calls})
    return time_limits(settings, Timeouts(), at_once=settings.concurrency, salesforce_seconds=120, liveness_seconds=130)


@pytest.mark.parametrize(("concurrency", "calls"), [(5, 50), (1, 1), (10, 100), (10, 2)])
def test_every_loop_has_longer_than_its_longest_call_and_what_that_may_wait_for(concurrency: int, calls: int) -> None:
    limits, timeouts = limits_of(concurrency, calls), Timeouts()
    assert set(LOOPS) <= set(limits)
    assert limits["capture"] > 130
    assert min(limits["reading"], limits["reconcile"], limits["load"]) > 120
    place = (20 + timeouts.sync_leads) * ((concurrency + 1) // min(concurrency, calls))
    assert limits["deliver"] > timeouts.sync_leads + place
    assert limits["scores"] > timeouts.paging_token + place


def test_by_default_a_hung_loop_is_seen_within_a_quarter_of_an_hour() -> None:
    assert max(limits_of(5, 50).values()) < 900
