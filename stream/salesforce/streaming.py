"""Change Data Capture over CometD: the change source that capture subscribes to.

    token ▶ handshake ▶ connect ▶ subscribe ▶ poll, in a task of its own ─▶ queue ─▶ receive, in batches

One `subscribe` is one attempt with a client of its own. What arrived is handed out before the loss of the stream is raised, so a
new attempt from the last committed replay id gets little twice, and nothing is missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog

from stream.clock import Clock
from stream.errors import AuthRefused, Unreachable
from stream.salesforce.cometd_fences import FencedClient, Limits
from stream.salesforce.cometd_refusals import TokenRefused
from stream.salesforce.sign_in import Token
from stream.server_clock import ServerClock
from stream.source import Message, is_replay_id
from stream.watch import pulse

log = structlog.get_logger()


class Tokens(Protocol):
    """What is needed of sign-in."""

    async def token(self) -> Token:
        """The current token."""
        ...

    async def renew(self, stale: Token) -> Token:
        """Another token than this one."""
        ...


class CometdSubscription:
    """One live subscription. `receive` may be cancelled at any time without losing a message."""

    def __init__(self, client: FencedClient, arrived: asyncio.Event, poll: asyncio.Task[None]) -> None:
        self._client = client
        self._arrived = arrived
        self._poll = poll
        self._closed = False
        poll.add_done_callback(lambda _: arrived.set())

    async def receive(self, most: int) -> list[Message]:
        """Wait for at least one message and return up to `most`; the loss of the stream is raised after the last of them."""
        while not self._closed:
            if messages := self._client.take(most):
                return [message_of(one) for one in messages]
            if self._poll.done() and not self._poll.cancelled():
                self._poll.result()
            self._arrived.clear()
            await self._arrived.wait()
        raise Unreachable("the subscription was closed")

    @property
    def heard_at(self) -> float:
        """Monotonic seconds of the last answered connect or handshake."""
        return self._client.heard_at

    @property
    def pending(self) -> int:
        """How many messages have arrived and were not yet received."""
        return self._client.pending_count

    async def close(self) -> None:
        """End polling, and wake whoever still waits in `receive`."""
        self._closed = True
        self._poll.cancel()
        self._arrived.set()
        await asyncio.gather(self._poll, return_exceptions=True)


class CometdSource:
    """Subscribes to one channel, after signing in where that is needed.

    `liveness_seconds` is the longest silence: Salesforce answers a connect after 110 s at the latest. Where the server advises
    shorter polls, the silence allowed is theirs and `margin_seconds`, or less of it where they are very short.
    """

    def __init__(
        self,
        sign_in: Tokens,
        *,
        channel: str,
        api_version: str,
        clock: Clock,
        liveness_seconds: float = 130.0,
        margin_seconds: float = 5.0,
        request_seconds: float = 30.0,
        close_seconds: float = 2.0,
        pending_most: int = 50_000,
        answer_bytes_most: int = 256 * 1024 * 1024,
        server_clock: ServerClock | None = None,
    ) -> None:
        self._sign_in = sign_in
        self._channel = channel
        self._api_version = api_version
        self._clock = clock
        self._limits = Limits(
            liveness_seconds=liveness_seconds,
            margin_seconds=margin_seconds,
            request_seconds=request_seconds,
            close_seconds=close_seconds,
            pending_most=pending_most,
            bytes_most=answer_bytes_most,
        )
        self._doubted: Token | None = None
        self._server_clock = server_clock or ServerClock(clock)

    @asynccontextmanager
    async def subscribe(self, replay_from: int) -> AsyncIterator[CometdSubscription]:
        """Subscribe after this replay id (-1: new events, -2: everything retained). Raises what `stream.source` names."""
        arrived = asyncio.Event()
        token, client = await self._open(replay_from, arrived)
        poll = asyncio.create_task(self._poll(client, token))
        subscription = CometdSubscription(client, arrived, poll)
        try:
            yield subscription
        finally:
            try:
                await subscription.close()
            finally:
                await client.close()

    async def _poll(self, client: FencedClient, token: Token) -> None:
        pulse.leave()  # answered polls prove nothing where nobody takes what they bring
        try:
            await client.poll()
        except TokenRefused:
            self._doubted = token
            raise

    async def _open(self, replay_from: int, arrived: asyncio.Event) -> tuple[Token, FencedClient]:
        """An open client. A token that is refused is renewed, once: a session's end is no reason to wait for a backoff."""
        token = await self._token()
        try:
            return token, await self._begin(token, replay_from, arrived)
        except TokenRefused:
            log.info("token_refused", channel=self._channel)
            self._doubted = token
        token = await self._token()
        try:
            return token, await self._begin(token, replay_from, arrived)
        except TokenRefused as error:
            self._doubted = token
            raise AuthRefused(
                f"Salesforce refuses the Streaming API to a fresh token: {error.message}",
                hint="check that the user has the permission API Enabled, and may see what is selected for Change Data Capture",
            ) from error

    async def _token(self) -> Token:
        """The current token, or a new one where the last one was refused or its instance could not be reached."""
        if self._doubted is not None:
            await self._sign_in.renew(self._doubted)
            self._doubted = None
        return await self._sign_in.token()

    async def _begin(self, token: Token, replay_from: int, arrived: asyncio.Event) -> FencedClient:
        client = FencedClient(
            token,
            replay_from=replay_from,
            api_version=self._api_version,
            limits=self._limits,
            clock=self._clock,
            server_clock=self._server_clock,
            arrived=arrived.set,
        )
        try:
            await client.begin(self._channel)
        except BaseException as error:
            if isinstance(error, Unreachable) and not error.sent:
                self._doubted = token  # the org may have moved to another instance: signing in again tells
            await client.close()
            raise
        return client


def message_of(raw: Mapping[str, Any]) -> Message:
    """The message as capture takes it. Data that are none are passed on as they came: capture knows what that means."""
    data = raw.get("data", raw)
    event = data.get("event") if isinstance(data, dict) else None
    replay_id = event.get("replayId") if isinstance(event, dict) else None
    return Message(raw["channel"], replay_id if is_replay_id(replay_id) else None, data)
