"""Both simulated services at the end of wires without sockets: slow, broken before or after the work was done, refusing.

What a wire does is drawn from a seed, call by call; a request whose client has gone goes on in the service all the same.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sandbox.salesforce.journal import EventLog
from sandbox.salesforce.quota import Quota
from stream.errors import ReplayRefused, Unreachable
from stream.source import ALL_RETAINED, NEW_EVENTS, Message
from tests.property.virtual_time import VirtualClock

SALESFORCE, MARKETO = "http://localhost:1", "http://localhost:2"
CREATES = ("createOnly", "createDuplicate", '"lookupField":"externalPersonId"')
REFUSALS = ("606", "608", "615", "713", "604", "601")  # each passes, and says nothing of the record
TAKEN = "1005"  # somebody is there with this email
AGAIN_MOST = 12  # events that come again with a new session though their position is stored
LATE_SECONDS = 20.0  # how long a service may still be at work on a create whose client has gone


class _Gone:
    """A connection of which nothing is asked but whether it is encrypted, and who is there."""

    ssl_context = peername = sockname = transport = None


@dataclass(frozen=True, slots=True)
class _Content:
    body: bytes

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The body in pieces."""
        for start in range(0, len(self.body), size):
            yield self.body[start : start + size]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as the clients look at it."""

    status: int
    headers: Mapping[str, str]
    content: _Content


@dataclass(slots=True)
class Wires:
    """In place of an HTTP session. `faulty` is the share of calls that something happens to, `down` is who is not there."""

    apps: Mapping[str, web.Application]
    clock: VirtualClock
    chance: random.Random
    faulty: float = 0.0
    slow_seconds: float = 0.5
    down: set[str] = field(default_factory=set)
    at_work: set[asyncio.Task[web.Response]] = field(default_factory=set)
    happened: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    """What Marketo refused by itself, by code: whole calls and single records. Without creates that came so late that another
    record's had taken the email: nobody waits for that answer, and it is right."""

    @asynccontextmanager
    async def request(self, method: str, url: str, *, data: Any = None, **asked: Any) -> AsyncIterator[Response]:
        """One call."""
        body, kind = _body(data)
        headers = {**(asked.get("headers") or {}), "Content-Type": (asked.get("headers") or {}).get("Content-Type", kind)}
        target = URL(url).update_query(asked.get("params") or {})
        response = await self._call(method, target, headers, body, asked["timeout"].total)
        content = response.body if isinstance(response.body, bytes) else b""
        date = formatdate(self.clock.now(), usegmt=True)
        yield Response(response.status, {**response.headers, "Date": date}, _Content(content))

    def post(self, url: str, **asked: Any) -> Any:
        """A call to the sign-in."""
        return self.request("POST", url, **asked)

    async def _call(self, method: str, url: URL, headers: Mapping[str, str], body: bytes, seconds: float) -> web.Response:
        origin = str(url.origin())
        happens = self._what_happens(origin, body)
        await self.clock.sleep(self.chance.uniform(0.0, self.slow_seconds))
        if origin in self.down or happens == "refused":
            raise _refused(url)
        if happens == "before":
            raise aiohttp.ServerDisconnectedError
        if happens == "hang":
            await self.clock.sleep(seconds)
            raise TimeoutError
        if happens == "502":
            return web.Response(status=502, text="Bad Gateway")
        if happens in REFUSALS:
            error = {"success": False, "errors": [{"code": happens, "message": "not now"}]}
            return web.Response(body=orjson.dumps(error), content_type="application/json")
        late = self.chance.uniform(0.0, LATE_SECONDS) if happens == "late" else 0.0
        task = asyncio.ensure_future(self._answer(self._served(method, url, headers, body), origin, late))
        self.at_work.add(task)
        task.add_done_callback(self.at_work.discard)
        if happens == "late":
            raise aiohttp.ServerDisconnectedError
        response = await asyncio.shield(task)
        await self.clock.sleep(self.chance.uniform(0.0, self.slow_seconds))
        if happens == "after" or origin in self.down:
            raise aiohttp.ServerDisconnectedError
        return response

    def _what_happens(self, origin: str, body: bytes) -> str:
        if self.chance.random() >= self.faulty:
            return ""
        kinds = ["refused", "before", "after", "after", "hang", "502"]
        if origin == MARKETO:
            kinds += REFUSALS
            if any(word in body.decode(errors="replace") for word in CREATES):
                kinds += ["late", "late"]
        happens = self.chance.choice(kinds)
        self.happened.append(happens)
        return happens

    async def _answer(self, serving: Coroutine[Any, Any, web.Response], origin: str, late: float) -> web.Response:
        await self.clock.sleep(late)
        if origin in self.down:
            serving.close()
            raise aiohttp.ServerDisconnectedError
        response = await serving
        if origin == MARKETO and isinstance(response.body, bytes):
            codes = re.findall(r'"code":"?(\d+)', response.body.decode())
            self.codes.update(code for code in codes if not (late and code == TAKEN))
        return response

    async def _served(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> web.Response:
        app = self.apps[str(url.origin())]
        fields = CIMultiDictProxy(CIMultiDict({**headers, "Host": url.authority}))
        raw = tuple((name.encode(), value.encode()) for name, value in fields.items())
        path = url.raw_path_qs
        message = RawRequestMessage(method, path, HttpVersion11, fields, raw, False, None, False, False, URL(path, encoded=True))
        loop = asyncio.get_running_loop()
        request = web.Request(message, EMPTY_PAYLOAD, _Gone(), _Gone(), asyncio.current_task(), loop)  # type: ignore[arg-type] # nothing is written or read there
        request._read_bytes = body
        try:
            response = await app._handle(request)
        except web.HTTPException as error:
            response = error
        assert isinstance(response, web.Response)
        return response


def _body(data: Any) -> tuple[bytes, str]:
    """What is sent, and as what."""
    if isinstance(data, Mapping):
        return urlencode(data).encode(), "application/x-www-form-urlencoded"
    content = data.read() if isinstance(data, io.BytesIO) else data
    return content or b"", "application/octet-stream"


def _refused(url: URL) -> aiohttp.ClientConnectorError:
    key = ConnectionKey(str(url.host), url.port, False, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(111, "refused"))


@dataclass(slots=True)
class Stream:
    """The stream of changes in memory: events come late, in pieces, and again after each break; it breaks now and then.

    What a session has given out already may come once more in a new one, in its order, before what is new; never out of order.
    """

    log: EventLog
    clock: VirtualClock
    chance: random.Random
    breaks: float = 0.0
    delivered: Quota | None = None
    doubles: float = 0.0
    doubled: int = 0
    down: bool = False
    refused: int = 0
    pauses: tuple[float, ...] = (0.05, 0.5, 2.0)
    current: Subscribed | None = None

    @property
    def given_out(self) -> bool:
        """Whether a stream is there, and everything that was published has been received from it."""
        return self.current is not None and self.current.position == self.log.end and not self.current.waiting

    @asynccontextmanager
    async def subscribe(self, replay_from: int) -> AsyncIterator[Subscribed]:
        """One attempt."""
        await self.clock.sleep(self.chance.uniform(0.0, 1.0))
        if self.down or self.chance.random() < self.breaks:
            raise Unreachable("the stream is not there", sent=False)
        position = self.log.after(replay_from)
        if position is None:
            self.refused += 1
            raise ReplayRefused("400::The replayId is invalid")
        assert replay_from in {NEW_EVENTS, ALL_RETAINED} or replay_from >= 0
        if self.doubles and replay_from >= 0 and self.chance.random() < self.doubles:
            position = max(position - self.chance.randint(1, AGAIN_MOST), 0)
            self.doubled += 1
        self.current = Subscribed(self, position, self.clock.monotonic())
        try:
            yield self.current
        finally:
            self.current = None


@dataclass(slots=True)
class Subscribed:
    """A live stream."""

    stream: Stream
    position: int
    heard_at: float
    waiting: list[Message] = field(default_factory=list)

    @property
    def pending(self) -> int:
        """Arrived and not yet received."""
        return len(self.waiting)

    async def receive(self, most: int) -> list[Message]:
        """At least one message; those that had arrived come before the stream breaks."""
        while not self.waiting:
            await self.stream.clock.sleep(self.stream.chance.choice(self.stream.pauses))
            if self.stream.down or self.stream.chance.random() < self.stream.breaks:
                raise Unreachable("the stream broke")
            self._connect()
        count = min(most, self.stream.chance.choice((1, 2, 5, most)))
        messages, self.waiting = self.waiting[:count], self.waiting[count:]
        return messages

    def _connect(self) -> None:
        """One answered connect brings all that there is."""
        self.heard_at = self.stream.clock.monotonic()
        for position, event in self.stream.log.read(self.position):
            data = orjson.loads(event.data)
            if self.stream.delivered is not None:
                self.stream.delivered.use()
            self.waiting.append(Message("/data/ChangeEvents", data["event"]["replayId"], data))
            self.position = position
