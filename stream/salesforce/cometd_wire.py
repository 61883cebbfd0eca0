"""One Bayeux request on the wire: a batch of messages out, the messages of the answer in, or an error of the tree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
import orjson

from stream.clock import Clock
from stream.errors import SalesforceError, StreamError, Unreachable
from stream.salesforce.bounded import read_bounded, translated
from stream.salesforce.cometd_refusals import TokenRefused
from stream.server_clock import ServerClock

T = TypeVar("T")
JsonObject = dict[str, Any]
JSON_TYPE = {"Content-Type": "application/json"}


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
    messages = loads(text)
    if not isinstance(messages, list) or not all(_is_message(one) for one in messages):
        raise _no_bayeux(what, response.status)
    return messages


def loads(text: bytes) -> Any:
    """JSON as Python values, None where it is none. Half of a character that was cut in two becomes a question mark.

    Salesforce cuts texts to length; refusing such an answer whole would stop the stream at it for good.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text.decode(errors="replace"))
        return orjson.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("channel"), str)


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
    """The work's result; TimeoutError where so many seconds pass first. The work never outlives the call."""
    working = asyncio.ensure_future(work)
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((working, sleeping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise TimeoutError
    finally:
        for task in (working, sleeping):
            task.cancel()
        await asyncio.gather(working, sleeping, return_exceptions=True)
