"""What is read beside a running daemon is of one moment, however slow the reader: `status`, and the copy that `backup` makes.

Each event makes an entry and moves the stored position, in one transaction. So whoever sees a position must see the entries of
all leads up to it, and none of those after it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from tests.crash.crashing import Running, started
from tests.crash.nursery import OUTPUT
from tests.flow.scenes import lead_of
from tests.flow.world import World, world

CHANNEL = "/data/ChangeEvents"
LOOKS = 2
PAUSE_SECONDS = 0.002


@dataclass(slots=True)
class Arrivals:
    """Leads that come one by one: how many there were at each position of the channel."""

    here: World
    leads: dict[int, int] = field(default_factory=dict)

    async def run(self) -> None:
        """One after the other until cancelled."""
        while True:
            self.here.org.create("Lead", lead_of(f"Reader{len(self.leads)}"))
            self.leads[self.here.org.log.last_replay_id] = len(self.leads) + 1
            await asyncio.sleep(PAUSE_SECONDS)  # noqa: TID251 - the pace of the changes

    async def more(self, here: World, store: Path) -> None:
        """Wait until the daemon has committed some more of them than there are now."""
        begun = position(store) + 5
        await here.until(lambda: position(store) > begun)


@asynccontextmanager
async def arriving(here: World) -> AsyncIterator[Arrivals]:
    """They come, and none leaves: Marketo is away."""
    arrivals = Arrivals(here)
    task = asyncio.create_task(arrivals.run())
    try:
        yield arrivals
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def position(store: Path) -> int:
    """The stored position, as whoever opens the file reads it."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        return int((database.execute("SELECT replay_id FROM replay").fetchone() or (0,))[0])


async def told(running: Running) -> bytes:
    """What a command printed, once it has ended."""
    assert await running.wait() in {0, 1}, running.errors
    return (running.folder / OUTPUT).read_bytes()


@pytest.mark.timeout(240)
async def test_status_and_backup_tell_of_one_moment_while_commits_go_on(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        here.touch_built_in_users()
        config, store = here.write_config(), tmp_path / "store.db"
        async with started(config) as daemon:
            await daemon.until_logged("daemon_started")
            await here.marketo.stop()
            slowly = {"slowly": str(store)}
            async with arriving(here) as arrivals:
                await here.until(lambda: position(store) in arrivals.leads)
                seen: list[int] = []
                for look in range(LOOKS):
                    async with started(config, slowly, ("status", "--json")) as running:
                        status = orjson.loads(await told(running))
                    seen.append(status["replay_ids"][CHANNEL])
                    assert status["backlog"]["Lead"] == arrivals.leads[seen[-1]], "status tells of two moments"
                    copy = tmp_path / f"copy{look}.db"
                    async with started(config, slowly, ("backup", str(copy))) as running:
                        await told(running)
                    seen.append(check_copy(copy, arrivals))
                    await arrivals.more(here, store)
            assert seen == sorted(set(seen)), f"commits went on between any two looks: {seen}"
            assert daemon.exit_code is None


def check_copy(copy: Path, arrivals: Arrivals) -> int:
    """The copy is whole, and of one moment; returns the position in it."""
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("entry", "record"):
            found = database.execute(f"SELECT count(*) FROM {table} WHERE object = 'Lead'").fetchone()[0]  # noqa: S608 - two names
            assert found == arrivals.leads[position(copy)], f"the copy's {table} is of another moment"
    return position(copy)
