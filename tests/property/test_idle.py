"""What a daemon with nothing to do costs, counted in virtual time: no busy machine changes that."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store import view
from tests.logged import captured
from tests.property.machine import SCRATCH
from tests.property.test_thrift import HOUR, Day, day
from tests.property.virtual_time import VirtualLoop, sqlite_in_this_thread

QUIET_SECONDS = 100.0  # between two answered connects, where nothing happens
COMMITS_AN_HOUR = 4_000  # a heartbeat every ten seconds, polls every twenty; with a look of each loop it was four times as many
VIEWS_AN_HOUR = 150  # the line of each minute, and the service manager's status


def paused_beside(path: Path) -> None:
    """As `pause` in another process writes."""
    with closing(sqlite3.connect(path)) as beside, beside:
        beside.execute("INSERT INTO note (name, value) VALUES ('paused:deliver', '{\"since\": 1.0}')")


async def idle(stage: Day, views: list[int]) -> None:
    """Let an hour pass, and then let somebody else write."""
    assert stage.store is not None
    assert stage.daemon is not None
    stage.stream.pauses = (QUIET_SECONDS,)
    await stage.until(stage.clock.monotonic() + 900)
    commits, seen = stage.store.writer.commits, len(views)
    await stage.until(stage.clock.monotonic() + HOUR)
    assert stage.store.writer.commits - commits < COMMITS_AN_HOUR
    assert len(views) - seen < VIEWS_AN_HOUR
    paused_beside(stage.folder / "store.db")
    await stage.until(stage.clock.monotonic() + 4)
    assert stage.daemon.holds.held("deliver")
    note = await stage.store.note("heartbeat")
    assert note is not None
    assert note["held"] == ["deliver"], "and it says so"


def test_an_idle_hour_takes_few_commits_and_others_are_heard_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[int] = []
    original = view.view

    async def counted(*args: Any, **kwargs: Any) -> Any:
        views.append(1)
        return await original(*args, **kwargs)

    monkeypatch.setattr("stream.operating.status.view", counted)

    async def run(folder: Path) -> None:
        async with day(folder, [], {}) as stage:
            await idle(stage, views)

    with (
        sqlite_in_this_thread(),
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        captured(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        runner.run(run(Path(folder)))
