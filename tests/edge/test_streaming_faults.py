"""The faults of aiosfstream-ng, by the numbers they were found under: each is fenced, and these are the proofs.

Faults 4, 9 and 10 are proven against the real Bayeux server in test_streaming_real_server.py.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stream.errors import ReplayRefused, Unreachable
from stream.salesforce.cometd_fences import ReplayFrom
from stream.source import ALL_RETAINED, NEW_EVENTS
from tests.edge.conftest import Aftermath, FakeClock, FakeTokens, MakeSource
from tests.edge.scripted_bayeux import CHANNEL, Json, ScriptedBayeux, event, raw, refused, reply
from tests.edge.streaming_steps import attempt, drained, numbers, ticks


@pytest.mark.parametrize("answer", [raw("busy", status=503), raw("", status=502), raw('{"a":', status=200)])
async def test_fault_01_a_failed_connect_is_told_for_what_it_is(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, answer: Any
) -> None:
    """The library dies of its own TypeError here, and calls it a timeout after no time at all."""
    scripted.script("connect", lambda message: [reply(message)], lambda _: answer)
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        got, loss = await drained(subscription)
    assert got == []
    assert type(loss) is Unreachable
    assert f"/meta/connect: HTTP {answer.status}" in str(loss)
    assert aftermath.tasks() == set()


async def test_fault_02_a_subscription_lost_in_silence_is_raised(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    """The library removes the channel, stays connected and says nothing; no event would ever come again."""
    gone: Json = {"channel": "/meta/subscribe", "successful": False, "subscription": CHANNEL, "error": "400::The replayId {7} …"}
    scripted.script("connect", lambda message: [reply(message)], lambda message: [event(1), gone, event(2), reply(message)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        got, loss = await drained(subscription)
    assert numbers(got) == [1, 2]
    assert type(loss) is ReplayRefused


@pytest.mark.parametrize("advice", ["handshake", "retry", "none"])
async def test_fault_02_no_session_is_taken_up_again_behind_the_consumers_back(
    scripted: ScriptedBayeux, scripted_source: MakeSource, advice: str
) -> None:
    again = {"reconnect": advice, "interval": 0}
    scripted.script(
        "connect", lambda message: [reply(message)], lambda message: [refused(message, "403::Unknown client", advice=again)]
    )
    assert "Unknown client" in str(await attempt(scripted_source()))
    counts = scripted.counts
    assert (counts["/meta/handshake"], counts["/meta/subscribe"], counts["/meta/connect"]) == (1, 1, 2)


async def test_fault_03_no_marker_is_stored_before_or_after_the_consumer(
    scripted: ScriptedBayeux, scripted_source: MakeSource
) -> None:
    source = scripted_source()
    scripted.script("subscribe", lambda message: [event(50), reply(message, subscription=CHANNEL)])
    async with source.subscribe(40) as subscription:
        assert numbers(await subscription.receive(9)) == [50]
    async with source.subscribe(40):
        pass
    asked = [message["ext"]["replay"] for message in scripted.seen if message["channel"] == "/meta/subscribe"]
    assert asked == [{CHANNEL: 40}, {CHANNEL: 40}]
    storage = ReplayFrom(40)
    await storage.extract_replay_id(event(50))
    assert await storage.get_replay_marker(CHANNEL) is None


@pytest.mark.parametrize("stage", ["handshake", "connect", "subscribe"])
async def test_fault_05_an_open_that_fails_leaves_no_loop_behind(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, stage: str
) -> None:
    """The library goes on in the background, at a thousand requests in two seconds, and its close() does nothing."""
    scripted.script(stage, lambda _: raw("busy", status=503))
    tokens = FakeTokens(scripted.base_url)
    assert type(await attempt(scripted_source(tokens))) is Unreachable
    assert aftermath.tasks() == set()
    count = len(scripted.seen)
    await ticks(200)
    assert len(scripted.seen) == count
    assert tokens.renewals == 0


async def test_fault_06_replies_full_of_events_block_nothing(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath
) -> None:
    """The library's queue of 100 is full then, and subscribe() and close() wait for a consumer that waits for them."""
    events = [event(number) for number in range(1, 1001)]
    scripted.script("subscribe", lambda message: [*events[:500], reply(message, subscription=CHANNEL), *events[500:]])
    scripted.script("disconnect", lambda message: [*events, reply(message)])
    async with asyncio.timeout(10), scripted_source().subscribe(ALL_RETAINED) as subscription:
        assert subscription.pending == 1000
        assert numbers(await subscription.receive(5000)) == list(range(1, 1001))
    assert scripted.counts["/meta/disconnect"] == 1
    assert aftermath.tasks() == set()


async def test_fault_07_close_does_not_wait_for_a_server_that_hangs(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath
) -> None:
    """The library waits 132 s with Salesforce's advice, and then raises a bare TimeoutError."""
    scripted.script("disconnect", scripted.hang)
    loop = asyncio.get_running_loop()
    async with scripted_source(close_seconds=0.1).subscribe(NEW_EVENTS):
        await scripted.until("connect", 2)
        began = loop.time()
    assert loop.time() - began < 2
    assert scripted.counts["/meta/disconnect"] == 1
    assert aftermath.tasks() == set()


async def test_fault_07_a_cancelled_attempt_closes_too(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath
) -> None:
    scripted.script("handshake", scripted.hang)
    opening = asyncio.create_task(attempt(scripted_source()))
    await scripted.until("handshake", 1)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert aftermath.tasks() == set()


async def test_fault_08_a_receive_that_is_cancelled_loses_nothing(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    """Cancelled at every turn of the loop around an arrival: a message is either returned or still there."""
    arrivals: asyncio.Queue[int] = asyncio.Queue()

    async def deliver(message: Json) -> list[Json]:
        return [event(await arrivals.get()), reply(message)]

    scripted.script("connect", lambda message: [reply(message)], *[deliver] * 60)
    got: list[int] = []
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        for number in range(1, 61):
            receiving = asyncio.create_task(subscription.receive(5))
            arrivals.put_nowait(number)
            await ticks(number)
            receiving.cancel()
            await asyncio.wait([receiving])
            got += [] if receiving.cancelled() else numbers(receiving.result())
        async with asyncio.timeout(10):
            while len(got) < 60:
                got += numbers(await subscription.receive(5))
    assert got == list(range(1, 61))


async def test_fault_10_an_answer_above_all_reason_is_not_swallowed(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath
) -> None:
    scripted.script("connect", lambda message: [reply(message)], lambda message: [event(1), reply(message, pad="x" * 5000)])
    loss = await attempt(scripted_source(answer_bytes_most=4000))
    assert type(loss) is Unreachable
    assert "larger than 4000 bytes" in str(loss)
    assert aftermath.tasks() == set()


@pytest.mark.parametrize("header", [{}, {"commitTimestamp": None}, {"commitTimestamp": "None"}, {"commitTimestamp": 9}])
async def test_fault_11_a_missing_commit_timestamp_moves_nothing(
    scripted: ScriptedBayeux, scripted_source: MakeSource, header: Json
) -> None:
    """The library compares dates as text, and stays at 'None' for good; here no date is looked at."""
    events = [event(1, header={"commitTimestamp": 10}), event(2, header=header), event(3, header={"commitTimestamp": 8})]
    scripted.script("subscribe", lambda message: [*events, reply(message, subscription=CHANNEL)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        messages = await subscription.receive(9)
    assert [message.replay_id for message in messages] == [1, 2, 3]


async def test_fault_12_the_advised_interval_is_milliseconds(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    clock = FakeClock()
    scripted.advice["interval"] = 1500
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS):
        while 1.5 not in clock.asked:
            await ticks(1)
        assert scripted.counts["/meta/connect"] == 1
        clock.advance(1.5)
        await scripted.until("connect", 2)
    assert 1500 not in clock.asked


async def test_fault_12_an_interval_above_all_reason_is_cut(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    clock = FakeClock()
    scripted.advice["interval"] = 3_600_000
    async with scripted_source(clock=clock, request_seconds=31).subscribe(NEW_EVENTS):
        while 30.0 not in clock.asked:
            await ticks(1)


async def test_fault_12_advice_about_one_thing_leaves_the_other_as_it_was(
    scripted: ScriptedBayeux, scripted_source: MakeSource
) -> None:
    """The library replaces all advice by the latest: an interval alone would do away with the poll time."""
    clock = FakeClock()
    scripted.advice = {"interval": 0, "timeout": 30_000}
    scripted.script("connect", lambda message: [reply(message, advice={"interval": 1500})], scripted.hang)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS):
        while 1.5 not in clock.asked:
            await ticks(1)
        clock.advance(1.5)
        await scripted.until("connect", 2)
        assert clock.asked[-1] == 35


@pytest.mark.parametrize("turns", [0, 1, 5, 50])
async def test_fault_13_a_close_at_any_moment_is_silent(scripted_source: MakeSource, aftermath: Aftermath, turns: int) -> None:
    """`aftermath` fails the test for whatever the loop's exception handler is told."""
    async with scripted_source().subscribe(NEW_EVENTS):
        await ticks(turns)
    assert aftermath.tasks() == set()
    await ticks(5)
    assert aftermath.reports == []


async def test_fault_14_a_close_wakes_who_still_receives(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        receiving = [asyncio.create_task(subscription.receive(1)) for _ in range(3)]
        await scripted.until("connect", 2)
    async with asyncio.timeout(5):
        results = await asyncio.gather(*receiving, return_exceptions=True)
    assert [type(result) for result in results] == [Unreachable] * 3
    with pytest.raises(Unreachable, match="closed"):
        await subscription.receive(1)


@pytest.mark.parametrize("replay_from", [0, -1, -2, 1, 2**53 + 1])
async def test_fault_14_every_replay_id_is_sent_0_too(
    scripted: ScriptedBayeux, scripted_source: MakeSource, replay_from: int
) -> None:
    async with scripted_source().subscribe(replay_from):
        pass
    [asked] = [message["ext"] for message in scripted.seen if message["channel"] == "/meta/subscribe"]
    assert asked == {"replay": {CHANNEL: replay_from}}


async def test_fault_14_a_changed_instance_url_is_followed(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    """The token is kept for an instance the org has left: a connection refused, or a redirect, has it asked for again."""
    async with ScriptedBayeux().serving() as other:
        tokens = FakeTokens(other.base_url)
        source = scripted_source(tokens)
        async with source.subscribe(NEW_EVENTS):
            await other.until("connect", 2)
        old = other
    tokens.instance_url = scripted.base_url
    assert isinstance(await attempt(source), Unreachable)
    async with source.subscribe(NEW_EVENTS):
        await scripted.until("connect", 2)
    assert tokens.renewals == 1
    assert old.counts["/meta/handshake"] == 1
    moved = {"Location": f"{scripted.base_url}/cometd/62.0"}
    scripted.script("handshake", lambda _: web.Response(status=307, headers=moved))  # not followed: the token is for one host
    assert "points elsewhere" in str(await attempt(source))
    async with source.subscribe(NEW_EVENTS):
        assert tokens.renewals == 2


def test_no_other_module_knows_the_library() -> None:
    """The gRPC Pub/Sub API must be able to take its place."""

    root = Path(__file__).parents[2]
    pattern = re.compile(r"\b(aiosfstream|aiocometd)(_ng)?\b.*\bimport\b|\bimport\b.*\b(aiosfstream|aiocometd)", re.MULTILINE)
    knowing = [
        path.name
        for room in ("stream", "store", "sandbox")
        for path in (root / room).rglob("*.py")
        if pattern.search(path.read_text())
    ]
    assert knowing == ["cometd_fences.py"]
