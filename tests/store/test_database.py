"""Opening the file: whose it is, how durable it is, who else has it; and what is said where it cannot be used."""
# ruff: noqa: ASYNC240 - a test may wait for its own disk

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import APPLICATION_ID, held, is_held
from store.errors import StoreBusy, StoreError, StoreForeign, StoreNewer, StoreUnusable
from store.sql import migrations
from store.store import Store

HOLDER = """
import asyncio, sys
from pathlib import Path
from store.store import Store

async def hold():
    store = await Store.open(Path(sys.argv[1]))
    await store.put_note("held", 1)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""

AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
import aiosqlite
from store.errors import StoreUnusable
from store.store import Store

os.setuid(65534)
try:
    asyncio.run(Store.open(Path(sys.argv[1])))
except StoreUnusable as error:
    print(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store would be."""
    return tmp_path / "store.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def fresh(path: Path) -> None:
    store = await Store.open(path)
    await store.put_note("ours", 1)
    await store.close()


# ── the file


async def test_everything_on_disk_is_for_this_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        store = await Store.open(path)
        await store.put_note("n", 1)
        files = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)
    assert files == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.db.lock"], 0o600)


async def test_a_commit_is_on_disk_before_anybody_is_told(path: Path) -> None:
    store = await Store.open(path)

    async def pragma(name: str) -> object:
        return next(iter(await store.writer.connection.execute_fetchall(f"PRAGMA {name}")))[0]

    assert [await pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
    await store.close()


async def test_a_fresh_store_has_every_step_of_the_schema(path: Path) -> None:
    await fresh(path)
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone()[0] == len(migrations())
    assert raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    raw.close()


async def test_a_store_opened_again_is_as_it_was_left(path: Path) -> None:
    await fresh(path)
    store = await Store.open(path, create=False)
    assert await store.note("ours") == 1
    await store.close()


async def test_a_store_of_an_earlier_step_is_brought_up_to_date(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(f"{migrations()[0]}\nPRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")
    raw.execute("INSERT INTO note (name, value) VALUES ('old', '1')")
    raw.commit()
    raw.close()
    store = await Store.open(path)
    assert await store.note("old") == 1
    await store.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone()[0] == len(migrations())
    raw.close()


async def test_without_the_lock_the_schema_is_left_alone(path: Path) -> None:
    """A command beside the daemon does not migrate."""
    path.touch()
    with pytest.raises(StoreUnusable, match="is empty"):
        await Store.open(path, exclusive=False)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    raw.close()


# ── one daemon


async def test_a_second_daemon_is_refused(path: Path) -> None:
    store = await Store.open(path)
    assert is_held(path)
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}.*store.db"):
        await Store.open(path)
    await store.put_note("still", "mine")
    await store.close()
    assert not is_held(path)
    await fresh(path)


async def test_a_daemon_in_another_process_is_refused_until_it_dies(path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_held(path)
    with pytest.raises(StoreBusy, match=f"process {holder.pid}"):
        await Store.open(path)
    beside = await Store.open(path, create=False, exclusive=False)
    assert await beside.note("held") == 1
    await beside.close()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_held(path)
    store = await Store.open(path)
    assert await store.note("held") == 1
    await store.close()


async def test_the_holder_can_say_something_beside_the_store(path: Path) -> None:
    assert held(path) is None
    store = await Store.open(path)
    assert held(path) == ""
    size = path.with_name("store.db.lock").stat().st_size
    store.say("the disk is full\n" + "and so on " * 1000)
    said = held(path) or ""
    assert said.startswith("the disk is full and so on")
    with pytest.raises(StoreBusy, match=rf"\(process {os.getpid()}\) holds"):
        await Store.open(path)
    store.say("")
    assert held(path) == ""
    assert path.with_name("store.db.lock").stat().st_size == size  # which a full disk could not give it
    store.say("not seen to the end")
    await store.close()
    assert held(path) is None
    again = await Store.open(path)
    assert held(path) == ""
    await again.close()


async def test_a_look_from_outside_leaves_the_log_to_the_daemon(path: Path) -> None:
    """Whoever closes the file last empties the log and deletes it. That must not be somebody who came and went meanwhile."""
    await fresh(path)
    store = await Store.open(path)
    await store.put_note("n", 1)
    log = path.with_name("store.db-wal")
    before = log.stat().st_ino
    ask = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM note').fetchone())"
    for _ in range(2):
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", ask, str(path)], check=True, capture_output=True)
        assert log.stat().st_ino == before
        await store.put_note("n", 2)
    await store.close()


async def test_a_command_beside_the_daemon_is_seen_by_it(path: Path) -> None:
    store = await Store.open(path)
    assert await store.others_wrote(), "it was never asked before"
    assert not await store.others_wrote()
    await store.put_note("own", 1)
    assert not await store.others_wrote()
    beside = await Store.open(path, create=False, exclusive=False)
    await beside.put_note("asked", 1)
    assert await store.others_wrote()
    assert not await store.others_wrote()
    await beside.close()
    await store.close()


# ── what is not ours


def other_program(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (a)")
    raw.commit()
    raw.close()


def other_application(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA application_id = 4711")
    raw.commit()
    raw.close()


def newer(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 999;")
    raw.close()


def text(path: Path) -> None:
    path.write_text("a list of things to do, which is no database at all\n" * 40)


def cut_short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0 and then nothing that SQLite would know")


REFUSED = [
    (other_program, StoreForeign, "another program"),
    (other_application, StoreForeign, "another program"),
    (text, StoreForeign, "no SQLite database"),
    (newer, StoreNewer, "schema 999"),
    (cut_short, StoreForeign, "no SQLite database"),
]


@pytest.mark.parametrize(("made_by", "error", "says"), REFUSED, ids=lambda each: getattr(each, "__name__", ""))
@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_file_that_is_not_ours_is_left_as_it_was(
    path: Path, made_by: object, error: type[StoreError], says: str, exclusive: bool
) -> None:
    assert callable(made_by)
    made_by(path)
    before = path.read_bytes()
    with pytest.raises(error, match=says) as refusal:
        await Store.open(path, exclusive=exclusive)
    assert str(path) in refusal.value.message
    assert refusal.value.hint
    assert path.read_bytes() == before
    assert not is_held(path)


async def test_a_directory_is_no_store(tmp_path: Path) -> None:
    folder = tmp_path / "store.db"
    folder.mkdir()
    with pytest.raises(StoreForeign, match="is a directory"):
        await Store.open(folder)
    assert list(folder.iterdir()) == []


async def test_a_missing_directory_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"nowhere: No such file or directory \(create it"):
        await Store.open(tmp_path / "nowhere" / "store.db")


async def test_a_file_in_the_directorys_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match="file: Not a directory"):
        await Store.open(tmp_path / "file" / "store.db")


async def test_a_store_that_was_never_made_is_not_made_by_looking(path: Path) -> None:
    with pytest.raises(StoreUnusable, match="there is no store"):
        await Store.open(path, create=False, exclusive=False)
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnusable, match="Permission denied"):
        await Store.open(tmp_path / "store.db")
    tmp_path.chmod(0o700)


def test_a_process_without_permission_gets_one_clear_message(tmp_path: Path) -> None:
    """As root, by giving root's rights away in a process of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(folder / "store.db")], capture_output=True, text=True, check=False, timeout=30
    )
    assert "Permission denied" in done.stdout, done.stderr
    assert "user id 65534" in done.stdout


async def test_a_failed_open_gives_the_lock_back(path: Path) -> None:
    other_program(path)
    for _ in range(2):
        with pytest.raises(StoreForeign):
            await Store.open(path)
    path.unlink()
    await fresh(path)


async def test_a_damaged_store_says_so_with_the_cure(path: Path) -> None:
    await fresh(path)
    body = bytearray(path.read_bytes())
    body[200:4096] = b"\xff" * (4096 - 200)
    path.write_bytes(bytes(body))
    with pytest.raises(StoreUnusable, match=r"damaged.*restore the newest backup"):
        await Store.open(path)
