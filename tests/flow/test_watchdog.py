"""The real daemon under a service manager's eyes: ready, how it stands, and that whatever hangs is named and starves it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store.errors import StoreBlocked
from store.writer import Writer
from stream.capture import Capture
from stream.deliver import Deliver
from stream.delivery.dispatch import Dispatch
from stream.load import Load
from stream.reading import Reading
from stream.reconcile import Reconcile
from stream.scores import Scores
from stream.watch.notify import Notify
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world

LIMIT_SECONDS = 40.0  # of the world's clock, which runs faster than the machine's


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.status: list[str] = []
        self.ready = 0
        self.fed = 0

    def hear(self) -> None:
        """Take what has come."""
        while True:
            try:
                message = self._listening.recv(65536).decode()
            except BlockingIOError:
                return
            for line in message.splitlines():
                name, _, value = line.partition("=")
                self.ready += name == "READY"
                self.fed += name == "WATCHDOG"
                if name == "STATUS":
                    self.status.append(value)

    async def until(self, here: World, done: Callable[[], Any], seconds: float = 20.0) -> None:
        """Wait until something was heard."""

        def heard() -> bool:
            self.hear()
            return bool(done())

        await here.until(heard, seconds)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield Manager(listening)


async def start(here: World, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Start the daemon under the manager's eyes, every loop with the same short time."""
    await here.start()
    daemon = here.running
    daemon.supervision.notify = Notify(str(here.folder / "notify"), watchdog_seconds=4.0)
    daemon.time_limits = dict.fromkeys(daemon.time_limits, limit_seconds)


async def test_a_daemon_with_nothing_to_do_goes_on_being_fed_and_says_so(tmp_path: Path, manager: Manager) -> None:
    async with world(tmp_path) as here:
        await start(here)
        await manager.until(here, lambda: manager.ready and manager.status[-1:] == ["ok: 0 waiting"])
        began, fed = here.clock.monotonic(), manager.fed
        await manager.until(here, lambda: here.clock.monotonic() - began > 1.3 * LIMIT_SECONDS)
        assert manager.fed >= fed + 12
        assert manager.ready == 1
        assert not here.events("loop_hangs")
        company(here)
        await here.until_equal()
        await manager.until(here, lambda: "freshness" in manager.status[-1])


async def test_with_both_services_away_it_is_ready_says_so_and_is_fed(tmp_path: Path, manager: Manager) -> None:
    async with world(tmp_path, speed=10.0) as here:
        config = here.write_config().read_text()
        away = {here.salesforce.base_url: "http://127.0.0.1:9", here.marketo.base_url: "http://127.0.0.1:9"}
        here.overrides = {"salesforce.login_url": "http://127.0.0.1:9", "marketo.base_url": "http://127.0.0.1:9"}
        assert all(url in config for url in away)
        await start(here)
        await manager.until(here, lambda: manager.ready)
        await manager.until(here, lambda: any("nothing comes from Salesforce" in status for status in manager.status))
        assert manager.status[-1].startswith("failing: 0 waiting; nothing comes from Salesforce: ")
        assert "more: msi-stream status" in manager.status[-1]
        began, fed = here.clock.monotonic(), manager.fed
        await manager.until(here, lambda: here.clock.monotonic() - began > 1.3 * LIMIT_SECONDS)
        assert manager.fed >= fed + 12, "attempts that fail are attempts"
        assert not here.events("loop_hangs")


Hang = tuple[type[Any], str, str]
HANGS: tuple[Hang, ...] = (
    (Capture, "_take", "capture"),
    (Reading, "_wait_seconds", "reading"),
    (Reconcile, "_turn", "reconcile"),
    (Load, "_turn", "load"),
    (Deliver, "_start_batches", "deliver"),
    (Dispatch, "deliver", "deliver Lead"),
    (Scores, "_turn", "scores"),
    (Writer, "_commit", "heartbeat"),
)


@pytest.mark.parametrize("hang", HANGS, ids=[f"{owner.__name__}.{method}" for owner, method, _ in HANGS])
async def test_whatever_hangs_starves_the_watchdog_and_is_named(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, hang: Hang
) -> None:
    owner, method, loop = hang
    released = asyncio.Event()
    original: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def hung(*args: Any, **kwargs: Any) -> Any:
        await released.wait()
        return await original(*args, **kwargs)

    async with world(tmp_path, speed=20.0) as here:
        here.touch_built_in_users()
        await start(here, 30.0)
        await manager.until(here, lambda: manager.ready and here.report().ok)
        monkeypatch.setattr(owner, method, hung)
        here.org.create("Lead", lead_of("Hung"))
        await manager.until(here, lambda: loop in {said["loop"] for said in here.events("loop_hangs")})
        manager.hear()
        fed, began = manager.fed, here.clock.monotonic()
        await manager.until(here, lambda: here.clock.monotonic() - began > 10)
        assert manager.fed == fed, "nothing feeds it while something hangs"
        assert loop in manager.status[-1]
        released.set()
        await manager.until(here, lambda: manager.fed > fed)
        await here.until_equal()


async def test_a_marketo_that_takes_its_time_is_no_hung_loop(tmp_path: Path, manager: Manager) -> None:
    async with world(tmp_path) as here:
        here.marketo.latency_seconds = 0.5 * LIMIT_SECONDS / here.clock.speed
        company(here)
        await start(here)
        await manager.until(here, lambda: here.report().ok, 60.0)
        assert not here.events("loop_hangs")


async def test_a_store_that_cannot_be_written_is_waited_out_and_no_hang(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = asyncio.Event()
    original = Writer._transaction

    async def transaction(self: Writer, jobs: Any) -> None:
        if full.is_set():
            raise StoreBlocked("the disk is full", hint="free some space")
        await original(self, jobs)

    monkeypatch.setattr(Writer, "_transaction", transaction)
    async with world(tmp_path, speed=20.0) as here:
        here.touch_built_in_users()
        await start(here, 70.0)  # longer than the longest wait between two attempts to commit
        await manager.until(here, lambda: manager.ready and here.report().ok)
        full.set()
        here.org.create("Lead", lead_of("Full"))
        began, fed = here.clock.monotonic(), manager.fed
        await manager.until(here, lambda: here.clock.monotonic() - began > 150)
        assert manager.fed >= fed + 20
        assert here.events("store_blocked")
        assert not here.events("loop_hangs")
        full.clear()
        await here.until_equal()
