"""The situations that the alerts are for, with the real daemon in them: what it logs in each is recorded, and tried.

Each is told from a good beginning; `here.minutes()` lets time pass.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.faults import Fault
from stream.edges import Patience
from stream.marketo.client import Timeouts
from stream.operating.flows import pause
from stream.reconcile import Reconcile
from tests.flow.log_file import log_file
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world

SPEED = 100.0
BEGINS_AT = 1_793_620_800.0  # 2026-11-02T12:00:00Z
LONG = Patience(
    marketo=Timeouts(*[3000.0 * SPEED] * 7),
    salesforce_seconds=3000.0 * SPEED,
    sign_in_seconds=3000.0 * SPEED,
    liveness_seconds=1000.0 * SPEED,
    margin_seconds=100.0 * SPEED,
)
"""A busy machine that runs this many times faster is no hung daemon."""


@dataclass(slots=True)
class Scene:
    """A world with a company in it, and its daemon."""

    here: World
    path: Path
    account: str = ""
    contact: str = ""
    changes: int = 0

    async def start(self) -> None:
        """Start the daemon; what there is has gone to Marketo."""
        await self.here.start(LONG)
        limits = self.here.running.time_limits
        self.here.running.time_limits = {name: seconds * SPEED for name, seconds in limits.items()}

    async def minutes(self, count: float) -> None:
        """So much time passes, in which somebody changes something every other minute."""
        clock = self.here.clock
        end = clock.monotonic() + count * 60
        while clock.monotonic() < end:
            self.changes += 1
            self.here.org.update("Contact", self.contact, {"Title": f"change {self.changes}"})
            await clock.sleep(min(120.0, max(end - clock.monotonic(), 0.0)))

    async def kill(self) -> None:
        """The daemon ends without a word, as by SIGKILL; the store's lock is given up."""
        here = self.here
        assert here._task is not None
        assert here.store is not None
        task, here._task = here._task, None
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task
        await here.store.close()
        await here.session.close()


Story = Callable[[Scene], Awaitable[None]]


async def good_day(scene: Scene) -> None:
    """Nothing is wrong; a restart of an operator's."""
    await scene.minutes(30)
    await scene.here.stop()
    await scene.start()
    await scene.minutes(15)


async def salesforce_away(scene: Scene) -> None:
    """Salesforce answers nobody."""
    await scene.minutes(5)
    down(scene.here.salesforce.faults)
    await scene.minutes(30)


async def salesforce_away_for_days(scene: Scene) -> None:
    """The daemon was stopped for two days, and Salesforce is away when it comes back."""
    await scene.minutes(5)
    await scene.here.stop()
    scene.here.clock.jump(50 * 3600)
    down(scene.here.salesforce.faults)
    await scene.start()
    await scene.minutes(25)


async def marketo_away(scene: Scene) -> None:
    """Marketo answers nobody."""
    await scene.minutes(5)
    down(scene.here.marketo.faults)
    await scene.minutes(35)


async def quota_too_small(scene: Scene) -> None:
    """Calls go out faster than the day's budget allows."""
    await scene.minutes(30)


async def records_refused(scene: Scene) -> None:
    """Marketo will not take some records."""
    await scene.minutes(5)
    for number in range(3):
        lead = scene.here.org.create("Lead", lead_of(f"Refused{number}"))
        scene.here.instance.refuse("lead", lead, "1003", times=None)
    await scene.minutes(20)


async def events_missing(scene: Scene) -> None:
    """Salesforce sends no events of some changes: only a sweep finds them."""
    await scene.minutes(5)
    with scene.here.org.losing_events():
        scene.here.org.update("Account", scene.account, {"Phone": "lost"})
        scene.here.org.create("Lead", lead_of("Lost"))
    await scene.minutes(30)


async def object_silent(scene: Scene) -> None:
    """Change Data Capture does not tell of an object any more."""
    await scene.minutes(5)
    scene.here.org.publisher.silenced.add("Lead")
    for number in range(24):
        scene.here.org.create("Lead", lead_of(f"Silent{number}"))
        await scene.minutes(1)
    await scene.minutes(16)


async def dies_again_and_again(scene: Scene) -> None:
    """Something kills the daemon, and the service manager starts it again."""
    for _ in range(4):
        await scene.minutes(3)
        await scene.kill()
        await scene.start()
    await scene.minutes(15)


async def dies_for_good(scene: Scene) -> None:
    """It ends, and nobody starts it."""
    await scene.minutes(15)
    await scene.kill()


async def mapping_wrong(scene: Scene) -> None:
    """Marketo refuses every lead for the same reason."""
    await scene.minutes(5)
    scene.here.instance.refuse_batch_containing("lead", bool, "1006")
    for number in range(600):
        scene.here.org.create("Lead", lead_of(f"Poison{number}"))
    await scene.minutes(20)


async def store_locked(scene: Scene) -> None:
    """Another program keeps the store locked."""
    await scene.minutes(5)
    with closing(sqlite3.connect(scene.here.folder / "store.db", timeout=0, isolation_level=None)) as other:
        while not other.in_transaction:
            await scene.here.pause()
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
        await scene.minutes(20)
    await scene.minutes(10)


async def forgotten_pause(scene: Scene) -> None:
    """An operator paused delivery, and went home."""
    await scene.minutes(5)
    await pause(scene.here.folder / "store.db", ("deliver",), scene.here.machine)
    await scene.minutes(75)


async def filter_mistyped(scene: Scene) -> None:
    """A filter was mistyped: everybody it is for leaves it."""
    for number in range(8):
        scene.here.org.create("Lead", lead_of(f"Filtered{number}"))
    await scene.minutes(10)
    await scene.here.stop()
    scene.here.overrides["filters.Lead"] = "Sync_to_Marketo__c = true"
    await scene.start()
    await scene.minutes(20)


async def loop_hangs(scene: Scene) -> None:
    """A loop never comes back."""
    await scene.minutes(5)
    turn = Reconcile._turn
    setattr(Reconcile, "_turn", lambda _: asyncio.Event().wait())  # noqa: B010 - the hang that is recorded
    try:
        for pulse in scene.here.running.pulses.watched:
            pulse.limit_seconds = 300.0 if pulse.name == "reconcile" else pulse.limit_seconds
        await scene.minutes(15)
    finally:
        setattr(Reconcile, "_turn", turn)  # noqa: B010 - as it was


SITUATIONS: Mapping[str, tuple[Story, Mapping[str, Any]]] = {
    "good_day": (good_day, {}),
    "salesforce_away": (salesforce_away, {}),
    "salesforce_away_for_days": (salesforce_away_for_days, {}),
    "marketo_away": (marketo_away, {}),
    "quota_too_small": (quota_too_small, {"marketo__daily_calls": 600, "marketo__reserve_calls": 100}),
    "records_refused": (records_refused, {"deliver__max_attempts": 2}),
    "events_missing": (events_missing, {"reconcile__interval_seconds": 600.0}),
    "object_silent": (object_silent, {"reconcile__interval_seconds": 600.0}),
    "dies_again_and_again": (dies_again_and_again, {}),
    "dies_for_good": (dies_for_good, {}),
    "mapping_wrong": (mapping_wrong, {}),
    "store_locked": (store_locked, {}),
    "forgotten_pause": (forgotten_pause, {}),
    "filter_mistyped": (filter_mistyped, {"deliver__max_leaving_a_day": 5}),
    "loop_hangs": (loop_hangs, {}),
}


SLOWER: Mapping[str, float] = {"store_locked": 10.0}
"""SQLite waits five of the machine's seconds for a lock: they are not to be minutes of the log."""


def down(faults: Any) -> None:
    """A service that is being mended: whatever it is asked, it says 503."""
    faults.add(Fault("respond", times=None, status=503, body="down for maintenance"))


async def play(name: str, folder: Path, path: Path) -> None:
    """Let the real daemon live through a situation, and keep its log."""
    story, settings = SITUATIONS[name]
    async with stage(folder, path, speed=SLOWER.get(name, SPEED), **settings) as scene:
        await story(scene)


@asynccontextmanager
async def stage(folder: Path, path: Path, *, speed: float = SPEED, **settings: Any) -> AsyncIterator[Scene]:
    """A daemon that has brought a small company to Marketo; its log goes to `path`."""
    usual = {
        "scores__interval_seconds": 300.0,
        "scores__sweep_interval_seconds": 86400.0,
        "reconcile__poll_interval_seconds": 300.0,
    }
    async with world(folder, speed=speed, starts_at=BEGINS_AT, **{**usual, **settings}) as here:
        scene = Scene(here, path)
        scene.account, scene.contact = company(here)
        with log_file(here, path):
            await scene.start()
            await here.until_quiet(seconds=60)
            yield scene
            if here._task is not None:
                here.marketo.faults.clear()
                here.salesforce.faults.clear()
                await scene.kill()
