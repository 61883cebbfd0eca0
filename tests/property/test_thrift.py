"""Days that run short, in virtual time: live changes go on, what can wait waits, and nobody takes what others need."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from store.model import Hole
from stream.budgets.budget import CENTRAL, background, day_in
from stream.config.model import Settings
from tests.logged import captured
from tests.property.machine import SCRATCH
from tests.property.simulated import CALM, Stage, World, seldom
from tests.property.virtual_time import EPOCH_S, VirtualClock, VirtualLoop, sqlite_in_this_thread

HOUR = 3600.0
PEOPLE = 40
SETTINGS: dict[str, dict[str, Any]] = {
    "deliver": {"linger_seconds": 5.0},
    "scores": {"interval_seconds": 1800.0, "sweep_interval_seconds": 86400.0},
    "marketo": {"daily_calls": 50_000, "reserve_calls": 0},
}


class Day(Stage):
    """A stage with settings of its own, and people in both systems."""

    def __init__(self, folder: Path, clock: VirtualClock, overrides: dict[str, dict[str, Any]]) -> None:
        super().__init__(World(), CALM, folder, clock)
        self.overrides = overrides
        self.owner = self.org.create("User", {"LastName": "Owner", "Email": "owner@msi.example", "Username": "owner@msi.example"})
        self.account = self.org.create("Account", {"Name": "Initech", "OwnerId": self.owner})
        self.people = [self.new_person(number) for number in range(PEOPLE)]
        self.lines: list[Any] = []

    def new_person(self, number: int) -> str:
        """A contact, told of by an event."""
        row = {"LastName": f"P{number}", "Email": f"p{number}@msi.example", "AccountId": self.account, "OwnerId": self.owner}
        made: str = self.org.create("Contact", row)
        return made

    def _settings(self) -> Settings:
        found = super()._settings()
        sections = {
            name: getattr(found, name).model_copy(update=SETTINGS.get(name, {}) | self.overrides.get(name, {}))
            for name in {*SETTINGS, *self.overrides}
        }
        return found.model_copy(update=sections)

    async def until_equal(self, hours: float = 1.0) -> None:
        """Let time pass until both sides agree."""
        ends = self.clock.monotonic() + hours * HOUR
        while self.problems():
            assert self.clock.monotonic() < ends, self.problems()
            await self.until(self.clock.monotonic() + 20)

    def said(self, event: str) -> list[Any]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]


@asynccontextmanager
async def day(folder: Path, lines: list[Any], overrides: dict[str, dict[str, Any]]) -> AsyncIterator[Day]:
    """A running daemon that has nothing to do any more."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    stage = Day(folder, VirtualClock(loop), overrides)
    stage.lines = lines
    try:
        await stage.start()
        await stage.until_equal()
        yield stage
    finally:
        await stage._die()


def lived(hours_left: float, play: Callable[[Day], Awaitable[None]], **overrides: dict[str, Any]) -> None:
    """Play a day that begins so many hours before Marketo's midnight."""

    async def run(folder: Path, lines: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.passed = day_in(CENTRAL, EPOCH_S)[1] - hours_left * HOUR
        async with day(folder, lines, overrides) as stage:
            await play(stage)

    with (
        sqlite_in_this_thread(),
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        captured() as lines,
        seldom(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        runner.run(run(Path(folder), lines))


def test_batches_wait_longer_so_that_the_days_calls_last() -> None:
    """A change every 20 seconds for two hours would take twice the calls that there are, sent as quickly as is set."""

    async def play(stage: Day) -> None:
        budget = stage.daemon.edges.marketo_budget  # type: ignore[union-attr] # it runs
        budget.limit = budget.count() + 240
        for number in range(360):
            stage.org.update("Contact", stage.people[number % PEOPLE], {"Title": f"T{number}"})
            await stage.until(stage.clock.monotonic() + 20)
        assert stage.said("budget_tight")
        assert stage.said("budget_tight")[0]["linger_seconds"] > 5
        assert not stage.said("deliver_paused"), "the day's calls were used up"
        await stage.until_equal()
        await stage.until(stage.clock.monotonic() + HOUR)
        assert stage.said("budget_eased")
        assert stage.daemon is not None
        assert stage.daemon.deliver.linger_seconds == 5

    lived(2.05, play)


def test_a_load_waits_for_the_next_day_and_live_changes_do_not() -> None:
    async def play(stage: Day) -> None:
        assert stage.daemon is not None
        assert stage.store is not None
        budget = stage.daemon.edges.marketo_budget
        with background():
            budget.take(1_000 - budget.count() - 12)
        await stage.until(stage.clock.monotonic() + 90)
        assert [line["service"] for line in stage.said("background_waits")] == ["marketo"]
        told = stage.org.log.end
        for number in range(500, 520):
            stage.new_person(number)
        stage.stream.current.position = stage.org.log.end  # type: ignore[union-attr] # these events are lost
        assert stage.org.log.end > told
        await stage.store.cut([Hole("Contact", 0.0, stage.clock.now(), "asked for by the operator")])
        live = stage.org.create("Contact", {"LastName": "Live", "Email": "live@msi.example", "OwnerId": stage.owner})
        await stage.until(stage.clock.monotonic() + HOUR / 2)
        assert stage.instance.leads_of(live)
        assert len(stage.problems()) == 20, "the load waits"
        await stage.until_equal(hours=3)
        assert [line["service"] for line in stage.said("background_goes_on")] == ["marketo"]

    lived(1.5, play, marketo={"daily_calls": 1_000, "reserve_calls": 0})


def test_what_others_use_beyond_the_reserve_is_not_used_again() -> None:
    async def play(stage: Day) -> None:
        limits = stage.marketo.limits
        limits.daily_calls = 1_000
        limits.spend(800)
        await stage.until(stage.clock.monotonic() + HOUR / 2)
        for number in range(200):
            stage.org.update("Contact", stage.people[number % PEOPLE], {"Title": f"T{number}"})
            await stage.until(stage.clock.monotonic() + 10)
        assert "607" not in stage.wires.codes, "Marketo's own quota was run into"
        assert limits.used_today <= 1_000
        assert any("other integrations" in line["cause"] for line in stage.said("deliver_paused"))
        await stage.until_equal(hours=2)

    lived(1.5, play, marketo={"daily_calls": 1_000, "reserve_calls": 100}, deliver={"batch_size": 1})


def test_score_writes_leave_room_for_the_events_that_they_cause() -> None:
    async def play(stage: Day) -> None:
        stage.org.delivered_events.limit = stage.org.delivered_events.used + 12
        await stage.until(stage.clock.monotonic() + HOUR)  # it is asked now and then
        for number, person in enumerate(stage.instance.leads.values()):
            stage.instance.scores.change_score(person["id"], 20 + number)  # the same change of several records would be one event
        await stage.until(stage.clock.monotonic() + 2 * HOUR)
        written = [row for row in stage.org.records("Contact") if row["mkto_si__Priority__c"]]
        assert 0 < len(written) <= 12
        assert any("delivered events" in line["cause"] for line in stage.said("scores_failed"))
        assert stage.org.delivered_events.left == 12 - len(written)
        stage.org.delivered_events.limit = None
        await stage.until_equal(hours=3)

    lived(14.0, play)
