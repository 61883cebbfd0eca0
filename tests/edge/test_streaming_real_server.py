"""The adapter against a Bayeux server nobody here wrote: what arrives, in what order, and what a loss leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stream.errors import Unreachable
from stream.source import ALL_RETAINED, NEW_EVENTS, ChangeSource, Message, Subscription
from tests.edge.bayeux import BayeuxServer
from tests.edge.conftest import MakeSource


def numbers(messages: Sequence[Message]) -> list[int]:
    return [message.data["payload"]["Number"] for message in messages]


async def take(subscription: Subscription, count: int) -> list[Message]:
    got: list[Message] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            got += await subscription.receive(500)
    return got


async def read_all(source: ChangeSource, replay_from: int, count: int) -> list[Message]:
    """Read as capture does: after a loss, a new attempt from the last replay id taken."""
    got: list[Message] = []
    async with asyncio.timeout(30):
        while len(got) < count:
            try:
                async with source.subscribe(replay_from) as subscription:
                    while len(got) < count:
                        got += await subscription.receive(500)
                        replay_from = got[-1].replay_id or replay_from
            except Unreachable:
                continue
    return got


async def test_messages_come_whole_in_order_and_at_once(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    source = source_of(bayeux)
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.publish(*range(1000))
        messages = await take(subscription, 1000)
    assert numbers(messages) == list(range(1000))
    assert messages[0].channel == "/data/ChangeEvents"
    assert messages[0].replay_id == 1
    assert messages[0].data == {
        "schema": "s",
        "payload": {"ChangeEventHeader": {"entityName": "Contact"}, "Number": 0},
        "event": {"replayId": 1},
    }


async def test_replay_all_and_replay_from_an_id(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    source = source_of(bayeux)
    ids = await bayeux.publish(*range(700))
    async with source.subscribe(ALL_RETAINED) as subscription:
        assert numbers(await take(subscription, 700)) == list(range(700))
    async with source.subscribe(ids[499]) as subscription:
        assert numbers(await take(subscription, 200)) == list(range(500, 700))
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.publish(7)
        assert numbers(await take(subscription, 1)) == [7]


async def test_receive_gives_no_more_than_asked_for(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    await bayeux.publish(*range(10))
    async with source_of(bayeux).subscribe(ALL_RETAINED) as subscription:
        assert numbers(await subscription.receive(3)) == [0, 1, 2]
        assert subscription.pending == 7
        assert numbers(await subscription.receive(500)) == list(range(3, 10))
        assert subscription.pending == 0
