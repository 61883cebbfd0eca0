"""Hundreds of kills outside CI: the whole daemon under random traffic and random faults, and the oracle's word at the end.

    make kills ARGS="--pieces 12 --kills 25 --seed 1"

A run is divided into pieces, each a fresh world with a seed of its own:

    org ──traffic, faults──▶ daemon ──kill, kill, kill──▶ rest ──▶ oracle

The first kills fall into the first start and the first load. `--seed N --pieces 1` repeats a piece: the same org, changes, faults
and choices of moments; how far the processes are at each is up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import Seeded, seed_org
from stream.clock import SystemClock
from tests.crash.crashing import Restless, Running, state_of, written
from tests.crash.deadly import MOMENTS
from tests.flow.scenes import lead_of
from tests.flow.world import World, world

RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})
SETTINGS: dict[str, Any] = {
    "deliver__deletes__Lead": "delete",
    "deliver__linger_seconds": 0.02,
    "reconcile__backfill_on_first_start": True,
    "reconcile__interval_seconds": 3600.0,
}
"""No sweep within a piece: what is lost stays lost, and the oracle finds it."""

PAUSE_SECONDS = 0.03
LIVES_SECONDS = {"start": 0.5, "soon": 0.4, "while": 3.0, "write": 0.1, "commit": 15.0}
"""How long at most a daemon lives, once it has come to where it is to be."""

REST_SECONDS = 400.0
UNDONE = "SELECT object, record_id, state, read, waits, code, cause FROM entry LIMIT 5"

MARKETO_PATHS = (
    r"/rest/v1/leads\.json",
    r"/rest/v1/companies",
    r"/rest/v1/opportunities",
    r"/rest/v1/salespersons",
    r"/rest/",
    "/oauth",
)
SALESFORCE_PATHS = ("/cometd", r"/query", "/composite", "/services/data", "/oauth2/token")
FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "reset_before"},
    {"action": "reset_after"},
    {"action": "truncate"},
    {"action": "delay", "seconds": 0.3},
    {"action": "respond", "status": 503, "body": "unavailable"},
)


@dataclass(slots=True)
class Traffic:
    """Changes on both sides, and faults between, the same for the same seed."""

    here: World
    restless: Restless
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    forms: int = 0

    @classmethod
    def of(cls, here: World, made: Seeded, seed: int) -> Traffic:
        """In this world."""
        return cls(here, Restless(here, made, seed), random.Random(f"traffic {seed}"))  # noqa: S311 - reproducible

    async def run(self) -> None:
        """Something happens until cancelled."""
        while True:
            self.step()
            await asyncio.sleep(PAUSE_SECONDS * 2 * self.chance.random())  # noqa: TID251 - the pace of the changes

    def step(self) -> None:
        """A change, now and then a fault, and somebody who fills in a form in Marketo."""
        self.restless.step()
        if self.chance.random() < 0.08:
            self._fault()
        if self.chance.random() < 0.06:
            self._form()

    def _fault(self) -> None:
        marketo = self.chance.random() < 0.6
        path = self.chance.choice(MARKETO_PATHS if marketo else SALESFORCE_PATHS)
        how = self.chance.choice(FAULTS)
        fault = Fault(path=path, times=self.chance.randrange(1, 4), skip=self.chance.randrange(3), **how)
        (self.here.marketo if marketo else self.here.salesforce).faults.add(fault)
        self.faults[f"{fault.action} at {'Marketo' if marketo else 'Salesforce'}"] += 1

    def _form(self) -> None:
        """A person comes into being in Marketo, and soon after as a lead in Salesforce, which adopts it."""
        self.forms += 1
        email = f"form{self.forms}@example.com"
        self.here.instance.create_lead(email=email, firstName="Form")
        self.here.org.create("Lead", lead_of(f"Form{self.forms}", Email=email))


@dataclass(slots=True)
class Piece:
    """A world, and the kills in it. `found` is what was wrong in the end."""

    seed: int
    kills: int
    chance: random.Random = field(init=False)
    states: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    faults: int = 0
    rested_seconds: float = 0.0

    def __post_init__(self) -> None:
        """The same choices for the same seed."""
        self.chance = random.Random(f"kills {self.seed}")  # noqa: S311 - reproducible choices

    async def run(self, folder: Path) -> None:
        """All of it; fails with what is wrong."""
        async with world(folder, speed=1.0, **SETTINGS) as here:
            here.marketo.latency_seconds = self.chance.choice((0.02, 0.1, 0.3))
            made = seed_org(here.org, scale=self.chance.choice((0.05, 0.1, 0.2)), seed=self.seed)
            traffic = Traffic.of(here, made, self.seed)
            await self._kill_on(here, traffic)
            self.changes, self.faults = traffic.restless.number + traffic.forms, traffic.faults.total()
            here.marketo.faults.clear()
            here.salesforce.faults.clear()
            clock = SystemClock()
            began = clock.monotonic()
            try:
                await rest(here)
            finally:
                self.rested_seconds = clock.monotonic() - began

    async def _kill_on(self, here: World, traffic: Traffic) -> None:
        config = here.write_config()
        async with going_on(traffic):
            while self.states.total() < self.kills:
                volley = self.chance.choice((1, 1, 1, 1, 3, 5))  # often alone, sometimes several in quick succession
                for _ in range(min(volley, self.kills - self.states.total())):
                    await self._kill(here, config, quick=volley > 1)

    async def _kill(self, here: World, config: Path, *, quick: bool) -> None:
        """One daemon lives for a while: until a moment out of this world's time, or of its own commits."""
        how = self.chance.choice(("start", "soon") if quick else ("start", "while", "write", "write", "commit", "commit"))
        arm, part, writes = None, self.chance.random(), self.chance.randrange(1, 8)
        if how == "commit":
            work, skip = self.chance.choice((("", 40), ("claim", 8), ("finish", 8), ("settle_reads", 5)))
            arm = {"target": {"work": work, "moment": self.chance.choice(MOMENTS), "skip": self.chance.randrange(skip)}}
        running = await Running.start(config, arm)
        try:
            if how in {"soon", "while"}:
                await running.until_logged("daemon_started")
            if how == "write":
                await until_written(here, running, writes)
            with suppress(TimeoutError):
                await asyncio.wait_for(running.wait(), LIVES_SECONDS[how] * (part if arm is None else 1.0))
        finally:
            code = await running.end(signal.SIGKILL)
        assert (code, running.errors) == (-signal.SIGKILL, ""), (
            f"it ended by itself: {code} {running.errors} {running.lines[-5:]}"
        )
        store = here.folder / "store.db"
        self.states[state_of(store, running) if store.exists() else "no store yet"] += 1


async def until_written(here: World, running: Running, writes: int) -> None:
    """Marketo got so many more writes, unless there are none to get, or the daemon ended."""
    clock = SystemClock()
    until = written(here) + writes
    deadline = clock.monotonic() + 10.0
    while written(here) < until and running.exit_code is None and clock.monotonic() < deadline:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.005)  # noqa: TID251 - polling the simulated Marketo


@asynccontextmanager
async def going_on(traffic: Traffic) -> AsyncIterator[None]:
    """Things happen meanwhile."""
    task = asyncio.create_task(traffic.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def rest(here: World) -> None:
    """One more start: both sides come to agree, nothing is left to do, a fresh change passes, and the store is whole."""
    running = await Running.start(here.write_config())
    try:
        await running.until_logged("daemon_started")
        await here.until(lambda: here.report(RULES).ok and not undone(here), REST_SECONDS, RULES)
        fresh = here.org.create("Lead", lead_of("Afterwards"))
        await here.until(lambda: here.instance.leads_of(fresh), 30, RULES)
        await here.until(lambda: here.report(RULES).ok and not undone(here), 30, RULES)
    except AssertionError as error:
        raise AssertionError(f"{error}\nleft to do: {undone(here)}\nlast said: {running.lines[-8:]}") from error
    finally:
        code = await running.end(signal.SIGTERM)
    assert (code, running.errors) == (0, ""), f"{code} {running.errors}"
    with closing(sqlite3.connect(here.folder / "store.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def undone(here: World) -> list[Any]:
    """Some of what the outbox still holds, dead letters too."""
    with closing(sqlite3.connect(f"file:{here.folder / 'store.db'}?mode=ro", uri=True)) as database:
        return database.execute(UNDONE).fetchall()


@contextmanager
def place(number: int, keep: Path | None) -> Iterator[str]:
    """A folder for a piece: its store, and what each of its daemons logged."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix=f"kills-{number}-") as folder:
            yield folder
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield tempfile.mkdtemp(prefix=f"{number}-", dir=keep)


async def run(seed: int, pieces: int, kills: int, keep: Path | None = None) -> int:
    """So many pieces, one after the other; returns how many failed."""
    failed, states, clock = 0, Counter[str](), SystemClock()
    for number in range(seed, seed + pieces):
        piece, began = Piece(number, kills), clock.monotonic()
        with place(number, keep) as folder:
            try:
                await piece.run(Path(folder))
                result = "agreed"
            except AssertionError as error:
                failed += 1
                result = f"FAILED: {error}"
        states += piece.states
        took = f"{clock.monotonic() - began:.0f} s, the last {piece.rested_seconds:.0f} of them until both sides agreed"
        what = f"{piece.states.total()} kills, {piece.changes} changes, {piece.faults} faults, {took}"
        print(f"seed {number}: {what}: {result}", flush=True)  # noqa: T201 - the run's own report
    told = ", ".join(f"{number} × {state}" for state, number in states.most_common())
    print(f"{states.total()} kills in {pieces} pieces, seeds {seed} to {seed + pieces - 1}, {failed} failed: {told}")  # noqa: T201 - as above
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """From the command line."""
    parser = argparse.ArgumentParser(prog="long_kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="how many in each piece")
    parser.add_argument("--seed", type=int, default=1, help="the first piece's; the next has the next number")
    parser.add_argument("--pieces", type=int, default=12, help="how many fresh worlds, one after the other")
    parser.add_argument("--keep", type=Path, help="a folder in which each piece's store and logs stay")
    asked = parser.parse_args(arguments)
    return 1 if asyncio.run(run(asked.seed, asked.pieces, asked.kills, asked.keep)) else 0


if __name__ == "__main__":
    sys.exit(main())
