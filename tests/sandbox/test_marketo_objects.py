"""Sales persons, companies, opportunities and roles: keys, `seq`, relations, deletes and questions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import pytest

from sandbox.marketo.activities import CHANGE_VALUE
from tests.sandbox.marketo_world import World, code, running


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as one:
        yield one


async def test_results_carry_seq_and_the_objects_id(world: World) -> None:
    world.instance.quirks.reverse_results = True
    results = await world.sync("companies", {"externalCompanyId": "1"}, {"externalCompanyId": "2"})
    assert [one["seq"] for one in results] == [1, 0]
    assert all(isinstance(one["id"], int) for one in results)
    (made,) = await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n", "amount": "12.50"})
    assert len(made["marketoGUID"]) == 36
    assert world.instance.opportunities["6"]["amount"] == 12.5


async def test_updates_by_id_field(world: World) -> None:
    (made,) = await world.sync("companies", {"externalCompanyId": "1"})
    record = {"id": made["id"], "company": "Acme"}
    (updated,) = await world.sync("companies", record, action="updateOnly", dedupeBy="idField")
    assert updated == {"seq": 0, "status": "updated", "id": made["id"]}
    assert world.instance.companies["1"]["company"] == "Acme"


@pytest.mark.parametrize(
    ("way", "status", "email"), [("refuse", "skipped", "a"), ("accept", "updated", "b"), ("ignore", "updated", "a")]
)
async def test_a_sales_persons_changed_email(
    world: World, way: Literal["refuse", "accept", "ignore"], status: str, email: str
) -> None:
    world.instance.quirks.sales_person_email = way
    await world.sync("salespersons", {"externalSalesPersonId": "5", "email": "a"})
    (same,) = await world.sync("salespersons", {"externalSalesPersonId": "5", "email": "a", "title": "CEO"})
    (changed,) = await world.sync("salespersons", {"externalSalesPersonId": "5", "email": "b"})
    assert (same["status"], changed["status"]) == ("updated", status)
    assert world.instance.sales_persons["5"]["email"] == email


@pytest.mark.parametrize("way", ["record", "lose"])
async def test_an_opportunity_without_its_sales_person(world: World, way: Literal["record", "lose"]) -> None:
    world.instance.quirks.opportunity_without_sales_person = way
    lost = {"externalOpportunityId": "6", "name": "n", "externalSalesPersonId": "5"}
    first, second = await world.sync("opportunities", lost, {"externalOpportunityId": "7", "name": "n"})
    assert second["status"] == "created"
    if way == "record":
        assert code(first) == "718"
    else:
        assert world.instance.opportunities["6"]["name"] == "n"
        assert world.instance.opportunities["6"].get("externalSalesPersonId") is None
        assert [one.kind for one in world.instance.violations] == ["child_before_parent"]


async def test_a_company_or_opportunity_loses_a_parent_that_is_not_there(world: World) -> None:
    await world.sync("companies", {"externalCompanyId": "1", "externalSalesPersonId": "5"})
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n", "externalCompanyId": "9"})
    assert "externalSalesPersonId" not in world.instance.companies["1"]
    assert "externalCompanyId" not in world.instance.opportunities["6"]
    assert [(one.object, one.key) for one in world.instance.violations] == [("company", "1"), ("opportunity", "6")]


async def test_a_role_needs_its_opportunity_and_its_lead(world: World) -> None:
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n"})
    lead_id = world.instance.create_lead(email="a@example.com")
    role = {"externalOpportunityId": "6", "leadId": lead_id, "role": "Boss"}
    results = await world.sync("opportunities/roles", role, {**role, "leadId": 5}, {**role, "role": "Buyer", "isPrimary": True})
    assert [one["status"] for one in results] == ["created", "skipped", "created"]
    assert code(results[1]) == "1004"


async def test_roles_are_asked_for_by_compound_key_as_json(world: World) -> None:
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n"})
    lead_id = world.instance.create_lead(email="a@example.com")
    key = {"externalOpportunityId": "6", "leadId": lead_id, "role": "Boss"}
    await world.sync("opportunities/roles", key)
    body = {"filterType": "dedupeFields", "fields": ["marketoGuid", "role"], "input": [key, {**key, "role": "Buyer"}]}
    status, answer = await world.raw("POST", "/rest/v1/opportunities/roles.json?_method=GET", json=body)
    assert status == 200
    assert [(one["seq"], one["role"]) for one in answer["result"]] == [(0, "Boss")]
    assert "marketoGUID" in answer["result"][0]
    by_lead = await world.get("opportunities/roles", filterType="leadId", filterValues=str(lead_id))
    assert len(by_lead["result"]) == 1


async def test_deletes_take_along_what_hangs_on_them(world: World) -> None:
    await world.sync("companies", {"externalCompanyId": "1"})
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n", "externalCompanyId": "1"})
    (lead,) = await world.sync("leads", {"email": "a@example.com", "externalCompanyId": "1"})
    await world.sync("opportunities/roles", {"externalOpportunityId": "6", "leadId": lead["id"], "role": "Boss"})
    (gone,) = await world.sync("companies/delete", {"externalCompanyId": "1"}, deleteBy="dedupeFields")
    assert gone["status"] == "deleted"
    assert world.instance.opportunities["6"]["externalCompanyId"] is None
    assert world.instance.leads[lead["id"]]["externalCompanyId"] is None
    await world.sync("opportunities/delete", {"externalOpportunityId": "6"})
    assert not world.instance.roles
    assert [one.action for one in world.instance.journal][-2:] == ["deleted", "deleted"]


async def test_a_changed_company_echoes_in_each_of_its_leads(world: World) -> None:
    await world.sync("companies", {"externalCompanyId": "1", "company": "Acme"})
    for name in ("a", "b"):
        await world.sync("leads", {"email": f"{name}@example.com", "externalCompanyId": "1"})
    await world.sync("companies", {"externalCompanyId": "1", "company": "Apex"})
    token = (await world.get("activities/pagingtoken", sinceDatetime="2026-01-01T00:00:00Z"))["nextPageToken"]
    page = await world.get("activities", activityTypeIds=str(CHANGE_VALUE), nextPageToken=token)
    assert [one["primaryAttributeValue"] for one in page["result"]] == ["company", "company"]


async def test_what_a_question_shows_by_default(world: World) -> None:
    await world.sync("companies", {"externalCompanyId": "1", "company": "Acme"})
    await world.sync("salespersons", {"externalSalesPersonId": "5", "email": "a", "firstName": "Ann"})
    (company,) = (await world.get("companies", filterType="externalCompanyId", filterValues="1,2"))["result"]
    (person,) = (await world.get("salespersons", filterType="dedupeFields", filterValues="5"))["result"]
    assert set(company) == {"seq", "id", "externalCompanyId", "createdAt", "updatedAt"}
    assert (person["firstName"], person["email"]) == ("Ann", "a")


async def test_describes_name_keys_and_lengths(world: World) -> None:
    lengths = {}
    for path, key in (
        ("salespersons", "externalSalesPersonId"),
        ("companies", "externalCompanyId"),
        ("opportunities/roles", "role"),
    ):
        (described,) = (await world.get(f"{path}/describe"))["result"]
        assert key in described["dedupeFields"]
        lengths[key] = {one["name"]: one.get("length") for one in described["fields"]}[key]
    assert lengths == {"externalSalesPersonId": 255, "externalCompanyId": 100, "role": 50}
