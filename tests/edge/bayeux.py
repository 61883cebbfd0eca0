"""Drives the Bayeux server of npm `cometd-nodejs-server` as a process of its own; the tests' side of `bayeux_server.mjs`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

SCRIPT = Path(__file__).with_name("bayeux_server.mjs")
MODULE = Path(__file__).parents[2] / "node_modules" / "cometd-nodejs-server"
CHANNEL = "/data/ChangeEvents"


def missing() -> str | None:
    """Why the server cannot run here, or None where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not MODULE.exists():
        return "node_modules has no cometd-nodejs-server: run npm ci"
    return None


class BayeuxServer:
    """The server process, and its control connection."""

    def __init__(self, session: aiohttp.ClientSession, options: dict[str, Any]) -> None:
        self._session = session
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Login and instance URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process, on the port it had before."""
        options = json.dumps({**self._options, "port": self.port})
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec("node", str(SCRIPT), options, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        self.port = json.loads(await self._process.stdout.readline())["port"]

    async def stop(self) -> None:
        """Kill the process: all sessions and connections end, without a word."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await process.communicate()

    async def restart(self) -> None:
        """A crash and a start: the retained events are there again, sessions and tokens are not."""
        self._options |= await self.call("dump")
        await self.stop()
        await self.start()

    async def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """One command of the control interface."""
        async with self._session.post(f"{self.url}/control", json={"command": command, **arguments}) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def publish(self, *numbers: int, replay_ids: list[int] | None = None, **header: Any) -> list[int]:
        """Publish one change for each number; returns their replay ids."""
        payloads = [{"ChangeEventHeader": {"entityName": "Contact", **header}, "Number": one} for one in numbers]
        answer = await self.call("publish", channel=CHANNEL, payloads=payloads, replay_ids=replay_ids or [])
        ids: list[int] = answer["replay_ids"]
        return ids

    async def fault(self, channel: str, action: str, **more: Any) -> None:
        """Script one fault of requests whose first message is on this channel."""
        await self.call("fault", fault={"channel": channel, "action": action, **more})

    async def seen(self, channel: str) -> int:
        """How many requests came whose first message was on this channel."""
        count: int = (await self.call("stats"))["seen"].get(channel, 0)
        return count

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for the counts until they satisfy the condition; the test's own timeout bounds the wait."""
        async with asyncio.timeout(20):
            while not condition(stats := await self.call("stats")):
                pass
        return stats
