"""What the adapter makes of answers: good ones, broken ones, and none at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from stream.errors import AuthRefused, DailyLimit, ReplayRefused, SalesforceError, StreamError, Unreachable
from stream.json_text import whole_text
from stream.salesforce.cometd_refusals import TokenRefused, refusal
from stream.source import NEW_EVENTS
from tests.edge.conftest import Aftermath, FakeClock, FakeTokens, MakeSource
from tests.edge.scripted_bayeux import CHANNEL, Answer, Json, ScriptedBayeux, event, raw, refused, reply
from tests.edge.streaming_steps import attempt, drained, numbers, take, ticks

FAILURE = {"sfdc": {"failureReason": "401::Authentication invalid"}}
STAGES = ["handshake", "connect", "subscribe", "poll"]
BROKEN: dict[str, Callable[[Json], Answer]] = {
    "nothing": lambda _: raw(""),
    "no JSON": lambda _: raw("<html>maintenance</html>"),
    "half of it": lambda _: raw('[{"channel":"/meta/connect","succ'),
    "an object": lambda _: raw('{"channel":"/meta/connect","successful":true}'),
    "no messages": lambda _: raw("[1, null]"),
    "no channel": lambda _: raw('[{"successful":true}]'),
    "channel of no text": lambda _: raw('[{"channel":7,"successful":true}]'),
    "an empty list": lambda _: raw("[]"),
    "another id": lambda message: [{**reply(message), "id": "other"}],
    "a number as id": lambda message: [{**reply(message), "id": 99}],
    "no verdict": lambda message: [{"channel": message["channel"], "id": message["id"]}],
    "refused without words": lambda message: [refused(message, "")],
    "refused with odd words": lambda message: [{**refused(message, ""), "error": {"a": 1}, "ext": [], "advice": "no"}],
    "a server error": lambda _: raw("[]x", status=500),
    "gateway trouble": lambda _: raw("", status=504),
    "too many requests": lambda _: raw("", status=429),
    "a redirect": lambda _: raw("", status=301),
    "deep nesting": lambda _: raw("[" * 100_000),
    "no UTF-8": lambda _: raw(b'[{"channel":"\xff\xfe'),
    "not a number": lambda _: raw('[{"channel":"/meta/connect","id":NaN}]'),
}


def script(server: ScriptedBayeux, stage: str, answer: Callable[[Json], Any]) -> None:
    """Answer the request of this stage so; `poll` is the second connect."""
    if stage == "poll":
        server.script("connect", lambda message: [reply(message)], answer)
    else:
        server.script(stage, answer)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_answer_is_an_outage_at_every_stage(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, stage: str, broken: str
) -> None:
    script(scripted, stage, BROKEN[broken])
    async with asyncio.timeout(10):
        loss = await attempt(scripted_source())
    assert type(loss) is Unreachable, repr(loss)
    assert aftermath.tasks() == set()
    async with scripted_source().subscribe(NEW_EVENTS):
        await scripted.until("connect", 2)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "advice", ["no object", {"interval": "x", "timeout": None}, {"interval": -5, "timeout": -1}, {"timeout": 1e12}]
)
async def test_odd_advice_changes_nothing(scripted: ScriptedBayeux, scripted_source: MakeSource, stage: str, advice: Any) -> None:
    more = {"clientId": "c", "subscription": CHANNEL}
    script(scripted, stage, lambda message: [reply(message, advice=advice, **more), event(1)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        assert numbers(await take(subscription, 1)) == [1]
        await scripted.until("connect", 2)


@pytest.mark.parametrize("wish", ["handshake", "none"])
async def test_a_server_that_wishes_the_session_to_end_is_obeyed(
    scripted: ScriptedBayeux, scripted_source: MakeSource, wish: str
) -> None:
    script(scripted, "poll", lambda message: [event(1), reply(message, advice={"reconnect": wish})])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        got, loss = await drained(subscription)
    assert numbers(got) == [1]
    assert type(loss) is Unreachable
    assert wish in str(loss)


@pytest.mark.parametrize("stage", ["handshake", "connect", "subscribe"])
async def test_advice_to_begin_anew_is_obeyed_beside_every_reply(
    scripted: ScriptedBayeux, scripted_source: MakeSource, stage: str
) -> None:
    more = {"clientId": "c", "subscription": CHANNEL, "advice": {"reconnect": "handshake"}}
    script(scripted, stage, lambda message: [reply(message, **more)])
    loss = await attempt(scripted_source())
    assert type(loss) is Unreachable
    assert "handshake" in str(loss)


async def test_a_farewell_does_not_hide_the_reason_behind_it(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    tokens = FakeTokens(scripted.base_url)
    farewell = {"channel": "/meta/disconnect"}
    script(scripted, "poll", lambda message: [event(1), farewell, refused(message, "401::Authentication invalid")])
    source = scripted_source(tokens)
    async with source.subscribe(NEW_EVENTS) as subscription:
        got, loss = await drained(subscription)
    assert numbers(got) == [1]
    assert "401::Authentication invalid" in str(loss)
    async with source.subscribe(NEW_EVENTS):
        assert tokens.renewals == 1
    assert scripted.counts["/meta/handshake"] == 2


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"error": "401::Authentication invalid"}, TokenRefused),
        ({"error": "403::Handshake denied", "ext": FAILURE}, TokenRefused),
        ({"ext": FAILURE}, TokenRefused),
        ({"error": "400::The replayId {12} you provided was invalid."}, ReplayRefused),
        ({"error": "400:{x}:The replay ID was too old"}, ReplayRefused),
        ({"error": "403::Organization total events daily limit exceeded"}, DailyLimit),
        ({"error": "403::Unknown client", "channel": "/meta/connect"}, Unreachable),
        ({"error": "402::session_unknown"}, Unreachable),
        ({"error": "403::Organization concurrent user limit exceeded"}, Unreachable),
        ({"error": "503::Service unavailable"}, Unreachable),
        ({"error": "403::Something", "advice": {"reconnect": "handshake"}}, Unreachable),
        ({}, Unreachable),
        ({"error": "404::Unknown channel"}, SalesforceError),
        ({"error": "403:denied_by_security_policy:create_denied"}, SalesforceError),
        ({"error": "400::Channel name is malformed", "ext": None}, SalesforceError),
        ({"error": "403::Handshake denied", "channel": "/meta/handshake", "advice": {"reconnect": "none"}}, SalesforceError),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(message: Json, expected: type[StreamError]) -> None:
    error = refusal({"channel": "/meta/subscribe", "successful": False, **message})
    assert type(error) is expected
    assert str(message.get("error", "")) in error.message


@pytest.mark.parametrize("stage", ["handshake", "connect", "subscribe"])
async def test_a_refused_token_is_renewed_once_inside_the_attempt(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, stage: str
) -> None:
    tokens = FakeTokens(scripted.base_url)
    scripted.script(stage, lambda message: [refused(message, "403::Denied", ext=FAILURE)])
    async with scripted_source(tokens).subscribe(NEW_EVENTS):
        await scripted.until("connect", 2)
    sent = [headers["Authorization"] for headers in scripted.headers]
    assert (sent[0], sent[-1]) == ("Bearer token-1", "Bearer token-2")
    assert tokens.renewals == 1
    assert aftermath.tasks() == set()


@pytest.mark.parametrize(
    "answer", [lambda message: [refused(message, "401::Authentication invalid")], lambda _: raw("", status=401)]
)
async def test_a_fresh_token_that_is_refused_needs_a_person(
    scripted: ScriptedBayeux, scripted_source: MakeSource, answer: Callable[[Json], Answer]
) -> None:
    tokens = FakeTokens(scripted.base_url)
    scripted.script("handshake", answer, answer)
    source = scripted_source(tokens)
    loss = await attempt(source)
    assert type(loss) is AuthRefused
    assert "API Enabled" in loss.hint
    assert scripted.counts["/meta/handshake"] == 2
    async with source.subscribe(NEW_EVENTS):
        assert tokens.renewals == 2


@pytest.mark.parametrize("failure", [AuthRefused("no"), Unreachable("down", sent=False)])
async def test_a_renewal_that_fails_is_told_and_tried_again_by_the_next_attempt(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, failure: StreamError
) -> None:
    tokens = FakeTokens(scripted.base_url, failures=[failure])
    scripted.script("handshake", lambda message: [refused(message, "401::Authentication invalid")])
    source = scripted_source(tokens)
    assert await attempt(source) is failure
    async with source.subscribe(NEW_EVENTS):
        assert tokens.renewals == 1
    assert aftermath.tasks() == set()


async def test_requests_never_overlap_so_messages_keep_their_order(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    """Two answers under way could overtake each other, and the later replay id be committed before the earlier event."""
    script(scripted, "subscribe", lambda message: [event(1), reply(message, subscription=CHANNEL), event(2)])
    script(scripted, "poll", lambda message: [reply(message), event(3), event(4)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        assert numbers(await take(subscription, 4)) == [1, 2, 3, 4]
        await scripted.until("connect", 3)
        assert scripted.concurrent_most == 1
    channels = [message["channel"] for message in scripted.seen]
    assert channels[:4] == ["/meta/handshake", "/meta/connect", "/meta/subscribe", "/meta/connect"]


async def test_what_is_sent_is_what_salesforce_documents(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    async with scripted_source().subscribe(17):
        await scripted.until("connect", 2)
    handshake, first, subscribe, poll = scripted.seen[:4]
    assert handshake["supportedConnectionTypes"] == ["long-polling"]
    assert (handshake["version"], handshake["minimumVersion"]) == ("1.0", "1.0")
    assert first == {
        "channel": "/meta/connect",
        "clientId": "c1",
        "connectionType": "long-polling",
        "id": "1",
        "advice": {"timeout": 0},
    }
    assert subscribe == {
        "channel": "/meta/subscribe",
        "clientId": "c1",
        "subscription": CHANNEL,
        "id": "2",
        "ext": {"replay": {CHANNEL: 17}},
    }
    assert poll == {"channel": "/meta/connect", "clientId": "c1", "connectionType": "long-polling", "id": "3"}
    assert {headers["Content-Type"] for headers in scripted.headers} == {"application/json"}


async def test_events_that_share_a_replay_id_are_all_passed_on(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    script(scripted, "poll", lambda message: [*[event(number, replay_id=9) for number in range(1, 6)], reply(message)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        messages = await take(subscription, 5)
    assert numbers(messages) == [1, 2, 3, 4, 5]
    assert {message.replay_id for message in messages} == {9}


@pytest.mark.parametrize(
    ("data", "replay_id"),
    [
        ({"payload": {}, "event": {"replayId": 0}}, 0),
        ({"payload": {}, "event": {"replayId": 2**53 + 1}}, 2**53 + 1),
        ({"payload": {}, "event": {"replayId": 2**63}}, None),
        ({"payload": {}, "event": {"replayId": -1}}, None),
        ({"payload": {}, "event": {"replayId": -2}}, None),
        ({"payload": {}, "event": {"replayId": True}}, None),
        ({"payload": {}, "event": {"replayId": "7"}}, None),
        ({"payload": {}, "event": {}}, None),
        ({"payload": {}, "event": None}, None),
        ({"payload": {}}, None),
        ({}, None),
        ("text", None),
        (None, None),
        ([1], None),
    ],
)
async def test_a_message_of_any_shape_is_passed_on(
    scripted: ScriptedBayeux, scripted_source: MakeSource, data: Any, replay_id: int | None
) -> None:
    script(scripted, "poll", lambda message: [{"channel": CHANNEL, "data": data}, reply(message)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        [message] = await take(subscription, 1)
    assert message.replay_id == replay_id
    assert message.data == data


async def test_half_a_character_does_not_stop_the_stream(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    """Salesforce cuts texts to length; a strict parser refuses the whole answer, and would again at each attempt."""

    def answer(message: Json) -> Answer:
        whole = orjson.dumps([event(1), event(2, header={"Name": "HALF"}), reply(message)])
        return raw(whole.replace(b"HALF", rb"caf\u00e9 \ud83d"))

    script(scripted, "poll", answer)
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        messages = await take(subscription, 2)
    assert messages[1].data["payload"]["ChangeEventHeader"]["Name"] == "café ?"


NEAR = b'{"channel":"%s","data":{"payload":{"Number":3},"event":{"replayId":3}}}' % CHANNEL.encode()


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        pytest.param(b'{"channel":"/data/ChangeEvents"}', {"channel": CHANNEL}, id="an event without data"),
        pytest.param(b'{"channel":"/data/Other","data":7}', 7, id="on a channel nobody asked for"),
        pytest.param(b'{"channel":7,"data":{}}', {"channel": 7, "data": {}}, id="a channel that is no text"),
        pytest.param(b'{"channel":"","data":7}', {"channel": "", "data": 7}, id="a channel without a name"),
        pytest.param(b"[1]", [1], id="a list in the place of a message"),
        pytest.param(b"null", None, id="nothing in the place of a message"),
        pytest.param(
            b'{"channel":"/data/C","data":[NaN,Infinity,1e400,-1e400]}', ["NaN", "Infinity", "1e400", "-1e400"], id="no numbers"
        ),
        pytest.param(b'{"channel":"/data/C","data":1%s}' % (b"0" * 5000), "1" + "0" * 5000, id="more digits than are read"),
        pytest.param(b'{"channel":"/data/C","data":"a\nb"}', "a\nb", id="a line broken inside a text"),
        pytest.param(b'{"channel":"/data/C","data":"\xff"}', "\ufffd", id="bytes that are no character"),
        pytest.param(b'{"channel":"/data/C","data":"]}, {\\"["}', ']}, {"[', id="brackets inside a text"),
        pytest.param(b'{"channel":"/data/C","data":"\\u0000"}', "\0", id="a NUL"),
    ],
)
async def test_what_stands_among_messages_is_passed_on_and_holds_up_none(
    scripted: ScriptedBayeux, scripted_source: MakeSource, odd: bytes, kept: Any
) -> None:
    """Refused for one of its messages, an answer would come again at each attempt, and the stream stand still for good."""

    def answer(message: Json) -> Answer:
        return raw(b"[" + b" ,\n".join([orjson.dumps(event(1)), odd, NEAR, orjson.dumps(reply(message))]) + b"]")

    script(scripted, "poll", answer)
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        messages = await take(subscription, 3)
        await scripted.until("connect", 3)
    assert [message.replay_id for message in messages] == [1, None, 3]
    assert messages[1].data == kept


@pytest.mark.parametrize("depth", [200, 1000, 1100, 100_000])
async def test_a_message_however_deep_holds_up_none(scripted: ScriptedBayeux, scripted_source: MakeSource, depth: int) -> None:
    deep = b'{"channel":"/data/C","data":%s%s}' % (b"[" * depth, b"]" * depth)
    script(scripted, "poll", lambda message: raw(b"[" + b",".join([deep, NEAR, orjson.dumps(reply(message))]) + b"]"))
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        messages = await take(subscription, 2)
    assert [message.replay_id for message in messages] == [None, 3]
    assert "[" * depth in whole_text(messages[0].data)


async def test_large_numbers_stay_exact(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    number = 2**63 - 25
    script(scripted, "poll", lambda message: [event(1, header={"commitNumber": number}), reply(message)])
    async with scripted_source().subscribe(NEW_EVENTS) as subscription:
        [message] = await take(subscription, 1)
    assert message.data["payload"]["ChangeEventHeader"]["commitNumber"] == number


@pytest.mark.parametrize(("advised", "silent_seconds"), [(110_000, 115), (30_000, 35), (10_000, 12), (600_000, 130), (None, 130)])
async def test_silence_beyond_the_poll_is_a_loss(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, advised: int | None, silent_seconds: float
) -> None:
    """The commonest fault of all: the connection looks alive, and nothing comes, for days."""
    clock = FakeClock()
    scripted.advice = {"reconnect": "retry"} | ({} if advised is None else {"timeout": advised})
    script(scripted, "poll", scripted.hang)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS) as subscription:
        await scripted.until("connect", 2)
        receiving = asyncio.create_task(subscription.receive(1))
        clock.advance(silent_seconds - 1)
        await ticks(50)
        assert not receiving.done()
        clock.advance(2)
        async with asyncio.timeout(5):
            with pytest.raises(Unreachable, match=f"silent for {silent_seconds} s"):
                await receiving
    assert aftermath.tasks() == set()


async def test_an_answer_that_came_while_the_process_stood_still_is_taken(
    scripted: ScriptedBayeux, scripted_source: MakeSource
) -> None:
    clock, answering = FakeClock(), asyncio.Event()

    async def late(message: Json) -> Answer:
        await answering.wait()
        await ticks(20)
        return [event(1), reply(message)]

    script(scripted, "poll", late)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS) as subscription:
        await scripted.until("connect", 2)
        answering.set()
        clock.advance(1_000)  # before the loop can turn, the time is over and the answer is there
        assert [message.replay_id for message in await take(subscription, 1)] == [1]


@pytest.mark.parametrize("stage", ["handshake", "connect", "subscribe"])
async def test_silence_while_opening_is_an_outage(
    scripted: ScriptedBayeux, scripted_source: MakeSource, aftermath: Aftermath, stage: str
) -> None:
    clock = FakeClock()
    script(scripted, stage, scripted.hang)
    opening = asyncio.create_task(attempt(scripted_source(clock=clock)))
    await scripted.until(stage, 1)
    clock.advance(131)
    async with asyncio.timeout(5):
        loss = await opening
    assert type(loss) is Unreachable
    assert "silent" in str(loss)
    assert aftermath.tasks() == set()


async def test_heard_at_is_the_last_answered_connect(scripted: ScriptedBayeux, scripted_source: MakeSource) -> None:
    clock = FakeClock()
    gate = asyncio.Event()

    async def later(message: Json) -> Answer:
        await gate.wait()
        return [event(1), reply(message)]

    script(scripted, "poll", later)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS) as subscription:
        opened_at = clock.monotonic()
        assert subscription.heard_at == opened_at
        await scripted.until("connect", 2)
        clock.advance(100)
        assert subscription.heard_at == opened_at
        gate.set()
        await take(subscription, 1)
        assert subscription.heard_at == opened_at + 100
        await scripted.until("connect", 3)
        clock.advance(131)
        await drained(subscription)
        assert subscription.heard_at == opened_at + 100


async def test_a_server_that_answers_at_once_with_nothing_is_not_hammered(
    scripted: ScriptedBayeux, scripted_source: MakeSource
) -> None:
    clock = FakeClock()
    scripted.script("connect", *[lambda message: [reply(message)]] * 100)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS):
        while 1.0 not in clock.asked:
            await ticks(1)
        assert scripted.counts["/meta/connect"] == 11
        clock.advance(1)
        await scripted.until("connect", 12)


async def test_a_server_that_answers_at_once_with_an_event_each_is_asked_again_at_once(
    scripted: ScriptedBayeux, scripted_source: MakeSource
) -> None:
    """Each is taken while the next poll is under way, so that the queue is never longer after a poll than before it."""
    clock, taken = FakeClock(), asyncio.Semaphore(0)

    async def once_taken(message: Json) -> Answer:
        await taken.acquire()
        return [event(1), reply(message)]

    scripted.script("connect", lambda message: [reply(message)], lambda message: [event(1), reply(message)], *[once_taken] * 30)
    async with scripted_source(clock=clock).subscribe(NEW_EVENTS) as subscription:
        for poll in range(3, 33):
            await scripted.until("connect", poll)
            assert len(await take(subscription, 1)) == 1
            taken.release()
        assert 1.0 not in clock.asked


async def test_nobody_at_the_address_is_an_outage_that_signs_in_again(scripted_source: MakeSource, aftermath: Aftermath) -> None:
    tokens = FakeTokens("http://127.0.0.1:1")
    source = scripted_source(tokens)
    for renewals in (0, 1, 2):
        loss = await attempt(source)
        assert type(loss) is Unreachable
        assert not loss.sent
        assert tokens.renewals == renewals
    assert aftermath.tasks() == set()
