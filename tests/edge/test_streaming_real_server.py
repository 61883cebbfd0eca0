"""The adapter against a Bayeux server nobody here wrote: what arrives, in what order, and what a loss leaves behind."""

from __future__ import annotations

import asyncio

import pytest

from stream.errors import AuthRefused, DailyLimit, ReplayRefused, SalesforceError, Unreachable
from stream.source import ALL_RETAINED, NEW_EVENTS, ChangeSource, Message
from tests.edge.bayeux import BayeuxServer
from tests.edge.conftest import Aftermath, MakeSource, StartBayeux
from tests.edge.streaming_steps import numbers, take


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


@pytest.mark.parametrize("action", ["respond", "reset_before", "reset_after", "truncate"])
async def test_nothing_is_lost_or_doubled_when_a_poll_breaks(bayeux: BayeuxServer, source_of: MakeSource, action: str) -> None:
    """With reset_after and truncate the server has already forgotten the events that the broken answer held."""
    source = source_of(bayeux)
    reading = asyncio.create_task(read_all(source, ALL_RETAINED, 102))
    await bayeux.until(lambda stats: stats["polls"] == 1)
    await bayeux.fault("/meta/connect", action, status=503, body="busy")
    await bayeux.publish(0)
    await bayeux.until(lambda stats: stats["seen"]["/meta/connect"] >= 3)
    await bayeux.publish(*range(1, 102))
    assert numbers(await reading) == list(range(102))


async def test_nothing_is_lost_or_doubled_by_a_restart_of_the_server(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    source = source_of(bayeux)
    reading = asyncio.create_task(read_all(source, ALL_RETAINED, 300))
    await bayeux.until(lambda stats: stats["polls"] == 1)
    await bayeux.publish(*range(100))
    await bayeux.restart()
    await bayeux.publish(*range(100, 200))
    await bayeux.until(lambda stats: stats["polls"] == 1)
    await bayeux.restart()
    await bayeux.publish(*range(200, 300))
    assert numbers(await reading) == list(range(300))


@pytest.mark.parametrize(("command", "said"), [("drop_sessions", "Unknown client"), ("disconnect_sessions", "ended the session")])
async def test_a_session_that_the_server_forgot_ends_the_attempt_after_what_had_arrived(
    start_bayeux: StartBayeux, source_of: MakeSource, aftermath: Aftermath, command: str, said: str
) -> None:
    bayeux = await start_bayeux(timeout=200 if command == "drop_sessions" else 30_000)
    async with source_of(bayeux).subscribe(NEW_EVENTS) as subscription:
        await bayeux.publish(1)
        await bayeux.until(lambda stats: stats["polls"] == 1)
        await bayeux.call(command)
        async with asyncio.timeout(20):
            assert numbers(await subscription.receive(9)) == [1]
            with pytest.raises(Unreachable, match=said):
                await subscription.receive(9)
    assert aftermath.tasks() == set()


async def test_a_new_attempt_subscribes_again_from_the_id_it_is_given(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    """Faults 2 and 3: no attempt re-subscribes by itself, and no replay id is remembered behind the consumer's back."""
    source = source_of(bayeux)
    ids = await bayeux.publish(*range(10))
    for replay_from in (ALL_RETAINED, ids[3], ids[1], 0):
        async with source.subscribe(replay_from) as subscription:
            await take(subscription, 5)
    assert (await bayeux.call("stats"))["subscribes"] == [ALL_RETAINED, ids[3], ids[1], 0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("400::The replayId {12} you provided was invalid.  Please provide a valid ID", ReplayRefused),
        ("403::Organization total events daily limit exceeded", DailyLimit),
        ("403:denied_by_security_policy:create_denied", SalesforceError),
        ("404::The channel you requested does not exist", SalesforceError),
        ("403::Unknown client", Unreachable),
        ("503::Server is too busy", Unreachable),
        ("401::Authentication invalid", AuthRefused),
    ],
)
async def test_a_refused_subscription_is_an_error_of_its_kind(
    bayeux: BayeuxServer, source_of: MakeSource, aftermath: Aftermath, error: str, expected: type[Exception]
) -> None:
    source = source_of(bayeux)
    await bayeux.call("refuse_subscribe", error=error)
    with pytest.raises(expected) as caught:
        async with source.subscribe(NEW_EVENTS):
            pytest.fail("subscribed")
    assert type(caught.value) is expected
    assert error.split("  ", maxsplit=1)[0] in str(caught.value)
    assert aftermath.tasks() == set()
    await bayeux.until(lambda stats: stats["sessions"] == 0)


async def test_an_unknown_replay_id_is_refused(start_bayeux: StartBayeux, source_of: MakeSource) -> None:
    source = source_of(await start_bayeux(oldest=100, next_replay_id=200))
    with pytest.raises(ReplayRefused):
        async with source.subscribe(99):
            pytest.fail("subscribed")
    async with source.subscribe(ALL_RETAINED):
        pass


async def test_a_token_that_ended_is_renewed_inside_the_attempt(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    """The refusal is nested: `403::Handshake denied` with `401::Authentication invalid` as ext.sfdc.failureReason."""
    source = source_of(bayeux)
    async with source.subscribe(NEW_EVENTS):
        pass
    await bayeux.call("revoke_tokens")
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.publish(1)
        assert numbers(await take(subscription, 1)) == [1]
    assert (await bayeux.call("stats"))["sign_ins"] == 2


async def test_a_token_that_ends_under_the_stream_costs_one_attempt(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    source = source_of(bayeux)
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.until(lambda stats: stats["polls"] == 1)
        await bayeux.call("revoke_tokens")
        [last] = await bayeux.publish(1)
        assert numbers(await take(subscription, 1)) == [1]
        with pytest.raises(Unreachable, match="401::Authentication invalid"):
            await subscription.receive(1)
    await bayeux.publish(2)
    async with source.subscribe(last) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    stats = await bayeux.call("stats")
    assert stats["sign_ins"] == 2
    assert stats["seen"]["/meta/handshake"] == 2, "the new token was fetched before the handshake, not after one in vain"


@pytest.mark.parametrize(("status", "expected"), [(500, Unreachable), (400, AuthRefused)])
async def test_fault_04_a_token_endpoint_that_refuses_wedges_nothing(
    bayeux: BayeuxServer, source_of: MakeSource, status: int, expected: type[Exception]
) -> None:
    source = source_of(bayeux)
    async with source.subscribe(NEW_EVENTS):
        pass
    await bayeux.call("revoke_tokens")
    await bayeux.call("sign_in_fault", fault={"status": status, "body": {"error": "invalid_grant"}})
    for _ in range(2):
        with pytest.raises(expected):
            async with source.subscribe(NEW_EVENTS):
                pytest.fail("subscribed")
    assert (await bayeux.call("stats"))["seen"]["/meta/handshake"] == 2, "without a token there is no handshake"
    await bayeux.call("clear")
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.publish(1)
        assert numbers(await take(subscription, 1)) == [1]


async def test_cookies_go_back_as_they_came(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    """aiohttp keeps none for IP addresses, and puts quotes around a load balancer's; either costs the session."""
    async with source_of(bayeux).subscribe(NEW_EVENTS):
        stats = await bayeux.until(lambda stats: stats["polls"] == 1)
    assert stats["cookies"][0] is None
    for cookies in stats["cookies"][1:]:
        assert "sfdc-stream=!aB+c/d==" in cookies
        assert "BAYEUX_BROWSER=" in cookies


async def test_close_ends_the_session_and_leaves_nothing(
    bayeux: BayeuxServer, source_of: MakeSource, aftermath: Aftermath
) -> None:
    """Faults 5, 7, 13: no task, no request after the close, no report of the loop."""
    async with source_of(bayeux).subscribe(NEW_EVENTS):
        await bayeux.until(lambda stats: stats["polls"] == 1)
    assert aftermath.tasks() == set()
    stats = await bayeux.until(lambda stats: stats["sessions"] == 0)
    assert stats["seen"] == {"/meta/handshake": 1, "/meta/subscribe": 1, "/meta/connect": 2, "/meta/disconnect": 1}


async def test_a_consumer_that_ends_with_an_error_leaves_nothing_either(
    bayeux: BayeuxServer, source_of: MakeSource, aftermath: Aftermath
) -> None:
    async def consume() -> None:
        async with source_of(bayeux).subscribe(NEW_EVENTS) as subscription:
            await bayeux.publish(1)
            await take(subscription, 1)
            raise KeyError

    with pytest.raises(KeyError):
        await consume()
    assert aftermath.tasks() == set()
    await bayeux.until(lambda stats: stats["sessions"] == 0)


async def test_fault_09_polling_goes_on_while_the_consumer_is_slow(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    async with source_of(bayeux).subscribe(NEW_EVENTS) as subscription:
        for number in range(5):
            await bayeux.until(lambda stats: stats["polls"] == 1)
            await bayeux.publish(number)
        await bayeux.until(lambda stats: stats["polls"] == 1)
        assert subscription.pending == 5
        assert numbers(await subscription.receive(9)) == [0, 1, 2, 3, 4]


async def test_fault_10_a_slow_consumer_ends_the_attempt_and_loses_nothing(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    source = source_of(bayeux, pending_most=50)
    async with source.subscribe(NEW_EVENTS) as subscription:
        await bayeux.until(lambda stats: stats["polls"] == 1)
        await bayeux.publish(*range(100))
        connects = await bayeux.seen("/meta/connect")
        got = await take(subscription, 1)
        while True:
            try:
                got += await subscription.receive(10)
            except Unreachable as error:
                assert "slow consumer" in str(error)  # noqa: PT017 - raised after an unknown number of batches
                break
    assert numbers(got) == list(range(len(got)))
    assert len(got) > 50
    assert await bayeux.seen("/meta/connect") <= connects + 1
    rest = await read_all(source, got[-1].replay_id or 0, 100 - len(got))
    assert numbers(got + rest) == list(range(100))


async def test_a_backlog_above_the_bound_still_makes_progress(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    """The server may send more in one answer than may wait here: what came is handed out, and the rest asked for again."""
    await bayeux.publish(*range(500))
    assert numbers(await read_all(source_of(bayeux, pending_most=20), ALL_RETAINED, 500)) == list(range(500))


async def test_a_wrong_api_version_is_told(bayeux: BayeuxServer, source_of: MakeSource) -> None:
    with pytest.raises(SalesforceError, match="api_version") as caught:
        async with source_of(bayeux, api_version="99.0").subscribe(NEW_EVENTS):
            pytest.fail("subscribed")
    assert caught.value.status == 404
