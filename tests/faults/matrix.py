"""One case of the matrix, and many in one world: a step, a fault at its call, the fault's end, and what must be so then.

step ──▶ the call fails (once, or for a while) ──▶ the fault ends ──▶ a fresh change ──▶ both systems agree, nobody is lost
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp.resolver
from aiohttp import web

from sandbox.faults import Fault
from tests.faults.calls import marketo_call, salesforce_call
from tests.faults.rows import Chosen, Row, Stage
from tests.faults.steps import DELETED, PATIENCE, STEPS, Cast
from tests.faults.ways import Way
from tests.flow.world import World, world

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
SPEED = 80.0
CHAIN = 3  # failures in a row at one call
DEADLINE_SECONDS = 90.0
STEPS_MOST = 8
IDLE_LOOKS = 5
RUNS_MOST = 12  # in one world: its records grow in number
Case = tuple[Row, Way]
Play = Callable[[Cast, Sequence[Case]], Awaitable[None]]
SETTINGS: dict[str, Any] = {
    **{f"deliver__deletes__{obj}": "delete" for obj in DELETED},
    "deliver__max_attempts": 2,
    "deliver__poison_share": 1.0,
    "deliver__linger_seconds": 0.4,
    "deliver__settle_seconds": 4.0,
    "scores__interval_seconds": 8.0,
    "scores__sweep_interval_seconds": 40.0,
    "reconcile__poll_interval_seconds": 8.0,
}
STAGES: dict[Stage, dict[str, Any]] = {"pages": {}, "bulk": {"reconcile__bulk_above": 1}}


@asynccontextmanager
async def stage(folder: Path, which: Stage = "pages") -> AsyncIterator[Cast]:
    """A world with two businesses in both systems, and the daemon between them. `folder` is there already."""
    async with world(folder, speed=SPEED, starts_at=NOON, **SETTINGS, **STAGES[which]) as here:
        here.overrides["marketo.base_url"] = f"http://localhost:{here.marketo.port}"  # a name, so that it may not be resolved
        here.marketo.limits.concurrency = 1000  # calls that hang count in it
        cast = Cast(here)
        here.touch_built_in_users()
        cast.business()
        cast.business()
        await here.start(PATIENCE)
        await cast.quiet()
        yield cast


async def play(folder: Path, rows: Sequence[Row], chosen: Chosen) -> None:
    """Every chosen way at these calls: different ones at all of them in one run, but where a whole service goes away."""
    runs = [[(row, way)] for row in rows for way in chosen[row] if way.down]
    lines = [[[(row, way) for way in chain] for chain in chains(row, chosen[row])] for row in rows]
    for number, line in enumerate(lines):  # so that different ways meet
        turn = number * len(line) // len(lines)
        lines[number] = line[turn:] + line[:turn]
    await play_all(folder, runs + [[case for chain in turn for case in chain] for turn in zip_longest(*lines, fillvalue=[])], run)


def chains(row: Row, ways: Sequence[Way]) -> list[list[Way]]:
    """Ways that follow each other at one call in one run; after one that does its work the call may not be made again."""
    others = [way for way in ways if not way.down and not way.works]
    works = [way for way in ways if not way.down and way.works]
    if not row.lasts:
        return [[way] for way in (*others, *works)]
    count = max(len(works), -(-(len(others) + len(works)) // CHAIN))
    return [others[start::count] + works[start::count] for start in range(count)]


async def play_all(folder: Path, left: list[list[Case]], how: Play) -> None:
    """Take all these runs, as many in one world as it may see, and tell which cases went wrong."""
    failures: list[str] = []
    while left:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            if guilty := await _some(Path(own), left, how):
                failures += await _alone(folder, *guilty, how)
    assert not failures, "\n".join(failures)


async def _some(folder: Path, left: list[list[Case]], how: Play) -> tuple[list[Case], str] | None:
    """Take as many cases as one world may see; returns those after which something was wrong, and what."""
    cases: list[Case] = []
    try:
        async with stage(folder, left[0][0][0].stage) as cast:
            for _ in range(min(RUNS_MOST, len(left))):
                cases = left.pop(0)
                await how(cast, cases)
    except (AssertionError, ExceptionGroup) as error:
        return cases, _told(error)
    return None


async def _alone(folder: Path, cases: list[Case], told: str, how: Play) -> list[str]:
    """Which of the cases is to blame, each tried in a world of its own."""
    if len(cases) == 1:
        return [f"{cases[0][0].call}: {cases[0][1].name}: {told}"]
    failures: list[str] = []
    for case in cases:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            if guilty := await _some(Path(own), [[case]], how):
                failures.append(f"{case[0].call}: {case[1].name}: {guilty[1]}")
    return failures or [f"only together: {[(row.call, way.name) for row, way in cases]}: {told}"]


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(f"{type(each).__name__}: {_told(each)}" for each in error.exceptions)
    return str(error)


async def run(cast: Cast, cases: Sequence[Case]) -> None:
    """The step, its calls spoiled; then all must be well, and no record blamed."""
    here = cast.here
    faults = [spoil(here, row, way) for row, way in cases]
    await provoke(cast, cases[0][0].step, faults)
    if cases[0][1].down:
        await outage(here, cases[0][0])
    await ended(cast)
    letters = await here.dead()
    assert not letters, letters


async def provoke(cast: Cast, name: str, faults: Sequence[Fault]) -> None:
    """Take the step until each of these calls was made and failed; one may have become needless by what befell another."""
    for _ in range(STEPS_MOST):
        await STEPS[name](cast)
        idle, deadline = 0, asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while idle < IDLE_LOOKS:
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"it stands still: {await cast.trouble()}; {[fault for fault in faults if not fault.hits]}")
            if all(fault.hits for fault in faults):
                return
            idle = 0 if await cast.trouble() else idle + 1
            await cast.here.until(lambda: True)
            await cast.here.clock.sleep(3.0)
    raise AssertionError(f"calls that were not made: {[fault.action for fault in faults if not fault.hits]}")


async def ended(cast: Cast) -> None:
    """The faults end, and the clock is right; what is changed now must pass, and all that was changed meanwhile be there."""
    cast.here.marketo.faults.clear()
    cast.here.salesforce.faults.clear()
    cast.here.machine.ahead_seconds = 0.0
    cast.fresh_change()
    await cast.quiet()


def spoil(here: World, row: Row, way: Way, times: int | None = 1) -> Fault:
    """Script the fault at this call."""
    name = marketo_call if row.service == "marketo" else salesforce_call

    def when(request: web.Request, body: str) -> bool:
        if name(request, body) != row.call:
            return False
        here.machine.ahead_seconds += way.ahead_seconds
        return True

    fault = Fault(
        way.action,
        status=way.status,
        body=way.body,
        headers=dict(way.headers),
        seconds=way.seconds,
        when=when,
        times=times,
    )
    return (here.marketo.faults if row.service == "marketo" else here.salesforce.faults).add(fault)


async def outage(here: World, row: Row) -> None:
    """The whole service refuses connections for a while, and then its name is unknown."""
    service = here.marketo if row.service == "marketo" else here.salesforce
    await service.stop()
    await here.clock.sleep(4.0)
    asked: list[str] = []

    async def unresolved(_: aiohttp.resolver.ThreadedResolver, host: str, *__: Any, **___: Any) -> list[Any]:
        asked.append(host)
        raise OSError(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with mock.patch.object(aiohttp.resolver.ThreadedResolver, "resolve", unresolved):
        assert isinstance(here.session.connector, aiohttp.TCPConnector)
        here.session.connector.clear_dns_cache()
        await here.until(lambda: asked, 30)
    await service.start()
