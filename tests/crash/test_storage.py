"""Faults of the disk under the running daemon: said, waited out, and nothing lost; what cannot heal ends it with one message."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from sandbox.faults import Fault
from store.database import APPLICATION_ID
from stream.cli.run import _tell_all
from stream.clock import SystemClock
from stream.config import load
from stream.operating.status import Status, status
from stream.salesforce.streaming import CometdSource
from stream.scores import Scores
from tests.crash.crashing import filled, remount, small_disk, started
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world
from tests.store.faults import sides, unwritable
from tests.store.test_faults import overwrite

BIG = "x" * 900


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Another program writes to the store, and does not end."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def read_only(store: Path) -> Iterator[None]:
    """Nobody may write the files any more, open or not."""
    with unwritable(*sides(store)):
        yield


@contextmanager
def log_read_only(store: Path) -> Iterator[None]:
    """Nobody may write the log any more."""
    with unwritable(sides(store)[1]):
        yield


@contextmanager
def full(store: Path) -> Iterator[None]:
    """Another program has taken all that was left of the disk."""
    with filled(store.parent):
        yield


PASSING: dict[str, tuple[Callable[[Path], AbstractContextManager[None]], str]] = {
    "disk full": (full, "is full"),
    "locked by another process": (locked, "locked"),
    "read-only": (read_only, "read-only"),
    "log read-only": (log_read_only, "read-only|refuses: disk I/O error"),  # SQLite says the one or the other
}


async def looked(config: Path) -> Status:
    """What `status` says now."""
    return await status(load(config, {}).settings, SystemClock().now())


async def connected(config: Path) -> None:
    """Wait until the daemon has written down that it hears Salesforce."""
    async with asyncio.timeout(20):
        while True:
            if (await looked(config)).facts["hours_to_loss"] is not None:
                return
            await asyncio.sleep(0.05)  # noqa: TID251 - polling another process


def position(store: Path) -> int:
    """The replay id on disk."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        return next(iter(database.execute("SELECT replay_id FROM replay")), (0,))[0]


def many_leads(here: World) -> None:
    """Enough to need more of the disk."""
    for number in range(400):
        here.org.create("Lead", lead_of(f"L{number}", Description=BIG))


@contextmanager
def storage(tmp_path: Path, kind: str) -> Iterator[Path]:
    """Where the store lies: on a small disk of its own where that is to be full."""
    if kind != "disk full":
        yield tmp_path / "store.db"
        return
    with small_disk(tmp_path / "disk", "8m") as disk:
        yield disk / "store.db"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_is_said_and_waited_out(tmp_path: Path, kind: str) -> None:
    fault, says = PASSING[kind]
    with storage(tmp_path, kind) as store:
        async with world(tmp_path, speed=1.0, store__path=str(store)) as here:
            company(here)
            config = here.write_config()
            async with started(config) as running:
                await here.until_equal()
                await connected(config)
                here.marketo.faults.add(Fault("respond", path="/rest/", times=None, status=503, body="down"))
                with fault(store):
                    many_leads(here)
                    await running.until_logged("store_blocked", 40)
                    before = position(store)
                    assert before < here.org.log.last_replay_id
                    found = await looked(config)
                    assert found.state == "failing"
                    assert "nothing can be stored since" in found.reasons[0]
                    assert re.search(says, found.reasons[0])
                    assert found.facts["hours_to_loss"] > 71
                    assert position(store) == before
                here.marketo.faults.clear()
                await running.until_logged("store_resumed", 60)
                await here.until_equal(seconds=60)
                assert (await looked(config)).state in {"ok", "degraded"}
                code = await running.end(signal.SIGTERM)
                assert (code, running.errors) == (0, "")
                [told] = [line for line in running.lines if line["event"] == "store_blocked"]
                assert (told["level"], bool(re.search(says, str(told["cause"]))), bool(told["cure"])) == ("error", True, True)
                assert [line["event"] for line in running.lines].count("store_resumed") == 1


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["disk full", "read-only"])
async def test_sigterm_while_nothing_can_be_stored_is_a_good_end(tmp_path: Path, kind: str) -> None:
    fault, _ = PASSING[kind]
    with storage(tmp_path, kind) as store:
        async with world(tmp_path, speed=1.0, store__path=str(store)) as here:
            company(here)
            config = here.write_config()
            async with started(config) as running:
                await here.until_equal()
                with fault(store):
                    many_leads(here)
                    await running.until_logged("store_blocked", 40)
                    assert await asyncio.wait_for(running.end(signal.SIGTERM), 40) == 0, running.errors
                    last = running.lines[-1]
                    assert (last["event"], last["level"], bool(last["cure"])) == ("daemon_stopped", "warning", True)
                    assert not running.errors
            async with started(config) as running:
                await here.until_equal(seconds=60)
                assert await running.end(signal.SIGTERM) == 0


@pytest.mark.timeout(90)
async def test_a_start_waits_for_a_lock_and_can_be_ended_meanwhile(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        config = here.write_config()
        async with started(config) as running:
            await here.until_equal()
            assert await running.end(signal.SIGTERM) == 0
        async with started(config) as running:
            with locked(store):
                await running.until_logged("store_blocked")
                assert await asyncio.wait_for(running.end(signal.SIGTERM), 30) == 0, running.errors
        async with started(config) as running:
            with locked(store):
                await running.until_logged("store_blocked")
            await running.until_logged("daemon_started", 40)
            assert await running.end(signal.SIGTERM) == 0, running.errors


@pytest.mark.timeout(60)
async def test_a_start_on_a_full_disk_is_one_message_and_status_still_reads(tmp_path: Path) -> None:
    with storage(tmp_path, "disk full") as store:
        async with world(tmp_path, speed=1.0, store__path=str(store)) as here:
            company(here)
            config = here.write_config()
            async with started(config) as running:
                await here.until_equal()
                assert await running.end(signal.SIGTERM) == 0
            with full(store):
                async with started(config) as running:
                    assert await running.wait() == 1
                assert f"the disk under {store} is full" in running.errors
                assert "Traceback" not in running.errors
                assert len(running.errors.strip().splitlines()) == 2
                found = await looked(config)
                assert found.state == "stopped"
                assert found.facts["people"]["synced"] > 0
            async with started(config) as running:
                await running.until_logged("daemon_started")
                assert await running.end(signal.SIGTERM) == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["damaged", "deleted", "replaced"])
async def test_what_cannot_heal_ends_it_with_one_line(tmp_path: Path, how: str) -> None:
    store = tmp_path / "store.db"
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        async with started(here.write_config()) as running:
            await here.until_equal()
            assert await running.end(signal.SIGTERM) == 0  # all is in the file now, and nothing of it in the next one's memory
        async with started(here.write_config()) as running:
            await running.until_logged("daemon_started")
            if how == "damaged":
                overwrite(store, 4096)
            elif how == "deleted":
                store.unlink()
            else:
                (tmp_path / "backup.db").write_bytes(store.read_bytes())
                (tmp_path / "backup.db").rename(store)
            many_leads(here)
            assert await asyncio.wait_for(running.wait(), 40) == 1
            failures = [line for line in running.lines if line["event"] == "daemon_failed"]
            assert len(failures) == 1, failures
            assert ("damaged" if how == "damaged" else "moved, deleted or replaced") in str(failures[0]["cause"])
            assert ("restore the newest backup" if how == "damaged" else "next start") in str(failures[0]["cure"])
            assert "trace" not in failures[0]
            assert not running.errors


async def test_a_loop_that_works_on_after_the_store_was_lost_tells_no_cause_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops end one after the other: whoever had an answer under way asks the store once more before it hears of the loss."""
    scores, asked_late = Scores.run, list[Scores]()

    async def working_on(self: Scores) -> None:
        try:
            await scores(self)
        finally:
            asked_late.append(self)
            await self.store.note("late")

    monkeypatch.setattr(Scores, "run", working_on)
    async with world(tmp_path) as here:
        company(here)
        await here.start()
        await here.until_equal()
        for side in sides(tmp_path / "store.db"):
            side.unlink()
        many_leads(here)
        with pytest.raises(BaseExceptionGroup) as lost:
            await here.until(lambda: False, 40)
        with pytest.raises(BaseExceptionGroup):
            await here.stop()
        assert len(asked_late) == 1
        assert _tell_all(lost.value) == 1
        [told] = here.events("daemon_failed")
        assert "moved, deleted or replaced" in told["cause"]
        assert "next start" in told["cure"]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("PRAGMA user_version = 999", "schema 999"),
        ("PRAGMA application_id = 4711", "another program"),
    ],
)
async def test_a_store_that_is_not_for_this_version_is_one_message(tmp_path: Path, statement: str, says: str) -> None:
    store = tmp_path / "store.db"
    with closing(sqlite3.connect(store, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(statement)
    before = store.read_bytes()
    async with world(tmp_path, speed=1.0) as here, started(here.write_config()) as running:
        assert await running.wait() == 2
        assert says in running.errors
        assert len(running.errors.strip().splitlines()) == 2
        assert store.read_bytes() == before


async def test_a_disk_that_is_read_only_at_the_start_is_one_message(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "900k") as disk:
        remount(disk, "ro")
        async with (
            world(tmp_path, speed=1.0, store__path=str(disk / "store.db")) as here,
            started(here.write_config()) as running,
        ):
            assert await running.wait() == 2
            assert str(disk) in running.errors
            assert len(running.errors.strip().splitlines()) == 2


async def test_a_file_that_is_read_only_at_the_start_is_one_message(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        config = here.write_config()
        async with started(config) as running:
            await running.until_logged("daemon_started")
            assert await running.end(signal.SIGTERM) == 0
        with unwritable(tmp_path / "store.db"):
            async with started(config) as running:
                assert await running.wait() == 2
        assert "read-only" in running.errors
        assert len(running.errors.strip().splitlines()) == 2


@asynccontextmanager
async def locked_beside(here: World) -> AsyncIterator[None]:
    """The same for a daemon in this very process, whose committer may be within a transaction just now."""
    with closing(sqlite3.connect(here.folder / "store.db", isolation_level=None, timeout=0)) as other:
        while not other.in_transaction:
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN EXCLUSIVE")
            await asyncio.sleep(0.001)  # noqa: TID251 - the committer's turn
        yield


async def test_what_arrives_meanwhile_is_bounded(tmp_path: Path) -> None:
    """The source holds what it may; then it lets the stream go, and Salesforce keeps the rest until the store takes again."""
    most = 50
    async with world(tmp_path) as here:
        company(here)
        await here.start()
        await here.until_equal()
        await here.stop()
        await here.start()
        daemon = here.running
        assert isinstance(daemon.capture.source, CometdSource)
        object.__setattr__(daemon.capture.source._limits, "pending_most", most)
        await here.until(lambda: daemon.capture.state == "connected")
        seen: list[int] = []
        assert here.store is not None
        await here.store.writer.connection.execute("PRAGMA busy_timeout = 20")
        async with locked_beside(here):
            for number in range(40):
                for each in range(10):
                    here.org.create("Lead", lead_of(f"L{number}-{each}"))
                await here.until(lambda: True)
                await asyncio.sleep(0.02)  # noqa: TID251 - the pace of the changes
                seen.append(daemon.capture.pending)
            await here.until(lambda: here.events("store_blocked"))
            await here.until(lambda: daemon.capture.pending > most)
            seen.append(daemon.capture.pending)
            assert here.org.log.last_replay_id > position(tmp_path / "store.db")
            waiting = here.store.writer._queue.qsize()
        assert max(seen) < 4 * most
        assert waiting < 20
        await here.until_equal(seconds=60)
