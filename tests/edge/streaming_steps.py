"""Steps that the streaming tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stream.errors import StreamError
from stream.source import NEW_EVENTS, ChangeSource, Message, Subscription


def numbers(messages: Sequence[Message]) -> list[int]:
    """The numbers that the messages were published with."""
    return [message.data["payload"]["Number"] for message in messages]


async def take(subscription: Subscription, count: int) -> list[Message]:
    """So many messages."""
    got: list[Message] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            got += await subscription.receive(500)
    return got


async def drained(subscription: Subscription) -> tuple[list[Message], StreamError]:
    """Everything that is handed out before the loss, and the loss."""
    got: list[Message] = []
    async with asyncio.timeout(20):
        while True:
            try:
                got += await subscription.receive(500)
            except StreamError as loss:
                return got, loss


async def attempt(source: ChangeSource, replay_from: int = NEW_EVENTS) -> StreamError:
    """The error that a subscription ends with, before or after it began."""
    try:
        async with source.subscribe(replay_from) as subscription:
            return (await drained(subscription))[1]
    except StreamError as loss:
        return loss


async def ticks(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        await turned.wait()
