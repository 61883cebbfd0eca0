"""A simulated Marketo on a socket, a plain client of it, a clock that moves only when told, and a wait that ends when told."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from sandbox.marketo import Instance, SimulatedMarketo

START = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


@dataclass(slots=True)
class Moment:
    """A clock that stands still."""

    at: float = START

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.at


@dataclass(slots=True)
class Gate:
    """A wait: whoever sleeps stands at the gate until it opens. `full` is set once `expected` are waiting."""

    expected: int = 1
    waiting: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: float) -> None:
        """Wait for the gate instead of the clock."""
        self.waiting += 1
        if self.waiting >= self.expected:
            self.full.set()
        await self.opened.wait()


@dataclass(slots=True)
class World:
    """The service, and calls to it with a token in the header."""

    marketo: SimulatedMarketo
    session: aiohttp.ClientSession
    clock: Moment
    gate: Gate
    token: str = ""

    @property
    def instance(self) -> Instance:
        """What the service keeps."""
        return self.marketo.instance

    async def sign_in(self) -> dict[str, Any]:
        """Get a token and use it from now on."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.marketo.client_id,
            "client_secret": self.marketo.client_secret,
        }
        async with self.session.post(f"{self.marketo.base_url}/identity/oauth/token", data=form) as response:
            answer: dict[str, Any] = await response.json()
        self.token = answer["access_token"]
        return answer

    async def raw(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Any call: HTTP status, and the answer (text where it is no JSON)."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        url = f"{self.marketo.base_url}{path}"
        async with self.session.request(method, url, headers=headers, **more) as response:
            text = await response.text()
            return response.status, orjson.loads(text) if response.content_type == "application/json" else text

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """A query below /rest/v1."""
        status, answer = await self.raw("GET", f"/rest/v1/{path}.json", params=query)
        assert status == 200
        return dict(answer)

    async def post(self, path: str, body: Any) -> dict[str, Any]:
        """A write below /rest/v1."""
        data = io.BytesIO(orjson.dumps(body))
        headers = {"Content-Type": "application/json"}
        status, answer = await self.raw("POST", f"/rest/v1/{path}.json", data=data, headers=headers)
        assert status == 200
        return dict(answer)

    async def sync(self, path: str, *records: Any, **words: Any) -> list[dict[str, Any]]:
        """A sync that is answered record by record."""
        answer = await self.post(path, {**words, "input": list(records)})
        assert answer["success"], answer
        return list(answer["result"])


@asynccontextmanager
async def running(**marketo: Any) -> AsyncIterator[World]:
    """A service with a still clock, signed in."""
    clock, gate = Moment(), Gate()
    service = SimulatedMarketo(instance=Instance(now=clock, sleep=gate), **marketo)
    await service.start()
    async with aiohttp.ClientSession() as session:
        world = World(service, session, clock, gate)
        await world.sign_in()
        try:
            yield world
        finally:
            gate.opened.set()
            await service.stop()


def code(answer: dict[str, Any]) -> Any:
    """The code of a refused call or of a skipped record."""
    return (answer.get("errors") or answer.get("reasons"))[0]["code"]  # type: ignore[index]
