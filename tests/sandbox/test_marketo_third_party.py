"""A client that nobody here wrote, marketorestpython, works against the simulated Marketo over a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from marketorestpython.client import MarketoClient
from marketorestpython.helper.http_lib import HttpLib

from sandbox.marketo import SimulatedMarketo
from sandbox.marketo.activities import NEW_LEAD


@pytest.fixture
def marketo() -> Iterator[SimulatedMarketo]:
    """A service in a thread of its own: the client is synchronous."""
    service = SimulatedMarketo()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(service.start(), loop).result(10)
    yield service
    asyncio.run_coroutine_threadsafe(service.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def client(marketo: SimulatedMarketo, monkeypatch: pytest.MonkeyPatch) -> MarketoClient:
    """The client, pointed at the service; its own limit of five calls a second is lifted."""
    for name in ("get", "post", "delete"):
        # Both its decorators (back off, then five calls a second) wrap the call itself.
        limited = getattr(HttpLib, name).__wrapped__
        monkeypatch.setattr(HttpLib, name, _innermost(limited))
    made = MarketoClient("000-AAA-000", marketo.client_id, marketo.client_secret, requests_timeout=10.0)
    made.host = marketo.base_url
    return made


def _innermost(limited: Any) -> Any:
    return next(cell.cell_contents for cell in limited.__closure__ if callable(cell.cell_contents))


def test_leads(client: MarketoClient, marketo: SimulatedMarketo) -> None:
    people = [{"email": "a@example.com", "firstName": "Ann"}, {"email": "b@example.com"}]
    made = client.execute(method="create_update_leads", leads=people, action="createOnly", lookupField="email")
    assert [one["status"] for one in made] == ["created", "created"]
    found = client.execute(
        method="get_multiple_leads_by_filter_type",
        filterType="email",
        filterValues=["a@example.com", "b@example.com"],
        fields="email,firstName",
        batchSize=1,
    )
    assert [one["firstName"] for one in found] == ["Ann", None]
    (one,) = client.execute(method="get_lead_by_id", id=made[0]["id"], fields="email")
    assert one == {"id": made[0]["id"], "email": "a@example.com"}
    assert client.execute(method="merge_lead", id=made[0]["id"], leadIds=[made[1]["id"]])
    assert list(marketo.instance.leads) == [made[0]["id"]]
    assert not marketo.instance.violations


def test_describes_and_usage(client: MarketoClient, marketo: SimulatedMarketo) -> None:
    fields = {one["rest"]["name"]: one for one in client.execute(method="describe")}
    assert fields["relativeScore"]["rest"]["readOnly"] is True
    (described,) = client.execute(method="describe2")
    assert ["externalPersonId"] in described["searchableFields"]
    assert client.execute(method="get_lead_partitions") == [{"id": 1, "name": "Default"}]
    (usage,) = client.execute(method="get_daily_usage")
    assert usage["total"] == 4
    assert client.execute(method="describe_opportunity")[0]["idField"] == "marketoGUID"
    assert client.execute(method="describe_opportunity_role")[0]["dedupeFields"] == ["externalOpportunityId", "leadId", "role"]
    assert client.execute(method="describe_company")[0]["idField"] == "id"
    assert client.execute(method="describe_sales_person")[0]["dedupeFields"] == ["externalSalesPersonId"]
    assert marketo.calls["GET /identity/oauth/token"] == 1


def test_the_whole_order_from_sales_person_to_role(client: MarketoClient, marketo: SimulatedMarketo) -> None:
    sales = client.execute(method="create_update_sales_persons", input=[{"externalSalesPersonId": "5", "email": "s@example.com"}])
    assert sales[0]["status"] == "created"
    company = {"externalCompanyId": "1", "company": "Acme", "externalSalesPersonId": "5"}
    assert client.execute(method="create_update_companies", input=[company])[0]["status"] == "created"
    person = {"email": "a@example.com", "externalPersonId": "3", "externalCompanyId": "1", "externalSalesPersonId": "5"}
    (lead,) = client.execute(method="create_update_leads", leads=[person])
    deal = {"externalOpportunityId": "6", "name": "Chairs", "externalCompanyId": "1", "externalSalesPersonId": "5"}
    assert client.execute(method="create_update_opportunities", input=[deal], dedupeBy="dedupeFields")[0]["status"] == "created"
    role = {"externalOpportunityId": "6", "leadId": lead["id"], "role": "Boss", "isPrimary": True}
    assert client.execute(method="create_update_opportunities_roles", input=[role])[0]["status"] == "created"
    for method, key, value in (
        ("get_sales_persons", "externalSalesPersonId", "5"),
        ("get_companies", "externalCompanyId", "1"),
        ("get_opportunities", "externalOpportunityId", "6"),
        ("get_opportunity_roles", "externalOpportunityId", "6"),
    ):
        (found,) = client.execute(method=method, filterType=key, filterValues=[value])
        assert found[key] == value
    assert not marketo.instance.violations


def test_deletes(client: MarketoClient) -> None:
    client.execute(method="create_update_companies", input=[{"externalCompanyId": "1"}])
    client.execute(method="create_update_opportunities", input=[{"externalOpportunityId": "6", "name": "n"}])
    for method, key in (
        ("delete_companies", {"externalCompanyId": "1"}),
        ("delete_opportunities", {"externalOpportunityId": "6"}),
    ):
        assert client.execute(method=method, input=[key])[0]["status"] == "deleted"
        assert client.execute(method=method, input=[key])[0]["reasons"][0]["code"] == "1013"


def test_activities(client: MarketoClient, marketo: SimulatedMarketo) -> None:
    marketo.instance.quirks.activities_scanned = 2
    ids = [marketo.instance.create_lead(email=f"{number}@example.com") for number in range(5)]
    marketo.instance.delete_lead(ids[0])
    since = "2020-01-01T00:00:00Z"
    found = client.execute(method="get_lead_activities", activityTypeIds=[str(NEW_LEAD)], sinceDatetime=since)
    assert [one["leadId"] for one in found] == ids
    (gone,) = client.execute(method="get_deleted_leads", sinceDatetime=since)
    assert gone["leadId"] == ids[0]
    assert NEW_LEAD in {one["id"] for one in client.execute(method="get_activity_types")}


def test_an_expired_token_is_renewed_and_an_error_is_raised(client: MarketoClient, marketo: SimulatedMarketo) -> None:
    client.execute(method="describe2")
    marketo.identity.expire_token()
    client.valid_until = None
    client.execute(method="describe2")
    with pytest.raises(Exception, match="1006"):
        client.execute(method="create_update_leads", leads=[{"email": "a@example.com"}], lookupField="nothing")
    with pytest.raises(Exception, match="605"):
        client.execute(method="delete_lead", id=[1])
