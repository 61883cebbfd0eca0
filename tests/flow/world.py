"""Both simulated services and the real daemon between them, for the flow tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.marketo.instance import Instance
from sandbox.marketo.server import SimulatedMarketo
from sandbox.oracle import compare
from sandbox.oracle_journal import Report
from sandbox.oracle_rules import Rules
from sandbox.salesforce.server import SimulatedSalesforce
from store.model import DeadLetter, Hole, Key, ObjectName, Record
from store.store import Store
from stream.clock import SystemClock
from stream.config import load
from stream.config.template import template
from stream.daemon import Daemon
from stream.edges import PATIENCE, Patience
from stream.logs.repeats import Repeats
from stream.source import NEW_EVENTS
from tests.logged import captured

SPEED = 10.0
FAST: Mapping[str, Any] = {
    "salesforce.flow": "jwt",
    "marketo.calls_per_20s": 100_000,
    "marketo.daily_calls": 10_000_000,  # at these intervals a day would take more than the usual ones
    "reconcile.daily_calls": 10_000_000,
    "deliver.linger_seconds": 0.05,
    "deliver.settle_seconds": 0.3,
    "scores.interval_seconds": 0.2,
    "scores.sweep_interval_seconds": 0.5,
    "reconcile.poll_interval_seconds": 0.1,
    "reconcile.backfill_on_first_start": False,
}
"""In seconds as they pass in the test; a world whose clock is faster asks for more of its own."""


class Hurry(SystemClock):
    """A clock that all of a world shares and that runs faster than the machine's: a wait of 20 seconds takes two."""

    def __init__(self, speed: float, starts_at: float | None = None) -> None:
        self.speed = speed
        self.starts_at = super().now() if starts_at is None else starts_at
        self._wall, self._began = self.starts_at, super().monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return (super().monotonic() - self._began) * self.speed

    def jump(self, seconds: float) -> None:
        """Time passes while the machine sleeps; nobody's waiting is shortened by that."""
        self._wall += seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep so many of this clock's seconds."""
        await super().sleep(seconds / self.speed)


class SetClock(SystemClock):
    """A machine's clock as somebody sets it: as fast as the world's, and ahead of it by `ahead_seconds`."""

    def __init__(self, world: Hurry) -> None:
        self._world = world
        self.ahead_seconds = 0.0
        self.boots = 1

    def now(self) -> float:
        """What it shows."""
        return self._world.now() + self.ahead_seconds

    def monotonic(self) -> float:
        """The world's seconds, which nobody can set."""
        return self._world.monotonic()

    def uptime(self) -> tuple[str, float]:
        """The boot's number, and the world's seconds since the world began."""
        return f"boot {self.boots}", self._world.now() - self._world.starts_at

    async def sleep(self, seconds: float) -> None:
        """Sleep so many of the world's seconds."""
        await self._world.sleep(seconds)


@dataclass(slots=True)
class World:
    """Salesforce, Marketo, and where the daemon's files are. `clock` is the services' own time, `machine` the daemon's clock."""

    salesforce: SimulatedSalesforce
    marketo: SimulatedMarketo
    folder: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    clock: Hurry = field(default_factory=lambda: Hurry(1.0))
    logs: list[MutableMapping[str, Any]] = field(default_factory=list)
    daemon: Daemon | None = None
    _task: asyncio.Task[None] | None = None
    _session: aiohttp.ClientSession | None = None
    repeats: Repeats | None = None
    store: Store | None = None
    machine: SetClock = field(init=False)

    def __post_init__(self) -> None:
        """The daemon's machine is set right at first."""
        self.machine = SetClock(self.clock)

    @property
    def org(self) -> Any:
        """The simulated Salesforce's records."""
        return self.salesforce.org

    @property
    def instance(self) -> Any:
        """The simulated Marketo's records."""
        return self.marketo.instance

    @property
    def session(self) -> aiohttp.ClientSession:
        """The running daemon's HTTP session."""
        assert self._session is not None
        return self._session

    @property
    def running(self) -> Daemon:
        """The daemon that runs now."""
        assert self.daemon is not None
        return self.daemon

    def touch_built_in_users(self) -> None:
        """The org's own two users are older than any event: edit them, so that they are heard of without a first load."""
        for user in (self.salesforce.org.person_id, self.salesforce.org.api_user_id):
            self.salesforce.org.update("User", user, {"Title": "Administrator"})

    def values(self) -> dict[str, Any]:
        """The configuration's values, by dotted key."""
        sign_in = self.salesforce.sign_in
        fast = {name: value * self.clock.speed if name.endswith("_seconds") else value for name, value in FAST.items()}
        return {
            **fast,
            "salesforce.login_url": self.salesforce.base_url,
            "salesforce.client_id": sign_in.client_id,
            "salesforce.client_secret": sign_in.client_secret,
            "salesforce.private_key": sign_in.private_key,
            "salesforce.username": sign_in.username,
            "marketo.base_url": self.marketo.base_url,
            "marketo.client_id": self.marketo.client_id,
            "marketo.client_secret": self.marketo.client_secret,
            "store.path": str(self.folder / "store.db"),
            **self.overrides,
        }

    def write_config(self) -> Path:
        """A configuration file for the daemon, as `init` writes it, filled in for this world."""
        path = self.folder / "config.toml"
        path.write_text(template(self.values()), encoding="utf-8")
        return path

    async def start(self, patience: Patience = PATIENCE) -> None:
        """Start the daemon in this process, on the store as the last one left it.

        The polls last as long as the machine's clock says, so what is allowed beyond them is stretched by the speed of ours.
        """
        patience = replace(patience, margin_seconds=patience.margin_seconds * self.clock.speed)
        settings = load(self.write_config(), {}).settings
        self.store = await Store.open(settings.store.path)
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self.daemon = Daemon(settings, self.store, self._session, self.machine, patience, repeats=self.repeats)
        self._task = asyncio.create_task(self.daemon.run())

    async def stop(self) -> None:
        """Stop the daemon in good order; raises what a loop died of."""
        if self._task is None or self.daemon is None or self.store is None or self._session is None:
            return
        task, self._task = self._task, None
        self.daemon.stop()
        try:
            await task
        finally:
            await self.store.close()
            await self._session.close()

    async def restart(self) -> None:
        """Stop the daemon in good order, and start it again."""
        await self.stop()
        await self.start()

    async def until(self, done: Callable[[], Any], seconds: float = 20.0, rules: Rules | None = None) -> None:
        """Wait until something is so; fails with what is wrong, and at once where the daemon died."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + seconds
        while True:
            looked = clock.time()
            if done():
                return
            if self._task is not None and self._task.done():
                await self._task
            if looked > deadline:
                raise AssertionError(f"not so after {seconds} s: {self.report(rules).problems[:20]}")
            await asyncio.sleep(max(0.02, 2 * (clock.time() - looked)))  # noqa: TID251 - polling the simulated services

    async def until_quiet(self, rules: Rules | None = None, seconds: float = 30.0) -> None:
        """Wait until both systems agree, everything published was taken, and the outbox is empty but for dead letters."""
        await self.until_equal(rules, seconds)
        for _ in range(int(seconds * 50)):
            if await self.is_idle():
                await self.until_equal(rules, seconds)
                return
            await self.until(lambda: True)
            await asyncio.sleep(0.02)  # noqa: TID251 - polling the store
        raise AssertionError("the outbox is not empty")

    async def is_idle(self) -> bool:
        """Whether everything published was taken, and the outbox is empty but for dead letters."""
        assert self.store is not None
        replay = await self.store.replay("/data/ChangeEvents")
        unheard = replay is None and self.running.capture.first_from == NEW_EVENTS  # what was published before is loaded
        taken = replay is not None and replay.replay_id == self.org.log.last_replay_id
        heard = taken or unheard or not self.org.log.last_replay_id
        return heard and self.running.load.now_loading is None and not sum((await self.store.backlog()).values())

    async def pause(self) -> None:
        """Look away for a moment."""
        await self.until(lambda: True)
        await asyncio.sleep(0.02)  # noqa: TID251 - polling the store

    async def until_proven(self, seconds: float = 20.0) -> None:
        """Wait until everything up to now is known to have been heard."""
        assert self.store is not None
        now_s, deadline = self.clock.now(), asyncio.get_running_loop().time() + seconds
        while (stream := await self.store.stream("/data/ChangeEvents")) is None or stream.until_s < now_s:
            assert asyncio.get_running_loop().time() < deadline, f"heard until {stream}, now {now_s}"
            await self.pause()

    def hole(self, obj: ObjectName) -> Hole:
        """All of an object's history until now."""
        return Hole(obj, 0.0, self.clock.now(), "a test asks for it")

    async def until_dead(self, count: int = 1, seconds: float = 20.0) -> list[DeadLetter]:
        """Wait until there are so many dead letters, and return them."""
        assert self.store is not None
        deadline = asyncio.get_running_loop().time() + seconds
        while len(letters := await self.store.dead_letters()) < count:
            await self.until(lambda: True)
            assert asyncio.get_running_loop().time() < deadline, f"{len(letters)} dead letters: {letters}"
            await asyncio.sleep(0.02)  # noqa: TID251 - polling the store
        return letters

    async def dead(self) -> list[DeadLetter]:
        """The dead letters now."""
        assert self.store is not None
        return await self.store.dead_letters()

    async def record(self, key: Key) -> Record | None:
        """What the store knows of a record."""
        assert self.store is not None
        return (await self.store.records([key])).get(key)

    def events(self, name: str) -> list[MutableMapping[str, Any]]:
        """The log lines of one event so far."""
        return [line for line in list(self.logs) if line["event"] == name]

    def lead_of(self, salesforce_id: str) -> Any:
        """The one Marketo person with this externalPersonId."""
        found = self.instance.leads_of(salesforce_id)
        assert len(found) == 1, f"{len(found)} people with {salesforce_id}"
        return found[0]

    async def until_equal(self, rules: Rules | None = None, seconds: float = 30.0) -> None:
        """Wait until both systems agree."""
        await self.until(lambda: self.report(rules).ok, seconds, rules)

    def report(self, rules: Rules | None = None) -> Report:
        """What the oracle says now."""
        return compare(self.salesforce.org, self.marketo.instance, rules)


@asynccontextmanager
async def world(folder: Path, *, speed: float = SPEED, starts_at: float | None = None, **overrides: Any) -> AsyncIterator[World]:
    """A fresh world; overrides are configuration values, `deliver__max_attempts=2` for deliver.max_attempts.

    `speed` is how much faster its clock runs than the machine's; `starts_at` is what it shows first, unless that is the time now.
    """
    dotted = {".".join(name.split("__")): value for name, value in overrides.items()}
    clock = Hurry(speed, starts_at)
    marketo = SimulatedMarketo(instance=Instance(now=clock.now, sleep=clock.sleep))
    marketo.limits.calls_per_20s = 100_000
    async with SimulatedSalesforce(now=clock.now) as salesforce:
        salesforce.bayeux.poll_seconds = 0.5
        salesforce.org.api_calls.limit = 20_000_000
        salesforce.org.delivered_events.limit = 100_000_000
        await marketo.start()
        here = World(salesforce, marketo, folder, dotted, clock)
        try:
            with captured() as here.logs:
                yield here
        except BaseException:
            told = [line for line in here.logs if line["log_level"] != "debug"]
            print(*told[-60:], sep="\n", file=sys.stderr)  # noqa: T201 - what pytest shows of a failed test
            raise
        finally:
            marketo.faults.clear()
            salesforce.faults.clear()
            try:
                await here.stop()
            finally:
                await marketo.stop()
