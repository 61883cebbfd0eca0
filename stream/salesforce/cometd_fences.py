"""aiosfstream-ng behind fences: one client for one attempt, whose faults are repaired or cannot be reached.

The library brings the messages, the replay and the sign-in extension. What it does by itself in the background is replaced:

    open: handshake ▶ first connect ▶ subscribe        one request at a time, so messages cannot overtake each other
    poll: connect ▶ queue ▶ connect ▶ …                one task, owned by the caller; it never waits for the queue to be read
    close: disconnect (bounded in time) ▶ session closed

Nothing is tried again inside an attempt: an answer that was lost on its way may have held messages, and the session would go on
behind them. A new attempt from the committed replay id gets them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiocometd_ng.constants import CONNECT_MESSAGE, ConnectionType, MetaChannel, TransportState
from aiocometd_ng.exceptions import AiocometdException
from aiocometd_ng.transports.long_polling import LongPollingTransport
from aiocometd_ng.utils import is_matching_response
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client, ReplayMarkerStoragePolicy
from aiosfstream_ng.replay import ReplayMarker, ReplayMarkerStorage

from stream import connecting
from stream.clock import Clock
from stream.errors import SalesforceError, StreamError, Unreachable
from stream.salesforce.bounded import is_address
from stream.salesforce.cometd_refusals import refusal
from stream.salesforce.cometd_wire import JsonObject, is_event, post, within
from stream.salesforce.sign_in import Token
from stream.server_clock import ServerClock

CONNECT_SECONDS = 15.0
QUICK_SECONDS = 1.0
QUICK_MOST = 10
LEAST_MARGIN = 0.4  # of the margin
INTERVAL_SECONDS_MAX = 30.0  # Salesforce forgets a session 40 s after an answer


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much: seconds and messages, and the bytes of one answer."""

    liveness_seconds: float
    margin_seconds: float
    request_seconds: float
    close_seconds: float
    pending_most: int
    bytes_most: int


class SignedIn(AuthenticatorBase):
    """The library's authenticator for a token that is there already: it never asks for one itself (fault 4)."""

    def __init__(self, token: Token) -> None:
        super().__init__()
        self._given = token

    async def _authenticate(self) -> tuple[int, JsonObject]:
        token = self._given
        return 200, {"token_type": "Bearer", "access_token": token.access_token, "instance_url": token.instance_url}


class ReplayFrom(ReplayMarkerStorage):
    """Asks for one replay id, 0 included (fault 14), and stores none: the id is committed with its events (faults 3, 11)."""

    def __init__(self, replay_from: int) -> None:
        super().__init__()
        self._replay_from = replay_from

    async def insert_replay_id(self, message: JsonObject) -> None:
        """Put the replay id into a subscribe message."""
        message["ext"] = {"replay": {message["subscription"]: self._replay_from}}

    async def get_replay_marker(self, subscription: str) -> ReplayMarker | None:  # noqa: ARG002 - the library's signature
        """No marker is kept here."""
        return None

    async def set_replay_marker(self, subscription: str, replay_marker: ReplayMarker) -> None:
        """No marker is kept here."""


class FencedTransport(LongPollingTransport):
    """Long polling, one request at a time, with every refusal and every broken answer raised."""

    def __init__(
        self, *, limits: Limits, clock: Clock, server_clock: ServerClock, arrived: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(**options)
        self._server_clock = server_clock
        self._limits = limits
        self._clock = clock
        self._arrived = arrived
        self.heard_at = clock.monotonic()
        self._events = 0

    async def connect(self) -> JsonObject:
        """The first connect: answered at once, so that subscribing need not wait for a poll to end."""
        reply = await self._send_message(CONNECT_MESSAGE.copy(), advice={"timeout": 0})
        self._state = TransportState.CONNECTED
        return reply

    async def poll(self) -> None:
        """Connect again and again until the stream is lost, which is raised."""
        quick = 0
        while True:
            await self._clock.sleep(self._pause_seconds(quick))
            began, before = self._clock.monotonic(), self._events
            await self._send_message(CONNECT_MESSAGE.copy())
            empty = self._events == before  # not by the queue's length: meanwhile as many may have been taken as came
            quick = quick + 1 if empty and self._clock.monotonic() - began < QUICK_SECONDS else 0
            if self.incoming_queue.qsize() > self._limits.pending_most:
                raise Unreachable(
                    f"slow consumer: {self.incoming_queue.qsize()} messages wait, more than {self._limits.pending_most}",
                    hint="the stream is taken up again from the committed replay id",
                )

    def _pause_seconds(self, quick: int) -> float:
        """Milliseconds of the server's advice as seconds (fault 12); a second where it answers at once with nothing."""
        interval = self._advised("interval") or 0.0
        return max(min(interval, INTERVAL_SECONDS_MAX), QUICK_SECONDS if quick >= QUICK_MOST else 0.0)

    def _advised(self, name: str) -> float | None:
        value = self._reconnect_advice.get(name)
        return value / 1000 if isinstance(value, int | float) and value >= 0 else None

    def _deadline_seconds(self, message: JsonObject) -> float:
        """How long this request may stay without an answer: a poll as long as advised, anything else not so long.

        The margin is a fifth of a poll that is short, but not so short that a network's delay would be taken for silence.
        """
        if message["channel"] != MetaChannel.CONNECT:
            return self._limits.request_seconds
        advised = self._advised("timeout")
        liveness, margin = self._limits.liveness_seconds, self._limits.margin_seconds
        return liveness if advised is None else min(liveness, advised + min(margin, max(LEAST_MARGIN * margin, advised / 5)))

    async def _send_final_payload(self, payload: list[JsonObject], *, headers: Any) -> JsonObject:
        seconds = self._deadline_seconds(payload[0])
        channel = payload[0]["channel"].value
        sending = post(
            self._http_session, self._url, payload, headers, bytes_most=self._limits.bytes_most, server_clock=self._server_clock
        )
        try:
            messages = await within(self._clock, seconds, sending)
        except TimeoutError:
            raise Unreachable(f"{channel}: Salesforce was silent for {seconds:g} s") from None
        reply = await self._consume_payload(messages, headers=headers, find_response_for=payload[0])
        if reply is None:
            raise Unreachable(f"{channel}: the answer holds no reply")
        return reply

    async def _consume_payload(
        self,
        payload: list[JsonObject],
        *,
        headers: Any = None,  # noqa: ARG002 - the library's signature
        find_response_for: JsonObject | None = None,
    ) -> JsonObject | None:
        """Queue the events, take the advice, and only then raise what the replies refuse: the events came before it."""
        reply: JsonObject | None = None
        losses: list[StreamError] = []
        for message in payload:
            if is_event(message):
                self.incoming_queue.put_nowait(message)
                self._events += 1
                continue
            if isinstance(advice := message.get("advice"), dict):
                self._reconnect_advice = {**self._reconnect_advice, **advice}
            if reply is None and is_matching_response(message, find_response_for):
                reply = message
            if loss := _loss(message, asked=message is reply):
                losses.append(loss)
        if reply is not None and not losses and reply["channel"] in {MetaChannel.CONNECT, MetaChannel.HANDSHAKE}:
            self.heard_at = self._clock.monotonic()
        self._arrived()
        if losses:  # a farewell may stand before the refusal that tells why
            raise next((loss for loss in losses if type(loss) is not Unreachable), losses[0])
        return reply


def _loss(message: JsonObject, *, asked: bool) -> StreamError | None:
    """What ends the attempt: a refusal, asked for or not (fault 2), or the server's wish to end the session."""
    channel = message["channel"]
    if not channel.startswith("/meta/"):
        return None
    if not message.get("successful", True):
        return refusal(message)
    if channel == MetaChannel.DISCONNECT:
        return None if asked else Unreachable("the server ended the session")
    advice = message.get("advice")
    wish = advice.get("reconnect", "retry") if isinstance(advice, dict) else "retry"
    if wish != "retry":  # beside a subscribe too: connects that are answered afterwards would prove what nobody is subscribed to
        return Unreachable(f"the server ended the session: its advice is {str(wish)[:20]!r}")
    return None


class FencedClient(Client):
    """The library's client for one attempt: opened once, closed in bounded time from whatever state it is in."""

    def __init__(
        self,
        token: Token,
        *,
        replay_from: int,
        api_version: str,
        limits: Limits,
        clock: Clock,
        server_clock: ServerClock,
        arrived: Callable[[], None],
    ) -> None:
        super().__init__(
            SignedIn(token),
            replay=ReplayFrom(replay_from),
            replay_storage_policy=ReplayMarkerStoragePolicy.MANUAL,
            json_dumps=lambda value: orjson.dumps(value).decode(),
            json_loads=orjson.loads,
        )
        self._api_version = api_version
        self._limits = limits
        self._clock = clock
        self._server_clock = server_clock
        self._arrived = arrived
        self._fenced: FencedTransport | None = None

    @property
    def heard_at(self) -> float:
        """Monotonic seconds of the last answered connect or handshake."""
        return self._fenced.heard_at if self._fenced is not None else 0.0

    def get_cometd_url(self, instance_url: str) -> str:  # type: ignore[override] # static, and of one version, in the library
        """The CometD endpoint of the configured API version."""
        return f"{instance_url}/cometd/{self._api_version}"

    def take(self, most: int) -> list[JsonObject]:
        """Up to so many messages that have arrived, oldest first; never waits, so nothing can be lost in it (fault 8)."""
        queue = self._incoming_queue
        return [queue.get_nowait() for _ in range(min(most, queue.qsize()))] if queue is not None else []

    async def begin(self, channel: str) -> None:
        """Open and subscribe. Raises errors of this project's tree only; the client is closed by its owner, come what may."""
        try:
            await self.open()
            await self.subscribe(channel)
        except AiocometdException as error:
            raise Unreachable(f"CometD gave up: {type(error).__name__}") from error

    async def poll(self) -> None:
        """Go on until the stream is lost, and raise why."""
        if self._fenced is None:
            raise Unreachable("the client is not open")
        try:
            await self._fenced.poll()
        except AiocometdException as error:
            raise Unreachable(f"CometD gave up: {type(error).__name__}") from error

    async def close(self) -> None:
        """Tell the server, in bounded time, and leave neither task nor socket behind (faults 5, 7, 13)."""
        self._closed = True
        try:
            if self._fenced is not None:
                with suppress(TimeoutError, StreamError):
                    async with asyncio.timeout(self._limits.close_seconds):
                        await self._fenced.disconnect()
        finally:
            if self._http_session is not None:
                await self._http_session.close()

    async def _get_http_session(self) -> aiohttp.ClientSession:
        """The session of this attempt. Its cookies tie requests to one server, so they go back exactly as they came."""
        if self._http_session is None:
            host = urlsplit(self.url).hostname or ""
            self._http_session = aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=is_address(host), quote_cookie=False),
                trust_env=connecting.behind_proxy(),  # the same proxy as for all other calls
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            )
        return self._http_session

    async def _negotiate_transport(self) -> FencedTransport:
        self._incoming_queue = asyncio.Queue()  # unbounded: a full one would hold up the very answers that empty it (fault 6)
        self._fenced = FencedTransport(
            limits=self._limits,
            clock=self._clock,
            server_clock=self._server_clock,
            arrived=self._arrived,
            url=self.url,
            incoming_queue=self._incoming_queue,
            http_session=await self._get_http_session(),
            extensions=self.extensions,
            auth=self.auth,
        )
        reply = await self._fenced.handshake([ConnectionType.LONG_POLLING])
        offered = reply.get("supportedConnectionTypes")
        if isinstance(offered, list) and ConnectionType.LONG_POLLING.value not in offered:
            raise SalesforceError("/meta/handshake: the server offers no long polling")
        if not isinstance(reply.get("clientId"), str):
            raise Unreachable("/meta/handshake: the answer names no client id")
        return self._fenced
