"""Memory, and the time to readiness, with a backlog and with an empty store; the daemon is a process, as users run it.

Readiness is what the service manager hears (`READY=1`). Delivery is paused, so that the backlog stays while memory is read.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from bench.measure import Figure, Size, Target, alternate
from bench.services import Remote, services
from bench.setting import backlog, config_at
from store import holds
from store.store import Store
from stream.cli.demo_daemon import clean_environment

READY_SECONDS_MAX = 120.0
READ_AT_MOST = 15_000


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that is ready."""

    pid: int
    ready_seconds: float

    def resident_mb(self) -> float:
        """Its memory in RAM."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def processor_seconds(self) -> float:
        """What it worked so far, in user mode and in the kernel."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")  # in nanoseconds; `stat` counts only hundredths
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


@asynccontextmanager
async def daemon_process(folder: Path, config: Path) -> AsyncIterator[Running]:
    """`msi-stream run`, from its start to its end."""
    loop, address = asyncio.get_running_loop(), folder / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, (folder / "log").open("wb") as log:
        heard.bind(str(address))
        heard.setblocking(False)
        began = time.perf_counter()
        command = (sys.executable, "-c", "from stream.cli.main import main; main()", "run", "--config", str(config))
        environment = {**clean_environment(), "NOTIFY_SOCKET": str(address)}
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                while b"READY=1" not in await loop.sock_recv(heard, 4096):
                    pass
            yield Running(process.pid, time.perf_counter() - began)
        finally:
            process.terminate()
            await process.wait()


async def measured(remote: Remote, folder: Path, settled_seconds: float) -> tuple[float, float]:
    """Seconds to readiness, and megabytes once it has settled."""
    async with daemon_process(folder, config_at(folder, remote)) as running:
        await asyncio.sleep(settled_seconds)
        return running.ready_seconds, running.resident_mb()


async def paused_store(folder: Path, count: int) -> None:
    """A store with this backlog, delivery paused."""
    if count:
        await backlog(folder / "store.db", count)
    store = await Store.open(folder / "store.db")
    await store.submit(lambda tx: holds.pause(tx, ["deliver"], 0.0))
    await store.close()


def first_read(count: int) -> list[str]:
    """Whom the sweep over scores reads meanwhile, of so many people: the first ones in the order of their ids as texts."""
    return nsmallest(READ_AT_MOST, map(str, range(1, count + 1)))


async def figures(size: Size) -> list[Figure]:
    """Two rows from the same runs."""
    count, settled_seconds = size.of(tiny=1_000, quick=100_000, whole=1_000_000), size.of(tiny=1, quick=1, whole=3)
    seconds: dict[str, list[float]] = {}
    megabytes: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {each: Path(name) / each for each in ("backlog", "idle", "control")}
        for each, folder in folders.items():
            folder.mkdir()
            await paused_store(folder, count if each == "backlog" else 0)
        async with services() as remote:
            await remote.ask("people_with", marketo_ids=first_read(count))

            async def once(each: str) -> float:
                ready, resident = await measured(remote, folders[each], settled_seconds)
                seconds.setdefault(each, []).append(ready)
                megabytes.setdefault(each, []).append(resident)
                return ready

            await alternate({each: lambda each=each: once(each) for each in folders}, size.turns)  # type: ignore[misc] # a default binds it
    order = list(folders)
    return [
        Figure(
            f"memory, backlog {count:,}",
            "MB",
            "the idle daemon",
            Target(1.5, 150, least=False),
            {each: megabytes[each] for each in order},
        ),
        Figure(
            f"start, backlog {count:,}",
            "s",
            "an empty store",
            Target(2.0, 2.0, least=False),
            {each: seconds[each] for each in order},
        ),
    ]
