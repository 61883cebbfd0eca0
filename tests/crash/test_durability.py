"""From the daemon's system calls: what counts as taken is on the disk, and a crash between any two writes keeps the promise.

An event counts as taken when `Store.take` has returned: its replay id was stored in the transaction that stored it. So whenever
the log says `events_taken`, and whenever a subscribe asks for what comes after a replay id, all up to there must be synced.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store.store import Store
from tests.crash.recorder import Call, Disk, Traced, lay_out, recorded
from tests.flow.scenes import deal, lead_of
from tests.flow.world import World, world

SEED = 11
ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)
LATER = 10  # events that are taken one by one in each life
CHANNEL = "/data/ChangeEvents"

Image = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Recording:
    """Three lives of a daemon on one store, and what Salesforce published meanwhile: replay id → record ids."""

    store: Path
    lives: Sequence[tuple[Traced, Sequence[Call]]]
    published: Mapping[int, Sequence[str]]

    def calls(self) -> Iterator[tuple[Call, list[dict[str, Any]]]]:
        """All calls, each with the log lines that it wrote."""
        for life, calls in self.lives:
            for call in calls:
                yield call, life.said(call)


async def _live(folder: Path) -> Recording:
    store = folder / "store.db"
    lives: list[tuple[Traced, Sequence[Call]]] = []
    async with world(folder, speed=1.0, log__level="debug") as here:
        deal(here)
        config = here.write_config()
        for number in ENDS:
            with recorded(config, store) as running:
                await here.until_equal(seconds=60)
                for each in range(LATER):
                    here.org.create("Lead", lead_of(f"L{number}{each}"))
                    await _until_taken(here, running)
                await here.until_equal(seconds=60)
                await running.end(number)
            lives.append((running, running.calls(lives[-1][1][-1].ended + 1 if lives else 0)))
        published = {
            event["event"]["replayId"]: event["payload"]["ChangeEventHeader"]["recordIds"] for event in here.org.log.events()
        }
    return Recording(store, lives, published)


async def _until_taken(here: World, running: Traced) -> None:
    newest = here.org.log.last_replay_id
    async with asyncio.timeout(30):
        while True:
            running.hear()
            if any(line.get("replay_id") == newest for line in running.lines if line["event"] == "events_taken"):
                return
            await asyncio.sleep(0.005)  # noqa: TID251 - polling another process


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Made once: both kinds of test look at the same lives."""
    return asyncio.run(_live(tmp_path_factory.mktemp("recorded")))


def position(image: Image, folder: Path) -> int:
    """The replay id that the next start would subscribe with; 0 where none is stored."""
    with closing(sqlite3.connect(lay_out(dict(image), folder))) as database:
        tables = next(database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'replay'"))[0]
        return next(iter(database.execute("SELECT replay_id FROM replay")), (0,))[0] if tables else 0


@pytest.mark.timeout(120)
def test_what_counts_as_taken_is_synced(recording: Recording, tmp_path: Path) -> None:
    disk = Disk(recording.store)
    told: list[int] = []
    for call, lines in recording.calls():
        disk.take(call)
        taken = [line["replay_id"] for line in lines if line["event"] == "events_taken" and line["replay_id"] is not None]
        if taken:
            assert position(disk.synced(), tmp_path / "image") >= max(taken)
            told += taken
    assert set(told) <= recording.published.keys()
    assert len(set(told)) > len(ENDS) * LATER
    assert max(told) == max(recording.published)


def subscribed(call: Call) -> int | None:
    """The replay id that this call subscribes with, if it does."""
    found = re.search(rb'"replay":\s*\{"' + re.escape(CHANNEL.encode()) + rb'":\s*(-?\d+)', call.data)
    return int(found[1]) if call.name == "sendto" and found else None


@pytest.mark.timeout(120)
def test_nobody_subscribes_beyond_what_is_synced(recording: Recording, tmp_path: Path) -> None:
    disk = Disk(recording.store)
    asked: list[int] = []
    for call, _ in recording.calls():
        disk.take(call)
        replay_id = subscribed(call)
        if replay_id is not None:
            asked.append(replay_id)
            assert position(disk.synced(), tmp_path / "image") >= replay_id
    assert asked[0] == -2
    assert len(asked) == len(ENDS)
    assert all(replay_id in recording.published for replay_id in asked[1:])


@pytest.mark.timeout(120)
def test_what_a_killed_daemon_had_only_written_the_next_one_syncs_before_it_goes_on(recording: Recording) -> None:
    disk = Disk(recording.store)
    (_, first), (_, killed), (_, third) = recording.lives
    for call in (*first, *(each for each in killed if each.name not in {"fsync", "fdatasync"})):
        disk.take(call)
    assert disk.synced() != disk.after_kill()
    for call in third:
        if call.name in {"pwrite64", "sendto"} and (disk.knows(call) or subscribed(call)):
            break
        disk.take(call)
    assert disk.synced() == disk.after_kill()


@pytest.mark.timeout(120)
def test_every_commit_of_the_log_is_synced_before_the_next_begins(recording: Recording) -> None:
    """A commit's last frame in the log bears the size of the database; between it and the log's next write there is a sync."""
    log, unsynced, commits = str(recording.store) + "-wal", 0, 0
    for call, _ in recording.calls():
        if call.path != log:
            continue
        if call.name == "pwrite64":
            assert unsynced != 1, "the next commit begins before this one is synced"
        if call.name == "pwrite64" and len(call.data) == 24 and call.data[4:8] != bytes(4):
            unsynced = -1  # its page comes with the next write
            commits += 1
        elif call.name == "pwrite64" and unsynced < 0:
            unsynced = 1
        elif call.name == "fdatasync":
            unsynced = 0
    assert commits > 4 * LATER


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Memory, where there is some to be had as a disk: a thousand images need no disk of their own."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own in it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


async def check_promise(image: Image, folder: Path, told: int, published: Mapping[int, Sequence[str]]) -> int:
    """A store cut off like this opens, is whole, misses nothing up to its position, and goes on; returns the position."""
    store = await Store.open(lay_out(dict(image), folder))
    try:
        connection = store.writer.connection
        assert [tuple(row) for row in await connection.execute_fetchall("PRAGMA integrity_check")] == [("ok",)]
        stored = await store.replay(CHANNEL)
        reached = stored.replay_id if stored is not None else 0
        assert reached >= told, "what counted as taken is gone"
        assert reached in {0, *published}
        rows = await connection.execute_fetchall(
            "SELECT r.record_id FROM record r LEFT JOIN entry e USING (object, record_id) WHERE r.state <> 'seen' OR e.entry_id"
        )
        known = {row[0] for row in rows}
        missing = [each for replay_id, ids in published.items() if replay_id <= reached for each in ids if each not in known]
        assert not missing, "the position lies beyond what is stored"
        await store.recover(0, 0)
        assert not list(await connection.execute_fetchall("SELECT 1 FROM entry WHERE state = 'in_flight'"))
    finally:
        await store.close()
    return reached


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["kill", "power failure"])
async def test_a_crash_between_any_two_writes_keeps_the_promise(recording: Recording, quick_folder: Path, how: str) -> None:
    disk, chance = Disk(recording.store), random.Random(SEED)  # noqa: S311 - reproducible losses
    told, images, positions = 0, 0, set()
    for call, lines in recording.calls():
        told = max([told, *(line["replay_id"] or 0 for line in lines if line["event"] == "events_taken")])
        if disk.take(call):
            image = disk.after_kill() if how == "kill" else disk.after_power_failure(chance)
            positions.add(await check_promise(image, quick_folder / "image", told, recording.published))
            images += 1
    print(f"{images} images after a {how}, {len(positions)} positions")  # noqa: T201 - the test's own report
    assert images > 500
    assert len(positions) > len(ENDS) * LATER
    assert max(positions) == max(recording.published)
