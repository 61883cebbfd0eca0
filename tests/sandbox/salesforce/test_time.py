"""Every answer of the simulated Salesforce names the time by the org's own clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from sandbox.faults import Fault
from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import HANDSHAKE, START, Moment, Wire

LONG_AGO = -1e8


@pytest.fixture
async def salesforce(moment: Moment) -> AsyncIterator[SimulatedSalesforce]:
    async with SimulatedSalesforce(Org(moment)) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "/services/oauth2/token", {"data": {"grant_type": "nonsense"}}),
        ("GET", "/services/data/v62.0/limits", {}),
        ("GET", "/services/data/v62.0/limits", {"headers": {"Authorization": "Bearer wrong"}}),
        ("GET", "/services/data/v62.0/jobs/query", {}),
        ("PUT", "/services/data/v62.0/limits", {}),
        ("GET", "/nowhere", {}),
        ("GET", f"/services/data/v62.0/query?q={'x' * 20_000}", {}),
        ("POST", "/cometd/62.0", {"json": [HANDSHAKE]}),
        ("POST", "/cometd/62.0", {"json": [{"channel": "/meta/connect", "clientId": "x"}]}),
        ("POST", "/cometd/62.0", {"data": "no JSON"}),
        ("GET", "/services/data/v62.0/faulty", {}),
    ],
)
async def test_an_answer_tells_the_orgs_time(wire: Wire, moment: Moment, method: str, path: str, more: dict[str, Any]) -> None:
    wire.salesforce.faults.add(Fault("respond", path="/faulty", status=503))
    for seconds in (START, START + LONG_AGO):
        moment.seconds = seconds
        answer = await wire.send(method, path, **more)
        assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == int(seconds)


async def test_a_long_poll_tells_when_it_was_answered(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    salesforce.bayeux.poll_seconds = 0.02
    subscriber = await wire.handshake()
    moment.seconds += 100
    connect = {"channel": "/meta/connect", "clientId": subscriber.client_id, "connectionType": "long-polling"}
    answer = await wire.send("POST", "/cometd/62.0", json=[connect])
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == int(START) + 100


async def test_the_clients_of_the_machine_itself_see_one_date_only(salesforce: SimulatedSalesforce) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{salesforce.base_url}/nowhere") as response:
        assert len(response.headers.getall("Date")) == 1
