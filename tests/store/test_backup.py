"""Copies of the store: whole, of one moment, readable by the owner alone, and never half there under their name."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from store.backup import clear_parts, copy
from store.errors import StoreBlocked, StoreForeign, StoreUnusable
from store.sql import migrations
from store.store import Store
from tests.crash.crashing import small_disk
from tests.store.outbox_steps import NOON, event, sf_id

LEADS = 400


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store with some megabytes in it, as a daemon left it that runs on."""
    path = tmp_path / "store.db"
    async with daemons(path) as opened:
        await opened.take([event("Lead", sf_id("Lead", n), {"Description": "x" * 9000}) for n in range(LEADS)], None, NOON)
    return path


@asynccontextmanager
async def daemons(path: Path) -> AsyncIterator[Store]:
    """The store as a running daemon has it open."""
    opened = await Store.open(path)
    try:
        yield opened
    finally:
        await opened.close()


def entries(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM entry").fetchone()[0])


def leftovers(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if "copy" in each.name)


async def test_a_copy_is_a_store_of_its_own_for_its_owner_alone(tmp_path: Path, store: Path) -> None:
    target = tmp_path / "copy.db"
    old = os.umask(0)
    try:
        size = await copy(store, target)
    finally:
        os.umask(old)
    assert target.stat().st_size == size > 9000 * LEADS
    assert target.stat().st_mode & 0o777 == 0o600
    assert leftovers(tmp_path) == ["copy.db"], "one file, and nothing beside it"
    assert entries(target) == LEADS
    async with daemons(target) as opened:
        assert await opened.backlog() == {"Lead": LEADS}


async def test_it_is_of_one_moment_though_the_daemon_goes_on_writing(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(store, isolation_level=None, check_same_thread=False)
    steps: list[tuple[int, int]] = []

    def write_on(done: int, total: int) -> None:
        steps.append((done, total))
        other.execute("INSERT INTO note (name, value) VALUES (?, '1')", (f"later-{len(steps)}",))

    monkeypatch.setattr("store.backup.PAGES_A_STEP", 64)
    with closing(other):
        await copy(store, tmp_path / "copy.db", progress=write_on)
    assert len(steps) > 5
    assert [done for done, _ in steps] == sorted(done for done, _ in steps), "it never had to begin again"
    with closing(sqlite3.connect(tmp_path / "copy.db")) as database:
        assert database.execute("SELECT count(*) FROM note WHERE name LIKE 'later-%'").fetchone() == (0,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_what_is_only_in_the_log_is_copied_too(tmp_path: Path, store: Path) -> None:
    async with daemons(store) as writer:
        await writer.take([event("Lead", sf_id("Lead", 9999), {"Description": "y"})], None, NOON)
        await copy(store, tmp_path / "copy.db")
    assert entries(tmp_path / "copy.db") == LEADS + 1


async def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path, store: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(StoreUnusable, match="is there already"):
        await copy(store, target)
    assert target.read_text() == "precious"
    await copy(store, target, replace=True)
    assert entries(target) == LEADS


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "link.db"])
async def test_the_store_itself_is_never_replaced(tmp_path: Path, store: Path, name: str) -> None:
    (tmp_path / "link.db").symlink_to(store)
    async with daemons(store) as writer:
        await writer.put_note("logged", 1)
        with pytest.raises(StoreUnusable, match="is the store itself"):
            await copy(store, tmp_path / name, replace=True)
    assert entries(store) == LEADS


@pytest.mark.parametrize("name", ["nowhere/copy.db", "."])
async def test_a_place_that_cannot_be_is_refused(tmp_path: Path, store: Path, name: str) -> None:
    with pytest.raises(StoreUnusable):
        await copy(store, tmp_path / name, replace=True)


async def test_a_store_that_is_none_makes_no_copy(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("no database, certainly none at all, and longer than any header has to be" * 3)
    with pytest.raises(StoreForeign):
        await copy(tmp_path / "store.db", tmp_path / "copy.db")
    with pytest.raises(StoreUnusable, match="there is no store"):
        await copy(tmp_path / "other.db", tmp_path / "copy.db")
    assert leftovers(tmp_path) == []


async def test_an_older_schema_is_copied_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{migrations()[0]}\nPRAGMA application_id = {0x4D534953};\nPRAGMA user_version = 1;")
    await copy(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)


async def test_a_damaged_store_is_said_and_leaves_an_older_copy_alone(tmp_path: Path, store: Path) -> None:
    target = tmp_path / "copy.db"
    await copy(store, target)
    with store.open("r+b") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * 4096 * 40)
    with pytest.raises(StoreUnusable, match="damaged"):
        await copy(store, target, replace=True)
    assert entries(target) == LEADS
    assert leftovers(tmp_path) == ["copy.db"]


async def test_a_full_disk_is_named_as_the_copys_own_and_leaves_nothing(tmp_path: Path, store: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        with pytest.raises(StoreBlocked, match="full") as raised:
            await copy(store, disk / "copy.db")
        assert str(disk) in str(raised.value)
        assert list(disk.iterdir()) == []


async def test_two_backups_to_one_place_are_not_mixed(tmp_path: Path, store: Path) -> None:
    with (tmp_path / ".copy.db.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreBlocked, match="another backup"):
            await copy(store, tmp_path / "copy.db")
        clear_parts(tmp_path)
        assert leftovers(tmp_path) == [".copy.db.part"], "it is under way"


async def test_what_a_killed_backup_left_is_cleared_and_was_never_under_the_name(tmp_path: Path, store: Path) -> None:
    script = f"""
import asyncio, os, signal
from pathlib import Path
from store import backup
backup.PAGES_A_STEP = 16
def die(done, total):
    if done > 64:
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(backup.copy(Path({str(store)!r}), Path({str(tmp_path / "copy.db")!r}), progress=die))
"""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await killed.wait() == -signal.SIGKILL
    assert ".copy.db.part" in leftovers(tmp_path)
    assert "copy.db" not in leftovers(tmp_path)
    clear_parts(tmp_path)
    assert ".copy.db.part" not in leftovers(tmp_path)
    await copy(store, tmp_path / "copy.db")
    assert entries(tmp_path / "copy.db") == LEADS
