"""Leads: the four actions, look-ups, what clears and what stays, and the duplicates of two creates close together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandbox.marketo.activities import CHANGE_VALUE
from tests.sandbox.marketo_world import World, code, running


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as one:
        yield one


async def test_results_come_in_input_order_without_seq(world: World) -> None:
    results = await world.sync("leads", {"email": "a@example.com"}, {"email": "bad"}, {"email": "c@example.com"})
    assert [one["status"] for one in results] == ["created", "skipped", "created"]
    assert "seq" not in results[0]
    assert "id" not in results[1]


async def test_create_or_update_finds_by_email_without_regard_to_case(world: World) -> None:
    (made,) = await world.sync("leads", {"email": "a@example.com", "firstName": "Ann"})
    (found,) = await world.sync("leads", {"email": "A@Example.com", "lastName": "Lee"})
    assert (found["id"], found["status"]) == (made["id"], "updated")
    lead = world.instance.leads[made["id"]]
    assert (lead["firstName"], lead["lastName"], lead["email"]) == ("Ann", "Lee", "A@Example.com")


async def test_update_by_id_only_with_update_only(world: World) -> None:
    lead_id = world.instance.create_lead(email="a@example.com")
    (updated,) = await world.sync("leads", {"id": lead_id, "title": "CEO"}, action="updateOnly", lookupField="id")
    (refused,) = await world.sync("leads", {"id": lead_id, "title": "CTO"}, action="createOrUpdate", lookupField="id")
    assert (updated["status"], code(refused)) == ("updated", "1003")
    assert world.instance.leads[lead_id]["title"] == "CEO"


async def test_external_person_id_as_lookup_is_a_matter_of_the_instance(world: World) -> None:
    (made,) = await world.sync("leads", {"externalPersonId": "00Q1"}, lookupField="externalPersonId")
    (found,) = await world.sync("leads", {"externalPersonId": "00Q1", "title": "CEO"}, lookupField="externalPersonId")
    assert (made["status"], found["status"]) == ("created", "updated")
    world.instance.quirks.external_person_id_lookup = False
    assert code(await world.post("leads", {"lookupField": "externalPersonId", "input": [{"externalPersonId": "1"}]})) == "1011"
    world.instance.set_searchable("lead", "externalPersonId", False)
    assert code(await world.get("leads", filterType="externalPersonId", filterValues="00Q1")) == "1011"


async def test_external_person_id_may_be_fixed_once_set(world: World) -> None:
    world.instance.quirks.external_person_id_updateable = False
    lead_id = world.instance.create_lead(externalPersonId="00Q1")
    (result,) = await world.sync("leads", {"id": lead_id, "externalPersonId": "0031"}, action="updateOnly", lookupField="id")
    assert code(result) == "1003"
    (described,) = (await world.get("leads/describe2"))["result"]
    assert {one["name"]: one["updateable"] for one in described["fields"]}["externalPersonId"] is False


async def test_two_creates_close_together_make_duplicates(world: World) -> None:
    world.instance.quirks.create_latency_seconds = 1.0
    world.gate.expected = 2
    record = {"email": "a@example.com", "externalPersonId": "0031"}
    first = asyncio.create_task(world.sync("leads", record, action="createOnly"))
    second = asyncio.create_task(world.sync("leads", record, action="createOnly"))
    await world.gate.full.wait()
    world.gate.opened.set()
    results = [(await task)[0] for task in (first, second)]
    assert [one["status"] for one in results] == ["created", "created"]
    assert len(world.instance.leads_of("0031")) == 2
    assert {violation.kind for violation in world.instance.violations} == {"duplicate_externalPersonId", "duplicate_email"}


async def test_null_and_empty_text_clear_and_leaving_out_keeps(world: World) -> None:
    (made,) = await world.sync("leads", {"email": "a@example.com", "title": "CEO", "city": "Rome", "state": "RM"})
    await world.sync("leads", {"email": "a@example.com", "title": None, "city": ""})
    lead = world.instance.leads[made["id"]]
    assert (lead["title"], lead["city"], lead["state"]) == (None, None, "RM")
    assert world.instance.journal[-1].changed == {"title": None, "city": None}


async def test_a_lead_never_leaves_its_company_except_for_another(world: World) -> None:
    await world.sync("companies", {"externalCompanyId": "1", "company": "Acme"}, {"externalCompanyId": "2"})
    (made,) = await world.sync("leads", {"email": "a@example.com", "externalCompanyId": "1"})
    for value in (None, "", "3"):
        await world.sync("leads", {"email": "a@example.com", "externalCompanyId": value})
        assert world.instance.leads[made["id"]]["externalCompanyId"] == "1"
    await world.sync("leads", {"email": "a@example.com", "externalCompanyId": "2"})
    assert world.instance.leads[made["id"]]["externalCompanyId"] == "2"


async def test_a_relation_to_a_parent_not_there_is_lost_in_silence_and_for_good(world: World) -> None:
    record = {"email": "a@example.com", "externalPersonId": "0031", "externalCompanyId": "1", "externalSalesPersonId": "5"}
    (made,) = await world.sync("leads", record)
    assert made["status"] == "created"
    await world.sync("salespersons", {"externalSalesPersonId": "5"})
    await world.sync("companies", {"externalCompanyId": "1"})
    lead = world.instance.leads[made["id"]]
    assert lead.get("externalCompanyId") is lead.get("externalSalesPersonId") is None
    assert [(one.kind, one.object, one.key) for one in world.instance.violations] == [("child_before_parent", "lead", "0031")] * 2


async def test_company_fields_reach_every_lead_of_the_company_where_taken(world: World) -> None:
    world.instance.quirks.company_fields_in_leads = "apply"
    await world.sync("companies", {"externalCompanyId": "1", "company": "Acme"})
    for name in ("a", "b"):
        await world.sync("leads", {"email": f"{name}@example.com", "externalCompanyId": "1"})
    await world.sync("leads", {"email": "a@example.com", "company": "Evil"})
    shown = await world.get("leads", filterType="email", filterValues="b@example.com", fields="company")
    assert shown["result"][0]["company"] == "Evil"


async def test_a_changed_field_leaves_an_activity_and_an_equal_one_does_not(world: World) -> None:
    await world.sync("leads", {"email": "a@example.com", "title": "CEO"})
    token = (await world.get("activities/pagingtoken", sinceDatetime="2026-01-01T00:00:00Z"))["nextPageToken"]
    await world.sync("leads", {"email": "a@example.com", "title": "CTO", "city": "Rome"})
    await world.sync("leads", {"email": "a@example.com", "title": "CTO"})
    page = await world.get("activities", activityTypeIds=str(CHANGE_VALUE), nextPageToken=token)
    assert [one["primaryAttributeValue"] for one in page["result"]] == ["title", "city"]
    assert [dict(one.changed) for one in world.instance.journal[1:]] == [{"title": "CTO", "city": "Rome"}, {}]


async def test_pages_of_a_query(world: World) -> None:
    ids = [world.instance.create_lead(email=f"{number}@example.com") for number in range(5)]
    query = {"filterType": "id", "filterValues": ",".join(map(str, ids)), "batchSize": "2"}
    seen, token = [], ""
    for expected in (True, True, None):
        page = await world.get("leads", **query, **({"nextPageToken": token} if token else {}))
        seen += [one["id"] for one in page["result"]]
        token = page.get("nextPageToken", "")
        assert page.get("moreResult") is expected
    assert seen == ids


async def test_reading_gives_nulls_and_three_spellings_of_a_datetime(world: World) -> None:
    ids = [world.instance.create_lead(email=f"{number}@example.com") for number in range(3)]
    for lead_id in ids:
        world.instance.scores.interesting_moment(lead_id)
    fields = "msiLastInterestingMomentDate,title,unsubscribed"
    answer = await world.get("leads", filterType="id", filterValues=",".join(map(str, ids)), fields=fields)
    assert [set(one) for one in answer["result"]] == [{"id", "msiLastInterestingMomentDate", "title", "unsubscribed"}] * 3
    assert {one["title"] for one in answer["result"]} == {None}
    spellings = {one["msiLastInterestingMomentDate"] for one in answer["result"]}
    assert spellings == {"2026-11-23T12:00:00Z", "2026-11-23T12:00:00+0000", "2026-11-23T04:00:00-08:00"}


async def test_merge_fills_gaps_moves_roles_and_ends_the_losers_id(world: World) -> None:
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n"})
    winner = world.instance.create_lead(email="a@example.com")
    loser = world.instance.create_lead(email="b@example.com", title="CEO", externalPersonId="0031")
    await world.sync("opportunities/roles", {"externalOpportunityId": "6", "leadId": loser, "role": "Boss"})
    status, answer = await world.raw("POST", f"/rest/v1/leads/{winner}/merge.json?leadId={loser}")
    assert (status, answer["success"]) == (200, True)
    assert "result" not in answer
    lead = world.instance.leads[winner]
    assert (lead["email"], lead["title"], lead["externalPersonId"]) == ("a@example.com", "CEO", "0031")
    assert list(world.instance.roles) == [("6", winner, "boss")]
    assert code(await world.get(f"lead/{loser}")) == "1004"


async def test_the_relative_score_in_both_spellings(world: World) -> None:
    lead_id = world.instance.create_lead(email="a@example.com")
    world.instance.scores.set(lead_id, relativeScore=2)
    world.instance.spell_relative_score("relativeScoring")
    assert code(await world.get(f"lead/{lead_id}", fields="relativeScore")) == "1006"
    assert (await world.get(f"lead/{lead_id}", fields="relativeScoring"))["result"] == [{"id": lead_id, "relativeScoring": 2}]


async def test_a_forbidden_field_is_skipped_or_noted(world: World) -> None:
    results = await world.sync("leads", {"email": "a@example.com", "priority": 5}, {"email": "b@example.com", "leadScore": 5})
    assert [one["status"] for one in results] == ["skipped", "created"]
    assert [violation.kind for violation in world.instance.violations] == ["forbidden_field", "forbidden_field"]
