"""One client under one torture: its program, started again when it ends, beside the service."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.services import Remote, services
from bench.torture.judging import Judged, Notes, Request, judge

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RESTART_SECONDS = 0.1  # as systemd has it where a unit says nothing else
WARM_EVENTS = 20
START_SECONDS = 60.0
MISSING_SECONDS = 5.0
"""How long what is missing after the recovery is waited for."""

CLIENTS: dict[str, tuple[str, ...]] = {
    "daemon": (sys.executable, "-m", "bench.torture.clients", "daemon"),
    "aiosfstream-ng": (sys.executable, "-m", "bench.torture.clients", "aiosfstream"),
    "cometd": ("node", str(HERE / "cometd.mjs")),
    "jsforce": ("node", str(HERE / "jsforce.mjs")),
}
TORTURES = ("lost_answer", "duplicates", "unknown_client", "refused_token", "stale_replay_id", "refused_subscribe", "hung_poll")
POLL_HARMED = {"hung_poll", "lost_answer"}


def missing() -> str:
    """Why the clients for Node.js cannot run here, or nothing."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if (ROOT / "node_modules" / "jsforce").is_dir() else "node_modules is missing: npm ci"


@dataclass(slots=True)
class Program:
    """A client's program, and when it received which event."""

    command: Sequence[str]
    received: list[tuple[float, str]] = field(default_factory=list)
    starts: int = 0
    said: str = ""

    async def run(self) -> None:
        """Start it, and again whenever it ends, until cancelled."""
        while True:
            self.starts += 1
            process = await asyncio.create_subprocess_exec(
                *self.command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, limit=1 << 24
            )
            try:
                await asyncio.gather(self._listen(process.stdout), self._overhear(process.stderr))
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await asyncio.sleep(RESTART_SECONDS)

    async def _listen(self, out: asyncio.StreamReader | None) -> None:
        while out is not None and (line := await out.readline()):
            if line.startswith(b'{"event":') and isinstance(said := json.loads(line)["event"], str) and len(said) == 18:
                self.received.append((time.monotonic(), said))

    async def _overhear(self, errors: asyncio.StreamReader | None) -> None:
        while errors is not None and (line := await errors.readline()):
            self.said = (self.said + line.decode(errors="replace"))[-2000:]


@asynccontextmanager
async def running(client: str, remote: Remote, folder: Path) -> AsyncIterator[Program]:
    """The client's program against the service."""
    settings = dict(remote.settings)
    program = Program([*CLIENTS[client], settings.pop("url"), str(folder), json.dumps(settings)])
    task = asyncio.create_task(program.run())
    try:
        yield program
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run(client: str, torture: str, limit_seconds: float) -> Judged:
    """One run. A client that did not recover within the limit is judged by what it had then."""
    with tempfile.TemporaryDirectory() as name:
        async with services("bench.torture.service") as remote, running(client, remote, Path(name)) as program:
            await _warm(client, program, remote)
            harmed = float(await remote.ask("harm", which=torture))
            judged = await _until(program, remote, harmed, torture, limit_seconds)
            await remote.ask("quiet")
            if judged.recover_seconds is None and torture != "duplicates":
                return judged
            deadline = time.monotonic() + MISSING_SECONDS
            while (judged := judge(await _notes(program, remote, harmed, torture))).lost and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            return judged


async def _warm(client: str, program: Program, remote: Remote) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await remote.ask("begin")
            while len(program.received) < WARM_EVENTS:
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise RuntimeError(f"{client} receives nothing: {program.said}") from None


async def _until(program: Program, remote: Remote, harmed: float, torture: str, limit_seconds: float) -> Judged:
    """Wait for the recovery, or as long as the limit."""
    while True:
        judged = judge(await _notes(program, remote, harmed, torture))
        if judged.recover_seconds is not None or time.monotonic() > harmed + limit_seconds:
            return judged
        await asyncio.sleep(0.1)


async def _notes(program: Program, remote: Remote, harmed: float, torture: str) -> Notes:
    received = list(program.received)
    told: Any = await remote.ask("told")
    return Notes(
        harmed=harmed,
        published=[(at, event) for at, event in told["published"]],
        received=received,
        requests=[Request(*each) for each in told["requests"]],
        poll_harmed=torture in POLL_HARMED,
    )
