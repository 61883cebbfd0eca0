"""The Streaming API as a strict server speaks it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from sandbox.faults import Fault
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import ALL, HANDSHAKE, Wire, header


def make_leads(salesforce: SimulatedSalesforce, count: int) -> list[int]:
    """Create leads and return the replay ids of their events."""
    for number in range(count):
        salesforce.org.create("Lead", {"LastName": f"Lee {number}", "Company": "Acme"})
    return [event["event"]["replayId"] for event in salesforce.org.log.events()][-count:]


async def test_a_handshake_offers_replay_and_the_first_connect_brings_the_advice(
    salesforce: SimulatedSalesforce, wire: Wire
) -> None:
    answer = (await wire.bayeux(HANDSHAKE))[0]
    assert answer["ext"]["replay"] is True
    assert "advice" not in answer
    connect = {"channel": "/meta/connect", "clientId": answer["clientId"], "connectionType": "long-polling"}
    first = (await wire.bayeux(connect))[0]
    assert first["advice"] == {"interval": 0, "timeout": 110_000, "reconnect": "retry"}
    salesforce.bayeux.poll_seconds = 0.02
    second = (await wire.bayeux(connect))[0]
    assert second["successful"]
    assert "advice" not in second


async def test_a_waiting_connect_is_answered_when_something_changes(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    poll = asyncio.create_task(subscriber.events())
    await wire.rest("POST", "/sobjects/Contact", json={"LastName": "Lee"}, headers={"Sforce-Call-Options": "client=someone"})
    event = (await poll)[0]
    assert header(event)["changeOrigin"] == "com/salesforce/api/rest/62.0;client=someone"
    assert salesforce.bayeux.delivered[subscriber.client_id] == 1


async def test_replay_from_the_start_from_an_id_and_only_new(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    ids = make_leads(salesforce, 5)
    for replay, expected in ((-2, 5), (ids[1], 3), (ids[4], 0), (-1, 0), (None, 0), ("7", 0)):
        salesforce.bayeux.poll_seconds = 0.02
        subscriber = await wire.handshake()
        assert (await subscriber.subscribe(ALL, replay))["successful"]
        assert len(await subscriber.events()) == expected, replay


async def test_an_expired_and_an_invented_replay_id_are_refused(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    ids = make_leads(salesforce, 3)
    salesforce.org.log.expire_before(ids[1])
    subscriber = await wire.handshake()
    for bad in (ids[0], 5, ids[2] + 1_000):
        refused = await subscriber.subscribe(ALL, bad)
        assert refused["successful"] is False
        assert refused["subscription"] == ALL
        assert refused["error"] == (
            f"400::The replayId {{{bad}}} you provided was invalid.  Please provide a valid ID, "
            "-2 to replay all events, or -1 to replay only new events."
        )
    salesforce.bayeux.poll_seconds = 0.02
    assert await subscriber.events() == [], "a refused subscription delivers nothing, and the session lives on"


async def test_channels_are_case_sensitive_and_carry_their_own_object(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    for wrong in ("/data/changeevents", "/data/LeadsChangeEvent", "/topic/Leads", "/data/GroupChangeEvent"):
        assert (await subscriber.subscribe(wrong, -2))["error"].startswith("403:"), wrong
    assert (await subscriber.subscribe("/data/LeadChangeEvent", -2))["successful"]
    salesforce.org.create("Account", {"Name": "Acme"})
    make_leads(salesforce, 1)
    assert [header(event)["entityName"] for event in await subscriber.events()] == ["Lead"]


async def test_a_session_without_its_cookie_is_unknown(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    wire.session.cookie_jar.clear()
    answer = (await subscriber.connect())[0]
    assert (answer["error"], answer["advice"]["reconnect"]) == ("403::Unknown client", "handshake")
    assert salesforce.bayeux.refusals["403::Unknown client"] == 1


async def test_a_session_that_does_not_connect_in_time_is_forgotten(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    salesforce.bayeux.session_seconds = -1.0
    assert (await subscriber.connect())[0]["error"] == "403::Unknown client"
    assert (await subscriber.subscribe())["error"] == "403::Unknown client"


async def test_a_session_lives_while_its_poll_is_held(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    poll = asyncio.create_task(subscriber.events())
    await salesforce.bayeux.held()
    salesforce.bayeux.session_seconds = -1.0
    await wire.bayeux(HANDSHAKE)
    make_leads(salesforce, 1)
    assert len(await poll) == 1


async def test_a_dropped_session_wakes_its_poll_and_replay_brings_the_rest(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    poll = asyncio.create_task(subscriber.connect())
    first = make_leads(salesforce, 1)[0]
    await poll
    poll = asyncio.create_task(subscriber.connect())
    await salesforce.bayeux.held()
    salesforce.bayeux.drop_sessions()
    assert (await poll)[0]["error"] == "403::Unknown client"
    make_leads(salesforce, 2)
    again = await wire.handshake()
    await again.subscribe(ALL, first)
    assert len(await again.events()) == 2


async def test_a_revoked_token_ends_the_poll_and_the_session(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    poll = asyncio.create_task(subscriber.connect())
    await salesforce.bayeux.held()
    salesforce.sign_in.revoke_tokens()
    refused = (await poll)[-1]
    assert (refused["error"], refused["advice"]["reconnect"]) == ("401::Authentication invalid", "none")
    denied = (await wire.bayeux(HANDSHAKE))[0]
    assert denied["error"] == "403::Handshake denied"
    assert denied["ext"]["sfdc"]["failureReason"] == "401::Authentication invalid"
    assert denied["advice"] == {"reconnect": "none"}
    wire.headers = {"Authorization": f"Bearer {salesforce.sign_in.issue()}"}
    assert (await subscriber.connect())[0]["error"] == "403::Unknown client"


async def test_a_second_connect_answers_the_first(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    first = asyncio.create_task(subscriber.events())
    await salesforce.bayeux.held()
    second = asyncio.create_task(subscriber.events())
    assert await first == []
    await salesforce.bayeux.held()
    make_leads(salesforce, 1)
    assert len(await second) == 1


async def test_a_big_backlog_comes_in_several_answers_in_order(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    make_leads(salesforce, 25)
    salesforce.bayeux.messages_per_answer = 10
    subscriber = await wire.handshake()
    await subscriber.subscribe(ALL, -2)
    parts = [await subscriber.events() for _ in range(3)]
    assert [len(part) for part in parts] == [10, 10, 5]
    assert [event["Name"]["LastName"] for part in parts for event in part] == [f"Lee {number}" for number in range(25)]


async def test_what_a_torn_answer_carried_is_gone_until_replayed(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    ids = make_leads(salesforce, 2)
    subscriber = await wire.handshake()
    await subscriber.subscribe(ALL, -2)
    salesforce.faults.add(Fault("reset_after", path="/cometd", body_matches="/meta/connect"))
    with pytest.raises(aiohttp.ClientError):
        await subscriber.events()
    salesforce.bayeux.poll_seconds = 0.02
    assert await subscriber.events() == []
    await subscriber.subscribe(ALL, ids[0])
    assert len(await subscriber.events()) == 1


async def test_silence_looks_alive(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.bayeux.poll_seconds = 0.02
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    salesforce.bayeux.mute_sessions()
    make_leads(salesforce, 1)
    assert await subscriber.connect() == [
        {"channel": "/meta/connect", "clientId": subscriber.client_id, "id": "7", "successful": True}
    ]
    healed = await wire.handshake()
    await healed.subscribe(ALL, -2)
    assert len(await healed.events()) == 1
    salesforce.bayeux.drop_subscriptions()
    make_leads(salesforce, 1)
    assert await healed.events() == []


async def test_the_daily_limit_of_delivered_events(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    make_leads(salesforce, 3)
    salesforce.org.delivered_events.limit = 2
    subscriber = await wire.handshake()
    await subscriber.subscribe(ALL, -2)
    assert len(await subscriber.events()) == 2
    refused = (await subscriber.connect())[0]
    assert refused["error"] == "403::Organization total events daily limit exceeded"
    assert (await subscriber.subscribe(ALL, -2))["error"] == "403::Organization total events daily limit exceeded"


async def test_events_may_come_with_the_subscribe_reply(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    make_leads(salesforce, 2)
    salesforce.bayeux.deliver_with_subscribe = True
    subscriber = await wire.handshake()
    answers = await subscriber.meta("subscribe", subscription=ALL, ext={"replay": {ALL: -2}})
    assert [answer["channel"] for answer in answers] == [ALL, ALL, "/meta/subscribe"]


async def test_a_restart_keeps_the_port_and_the_events_and_forgets_the_sessions(
    salesforce: SimulatedSalesforce, wire: Wire
) -> None:
    subscriber = await wire.handshake()
    await subscriber.subscribe()
    poll = asyncio.create_task(subscriber.connect())
    await salesforce.bayeux.held()
    url = salesforce.base_url
    await salesforce.stop()
    with pytest.raises(aiohttp.ClientError):
        await poll
    make_leads(salesforce, 1)
    await salesforce.start()
    assert salesforce.base_url == url
    assert (await subscriber.connect())[0]["error"] == "403::Unknown client"
    again = await wire.handshake()
    await again.subscribe(ALL, -2)
    assert len(await again.events()) == 1


async def test_disconnect_publish_and_oversized_bodies(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    subscriber = await wire.handshake()
    publish = {"channel": "/data/ChangeEvents", "clientId": subscriber.client_id, "data": {}, "id": "9"}
    assert (await wire.bayeux(publish))[0]["successful"] is False
    assert (await subscriber.meta("disconnect"))[0]["successful"]
    assert salesforce.bayeux.sessions == []
    assert (await wire.send("POST", "/cometd/62.0", data=b"[" + b" " * 40_000 + b"]")).status == 413
    assert (await wire.send("POST", "/cometd/62.0", data=b"nonsense")).status == 400
    assert salesforce.bayeux.counts["handshake"] == 1
