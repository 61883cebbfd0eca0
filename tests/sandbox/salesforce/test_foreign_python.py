"""Python clients that nobody here wrote, against the simulated Salesforce: simple-salesforce and aiosfstream-ng."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jwt
import pytest
import requests
from aiosfstream_ng.auth import PasswordAuthenticator
from aiosfstream_ng.client import Client
from aiosfstream_ng.exceptions import ServerError
from aiosfstream_ng.replay import ReplayMarker, ReplayOption
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)

from sandbox.salesforce.seed import seed_org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import ALL, header


class Detour(HTTPAdapter):
    """Sends what is meant for https://….salesforce.com, or for our port under https, to the simulated Salesforce."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = urlsplit(base_url)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **more: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.url = str(urlunsplit((self._base.scheme, self._base.netloc, parts.path, parts.query, "")))
        return super().send(request, *arguments, **more)


def detour(salesforce: SimulatedSalesforce) -> requests.Session:
    session = requests.Session()
    session.mount("https://", Detour(salesforce.base_url))
    return session


def connect(salesforce: SimulatedSalesforce, session: requests.Session) -> Any:
    token = salesforce.sign_in.issue()
    return Salesforce(session_id=token, instance_url=salesforce.base_url, session=session, version="62.0")


async def test_simple_salesforce_reads_all_pages_and_the_deleted(salesforce: SimulatedSalesforce) -> None:
    made = seed_org(salesforce.org, contacts=4_200, leads=0, opportunities=0, roles=0)
    salesforce.org.delete("Contact", made.contacts[7])

    def work() -> None:
        with detour(salesforce) as session:
            client = connect(salesforce, session)
            rows = client.query_all("SELECT Id, Name, Account.Name FROM Contact ORDER BY SystemModstamp, Id")
            assert rows["totalSize"] == len(rows["records"]) == 4_199
            assert rows["done"]
            gone = client.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", include_deleted=True)
            assert [row["Id"] for row in gone["records"]] == [made.contacts[7]]
            assert client.api_usage["api-usage"].total == 100_000

    await asyncio.to_thread(work)
    assert salesforce.calls["GET /services/data/v{version}/query/{locator}"] == 2


async def test_simple_salesforce_describes_creates_updates_and_deletes(salesforce: SimulatedSalesforce) -> None:
    def work() -> None:
        with detour(salesforce) as session:
            client = connect(salesforce, session)
            assert "OpportunityContactRole" in {kind["name"] for kind in client.describe()["sobjects"]}
            fields = {field["name"]: field for field in client.Lead.describe()["fields"]}
            assert fields["mkto_si__Last_Interesting_Moment_Desc__c"]["length"] == 255
            assert fields["IsConverted"]["updateable"] is False
            made = client.Contact.create({"LastName": "Lee", "Email": "lee@example.com"})
            assert client.Contact.update(made["id"], {"Title": "  CEO "}) == 204
            assert client.Contact.get(made["id"])["Title"] == "CEO"
            with pytest.raises(SalesforceMalformedRequest, match="STRING_TOO_LONG"):
                client.Contact.update(made["id"], {"Title": "x" * 200})
            assert client.Contact.delete(made["id"]) == 204
            with pytest.raises(SalesforceResourceNotFound):
                client.Contact.get(made["id"])
            rows = [{"attributes": {"type": "Contact"}, "LastName": name} for name in ("A", "B")]
            answers = client.restful("composite/sobjects", method="POST", json={"records": rows})
            assert [answer["success"] for answer in answers] == [True, True]

    await asyncio.to_thread(work)
    assert header(salesforce.org.log.events()[0]["payload"])["changeType"] == "CREATE"


async def test_simple_salesforce_queries_in_bulk(salesforce: SimulatedSalesforce) -> None:
    made = seed_org(salesforce.org, contacts=450, leads=0, opportunities=0, roles=0)
    salesforce.org.update("Contact", made.contacts[0], {"Title": 'a "title",\nof two lines'})
    salesforce.org.delete("Contact", made.contacts[7])

    def work() -> None:
        with detour(salesforce) as session:
            bulk = connect(salesforce, session).bulk2.Contact
            soql = "SELECT Id, Title, HasOptedOutOfEmail FROM Contact"
            pages = [list(csv.DictReader(io.StringIO(page, newline=""))) for page in bulk.query(soql, max_records=200, wait=0.1)]
            assert [len(page) for page in pages] == [200, 200, 49]
            rows = {row["Id"]: row for page in pages for row in page}
            assert rows.keys() == set(made.contacts) - {made.contacts[7]}
            assert rows[made.contacts[0]]["Title"] == 'a "title",\nof two lines'
            assert {row["HasOptedOutOfEmail"] for row in rows.values()} <= {"true", "false"}
            [deleted] = bulk.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", wait=0.1)
            assert made.contacts[7] in deleted
            with pytest.raises(SalesforceMalformedRequest, match="Selecting compound data not supported in Bulk Query"):
                list(bulk.query("SELECT Id, MailingAddress FROM Contact", wait=0.1))
            salesforce.bulk.failures.append("InternalServerError : Retried more than fifteen times")
            with pytest.raises(SalesforceOperationError, match="Retried more than fifteen times"):
                list(bulk.query(soql, wait=0.1))

    await asyncio.to_thread(work)
    assert salesforce.calls["GET /services/data/v{version}/jobs/query/{job}/results"] == 4


async def test_simple_salesforce_signs_in_four_ways(salesforce: SimulatedSalesforce) -> None:
    sign_in = salesforce.sign_in
    sign_in.audiences.add("https://test.salesforce.com")
    key, secret = sign_in.client_id, sign_in.client_secret
    user, password = sign_in.username, sign_in.password
    ways: list[dict[str, Any]] = [
        {"username": user, "consumer_key": key, "privatekey": sign_in.private_key, "domain": "test"},
        {"consumer_key": key, "consumer_secret": secret, "domain": "acme.my"},
        {"username": user, "password": password, "consumer_key": key, "consumer_secret": secret},
        {"username": user, "password": password, "security_token": ""},
    ]

    def work() -> None:
        with detour(salesforce) as session:
            for way in ways:
                assert Salesforce(**way, session=session).limits()["DailyApiRequests"]["Max"] == 100_000
            with pytest.raises(SalesforceAuthenticationFailed):
                Salesforce(username=user, password="wrong", security_token="", session=session)

    await asyncio.to_thread(work)
    assert sign_in.issued == len(ways)


def test_the_key_pair_is_a_pair(salesforce: SimulatedSalesforce) -> None:
    token = jwt.encode({"sub": "x"}, salesforce.sign_in.private_key, algorithm="RS256")
    assert jwt.decode(token, salesforce.sign_in.public_key, algorithms=["RS256"]) == {"sub": "x"}


class Here(PasswordAuthenticator):
    """Signs in at the simulated Salesforce."""

    url = ""

    @property
    def _token_url(self) -> str:
        return f"{self.url}/services/oauth2/token"


def stream(salesforce: SimulatedSalesforce, **more: Any) -> Any:
    sign_in = salesforce.sign_in
    here = Here(sign_in.client_id, sign_in.client_secret, sign_in.username, sign_in.password)
    here.url = salesforce.base_url
    return Client(here, **more)


async def test_aiosfstream_replays_and_streams(salesforce: SimulatedSalesforce) -> None:
    first = salesforce.org.create("Account", {"Name": "Acme"})
    async with stream(salesforce, replay=ReplayOption.ALL_EVENTS) as client:
        await client.subscribe(ALL)
        assert header((await client.receive())["data"]["payload"])["recordIds"] == [first]
        salesforce.org.update("Account", first, {"Phone": "1"})
        assert (await client.receive())["data"]["payload"]["Phone"] == "1"
    assert salesforce.calls["POST /services/oauth2/token"] == 1
    assert salesforce.bayeux.delivered_total == 2


async def test_aiosfstream_goes_on_from_its_marker_after_a_lost_session(salesforce: SimulatedSalesforce) -> None:
    markers: dict[str, ReplayMarker] = {}
    account = salesforce.org.create("Account", {"Name": "Acme"})
    async with stream(salesforce, replay=markers) as client:
        await client.subscribe(ALL)
        salesforce.org.update("Account", account, {"Phone": "1"})
        await client.receive()
        await salesforce.bayeux.held()
        salesforce.bayeux.drop_sessions()
        salesforce.org.update("Account", account, {"Phone": "2"})
        assert (await client.receive())["data"]["payload"]["Phone"] == "2"
    assert salesforce.bayeux.counts["handshake"] == 2


async def test_aiosfstream_is_told_of_an_expired_marker(salesforce: SimulatedSalesforce) -> None:
    markers = {ALL: ReplayMarker("2026-01-01T00:00:00Z", 3)}
    async with stream(salesforce, replay=markers) as client:
        with pytest.raises(ServerError, match="Subscribe request failed") as refused:
            await client.subscribe(ALL)
    assert refused.value.error_code == 400
