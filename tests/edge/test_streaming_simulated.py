"""Sign-in and streaming against the simulated Salesforce: real OAuth checks, cookies, expiry, quotas and scripted faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from sandbox.faults import Fault
from sandbox.salesforce.server import SimulatedSalesforce
from stream.clock import SystemClock
from stream.errors import AuthRefused, DailyLimit, ReplayRefused, SalesforceError, Unreachable
from stream.salesforce.sign_in import SignIn
from stream.salesforce.streaming import CometdSource
from stream.source import ALL_RETAINED, NEW_EVENTS, Message
from tests.edge.conftest import Aftermath
from tests.edge.streaming_steps import attempt, drained, take

FLOWS = ["jwt", "client_credentials", "refresh_token", "password"]


@pytest.fixture(params=["localhost", "127.0.0.1"])
async def salesforce(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedSalesforce]:
    """The simulated Salesforce, by name and by address."""
    server = SimulatedSalesforce()
    await server.start(request.param)
    yield server
    await server.stop()


SignInBy = Callable[..., SignIn]


@pytest.fixture
def sign_in_by(salesforce: SimulatedSalesforce, http: aiohttp.ClientSession) -> SignInBy:
    """Makes a sign-in by a flow, with the credentials of the simulated connected app."""

    def make(flow: str = "jwt", **options: Any) -> SignIn:
        app = salesforce.sign_in
        given: dict[str, Any] = {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "private_key": app.private_key,
            "username": app.username,
            "password": app.password,
            "refresh_token": app.refresh_token,
        }
        return SignIn(login_url=salesforce.base_url, flow=flow, session=http, clock=SystemClock(), **given | options)

    return make


def source_at(sign_in: SignIn, **options: Any) -> CometdSource:
    usual: dict[str, Any] = {"channel": "/data/ChangeEvents", "api_version": "62.0", "clock": SystemClock()}
    return CometdSource(sign_in, **usual | options)


def create(salesforce: SimulatedSalesforce, *names: str) -> None:
    for name in names:
        salesforce.org.create("Lead", {"LastName": name, "Company": "Acme"})


def names(messages: list[Message]) -> list[str]:
    return [message.data["payload"]["Name"]["LastName"] for message in messages]


@pytest.mark.parametrize("flow", FLOWS)
async def test_every_flow_signs_in_and_streams(salesforce: SimulatedSalesforce, sign_in_by: SignInBy, flow: str) -> None:
    sign_in = sign_in_by(flow)
    token = await sign_in.token()
    assert salesforce.sign_in.valid(token.access_token)
    assert token.instance_url == salesforce.base_url
    async with source_at(sign_in).subscribe(NEW_EVENTS) as subscription:
        create(salesforce, "Lee")
        assert names(await take(subscription, 1)) == ["Lee"]
    assert salesforce.bayeux.sessions == []


@pytest.mark.parametrize(
    ("flow", "wrong"),
    [
        ("jwt", {"username": "someone.else"}),
        ("jwt", {"client_id": "another"}),
        ("client_credentials", {"client_secret": "wrong"}),
        ("refresh_token", {"refresh_token": "wrong"}),
        ("password", {"password": "wrong"}),
    ],
)
async def test_wrong_credentials_are_refused(sign_in_by: SignInBy, flow: str, wrong: dict[str, str]) -> None:
    with pytest.raises(AuthRefused) as caught:
        await sign_in_by(flow, **wrong).token()
    assert "wrong" not in str(caught.value)


async def test_a_blocked_flow_is_refused(salesforce: SimulatedSalesforce, sign_in_by: SignInBy) -> None:
    salesforce.sign_in.blocked.add("password")
    with pytest.raises(AuthRefused, match="authentication failure"):
        await sign_in_by("password").token()


async def test_tokens_revoked_under_the_stream(
    salesforce: SimulatedSalesforce, sign_in_by: SignInBy, aftermath: Aftermath
) -> None:
    source = source_at(sign_in_by())
    async with source.subscribe(NEW_EVENTS) as subscription:
        create(salesforce, "Ann")
        [first] = await take(subscription, 1)
        await salesforce.bayeux.held()
        salesforce.sign_in.revoke_tokens()
        got, loss = await drained(subscription)
    assert got == []
    assert type(loss).__mro__[1] is Unreachable
    assert "401::Authentication invalid" in str(loss)
    create(salesforce, "Bob")
    async with source.subscribe(first.replay_id or 0) as subscription:
        assert names(await take(subscription, 1)) == ["Bob"]
    assert salesforce.sign_in.issued == 2
    assert salesforce.bayeux.counts["handshake"] == 2
    assert aftermath.tasks() == set()


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "truncate", "respond"])
async def test_nothing_is_lost_or_doubled_by_a_fault_of_the_wire(
    salesforce: SimulatedSalesforce, sign_in_by: SignInBy, action: Any
) -> None:
    source = source_at(sign_in_by())
    wanted = [f"L{number}" for number in range(120)]
    got: list[Message] = []
    replay_from = ALL_RETAINED
    salesforce.faults.add(Fault(action, path="/cometd/", body_matches="/meta/connect", skip=2, times=3, status=503, body="busy"))
    async with asyncio.timeout(30):
        async with source.subscribe(replay_from) as subscription:
            create(salesforce, *wanted[:10])
            got += await take(subscription, 10)
            replay_from = got[-1].replay_id or 0
            create(salesforce, *wanted[10:])
            more, _ = await drained(subscription)
        got += more
        while len(got) < len(wanted):
            try:
                async with source.subscribe(got[-1].replay_id or 0) as subscription:
                    while len(got) < len(wanted):
                        got += await subscription.receive(50)
            except Unreachable:
                continue
    assert names(got) == wanted


async def test_a_restart(salesforce: SimulatedSalesforce, sign_in_by: SignInBy, aftermath: Aftermath) -> None:
    source = source_at(sign_in_by())
    async with source.subscribe(NEW_EVENTS) as subscription:
        create(salesforce, "Ann")
        [first] = await take(subscription, 1)
        await salesforce.bayeux.held()
        await salesforce.stop()
        _, loss = await drained(subscription)
    assert type(loss) is Unreachable
    assert isinstance(await attempt(source), Unreachable)
    create(salesforce, "Bob")
    await salesforce.start(salesforce.base_url.split("/")[2].split(":")[0])
    async with source.subscribe(first.replay_id or 0) as subscription:
        assert names(await take(subscription, 1)) == ["Bob"]
    assert aftermath.tasks() == set()


async def test_a_dropped_session_is_an_outage(salesforce: SimulatedSalesforce, sign_in_by: SignInBy) -> None:
    async with source_at(sign_in_by()).subscribe(NEW_EVENTS) as subscription:
        await salesforce.bayeux.held()
        salesforce.bayeux.drop_sessions()
        _, loss = await drained(subscription)
    assert type(loss) is Unreachable
    assert "Unknown client" in str(loss)


async def test_an_unknown_channel_and_an_unknown_replay_id(salesforce: SimulatedSalesforce, sign_in_by: SignInBy) -> None:
    sign_in = sign_in_by()
    refused = await attempt(source_at(sign_in, channel="/data/Nothing__chn"))
    assert type(refused) is SalesforceError
    assert "create_denied" in str(refused)
    assert type(await attempt(source_at(sign_in), 987_654_321)) is ReplayRefused
    assert salesforce.bayeux.sessions == []


async def test_the_daily_limit_of_events(salesforce: SimulatedSalesforce, sign_in_by: SignInBy) -> None:
    salesforce.org.delivered_events.limit = 5
    source = source_at(sign_in_by())
    create(salesforce, *[f"L{number}" for number in range(9)])
    async with source.subscribe(ALL_RETAINED) as subscription:
        got, loss = await drained(subscription)
    assert names(got) == [f"L{number}" for number in range(5)]
    assert type(loss) is DailyLimit
    assert type(await attempt(source)) is DailyLimit


async def test_a_large_backlog_comes_in_order(salesforce: SimulatedSalesforce, sign_in_by: SignInBy) -> None:
    wanted = [f"L{number}" for number in range(3000)]
    create(salesforce, *wanted)
    salesforce.bayeux.deliver_with_subscribe = True
    async with source_at(sign_in_by()).subscribe(ALL_RETAINED) as subscription:
        assert names(await take(subscription, 3000)) == wanted
