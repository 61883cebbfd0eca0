"""One Bayeux request on the wire: a batch of messages out, the messages of the answer in, or an error of the tree."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
import orjson

from stream.clock import Clock
from stream.errors import SalesforceError, StreamError, Unreachable
from stream.json_text import elements, loads
from stream.salesforce.bounded import read_bounded, translated
from stream.salesforce.cometd_refusals import TokenRefused
from stream.server_clock import ServerClock

T = TypeVar("T")
JsonObject = dict[str, Any]
JSON_TYPE = {"Content-Type": "application/json"}
LAST_TURNS = 100


async def post(
    session: aiohttp.ClientSession,
    url: str,
    payload: list[JsonObject],
    headers: Mapping[str, str],
    *,
    bytes_most: int,
    server_clock: ServerClock,
) -> list[JsonObject]:
    """Send the messages and return those of the answer. Raises Unreachable, TokenRefused or SalesforceError."""
    what = str(payload[0]["channel"].value)
    async with translated(what):
        sent = session.post(url, data=orjson.dumps(payload), headers={**headers, **JSON_TYPE}, allow_redirects=False)
        async with sent as response:
            text = await read_bounded(response, bytes_most, what=what)
            server_clock.note(response.headers.get("Date"))
    messages = messages_in(text)
    if not any(message["channel"] for message in messages):
        raise _no_bayeux(what, response.status)
    return messages


def messages_in(text: bytes) -> list[JsonObject]:
    """The Bayeux messages of an answer. What stands between them and is none becomes an event without a channel.

    An answer that cannot be read as a whole is read message by message: refused for one of them, it would come again for ever.
    """
    value = loads(text)
    if value is None:
        pieces = elements(text.decode(errors="replace")) or []
        value = [piece if (one := loads(piece.encode())) is None else one for piece in pieces if piece]
    return [one if _is_message(one) else {"channel": "", "data": one} for one in value] if isinstance(value, list) else []


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("channel"), str) and value["channel"] != ""


def is_event(message: JsonObject) -> bool:
    """Whether the message is an event, whatever it holds, and no reply: what is on no channel of the protocol's own."""
    channel = message["channel"]
    return not channel.startswith("/meta/") and not (channel.startswith("/service/") and "id" in message)


def _no_bayeux(what: str, status: int) -> StreamError:
    """The error for an answer that holds no Bayeux messages; with them, the HTTP status says nothing more than they do."""
    if status == 401:
        return TokenRefused(f"{what}: HTTP 401")
    if 300 <= status < 400:
        return Unreachable(f"{what}: HTTP {status} points elsewhere", sent=False)
    if status in {400, 403, 404, 410}:
        hint = "check salesforce.api_version, and that the user may use the Streaming API"
        return SalesforceError(f"{what}: HTTP {status}", status=status, hint=hint)
    return Unreachable(f"{what}: HTTP {status} without a usable answer")


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; TimeoutError where so many seconds pass first. The work never outlives the call.

    Then the loop still turns some times: a process that stood still meanwhile, or a machine that slept, finds the answer that has
    long been there.
    """
    working = asyncio.ensure_future(work)
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((working, sleeping), return_when=asyncio.FIRST_COMPLETED)
        for _ in range(LAST_TURNS):
            if working.done():
                break
            await asyncio.wait((working,), timeout=0)
        if working.done():
            return working.result()
        raise TimeoutError
    finally:
        for task in (working, sleeping):
            task.cancel()
        await asyncio.gather(working, sleeping, return_exceptions=True)
