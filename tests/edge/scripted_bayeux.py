"""A tiny Bayeux server that answers exactly what a test scripts, for what the real one cannot be made to do."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Json = dict[str, Any]
Answer = web.StreamResponse | list[Json]
Answerer = Callable[[Json], Answer | Awaitable[Answer]]
CHANNEL = "/data/ChangeEvents"


def event(number: int, *, replay_id: int | None = None, header: Json | None = None, channel: str = CHANNEL) -> Json:
    """One change event, as Salesforce words it."""
    payload = {"ChangeEventHeader": header or {"commitTimestamp": 1}, "Number": number}
    return {"channel": channel, "data": {"schema": "s", "payload": payload, "event": {"replayId": replay_id or number}}}


def reply(message: Json, **more: Any) -> Json:
    """A successful reply to a message."""
    return {"channel": message["channel"], "id": message["id"], "successful": True, **more}


def refused(message: Json, error: str, **more: Any) -> Json:
    """A refusing reply to a message."""
    return {"channel": message["channel"], "id": message["id"], "successful": False, "error": error, **more}


def raw(text: str | bytes, *, status: int = 200) -> web.Response:
    """An answer of these very bytes."""
    return web.Response(status=status, body=text.encode() if isinstance(text, str) else text, content_type="application/json")


class ScriptedBayeux:
    """Answers each meta channel from its script, in order, and then as a well-behaved quiet server does."""

    def __init__(self) -> None:
        self.scripts: dict[str, deque[Answerer]] = {}
        self.seen: list[Json] = []
        self.headers: list[Json] = []
        self.advice: Json = {"reconnect": "retry", "interval": 0, "timeout": 110_000}
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        self.concurrent_most = 0
        self._concurrent = 0
        self.base_url = ""

    def script(self, channel: str, *answers: Answerer) -> None:
        """Answer the next requests on a meta channel so."""
        self.scripts.setdefault(f"/meta/{channel}", deque()).extend(answers)

    async def hang(self, message: Json) -> Answer:  # noqa: ARG002 - an answerer's signature
        """An answerer: none, until the server is closed or the client goes away."""
        await self.released.wait()
        return raw("[]")

    @property
    def counts(self) -> Counter[str]:
        """How many messages came on each channel."""
        return Counter(message["channel"] for message in self.seen)

    async def until(self, channel: str, count: int) -> None:
        """Wait until so many messages came on a meta channel."""
        async with asyncio.timeout(20):
            while self.counts[f"/meta/{channel}"] < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        messages: list[Json] = await request.json(loads=orjson.loads)
        self.seen.extend(messages)
        self.headers.append(dict(request.headers))
        self.arrived.set()
        self._concurrent += 1
        self.concurrent_most = max(self.concurrent_most, self._concurrent)
        try:
            answer = await self._answer(messages[0])
        finally:
            self._concurrent -= 1
        return answer if isinstance(answer, web.StreamResponse) else raw(orjson.dumps(answer))

    async def _answer(self, message: Json) -> Answer:
        if script := self.scripts.get(message["channel"]):
            answer = script.popleft()(message)
            return await answer if inspect.isawaitable(answer) else answer
        return await self._as_usual(message)

    async def _as_usual(self, message: Json) -> Answer:
        if message["channel"] == "/meta/handshake":
            types = ["long-polling"]
            return [reply(message, clientId="c1", version="1.0", supportedConnectionTypes=types, advice=self.advice)]
        if message["channel"] == "/meta/subscribe":
            return [reply(message, subscription=message["subscription"])]
        if message["channel"] == "/meta/connect" and "advice" not in message:
            await self.released.wait()
        return [reply(message)]

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator[ScriptedBayeux]:
        """Listen on a free port; afterwards nothing hangs any more."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/cometd/62.0", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, 0)
            await site.start()
            port = runner.addresses[0][1]
            self.base_url = f"http://{host}:{port}"
            yield self
        finally:
            self.released.set()
            await runner.cleanup()
