"""The Marketo client against the simulated Marketo: what it sends, and what its callers get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sandbox.marketo.activities import CHANGE_SCORE, INTERESTING_MOMENT, MERGE, NEW_LEAD
from stream.errors import MarketoError, Unreachable
from stream.marketo.answers import RecordResult
from stream.marketo.client import MarketoObject
from tests.edge.marketo_edge import MarketoEdge, marketo_edge

OWNER = "005000000000001AAA"
ACCOUNT = "001000000000001AAA"
OPPORTUNITY = "006000000000001AAA"


@pytest.fixture
async def edge() -> AsyncIterator[MarketoEdge]:
    async with marketo_edge() as made:
        yield made


async def family(edge: MarketoEdge) -> dict[MarketoObject, dict[str, Any]]:
    """One record of each object, its parents first, written through the client; by object, what was sent."""
    lead: dict[str, Any] = {"externalPersonId": "003000000000001AAA", "email": "ada@example.com", "lastName": "Lovelace"}
    records: dict[MarketoObject, dict[str, Any]] = {
        "salespersons": {"externalSalesPersonId": OWNER, "email": "owner@example.com", "lastName": "Owner"},
        "companies": {"externalCompanyId": ACCOUNT, "externalSalesPersonId": OWNER, "company": "Acme"},
        "leads": {**lead, "externalSalesPersonId": OWNER, "externalCompanyId": ACCOUNT},
        "opportunities": {"externalOpportunityId": OPPORTUNITY, "externalCompanyId": ACCOUNT, "name": "Deal"},
    }
    records["opportunities"]["externalSalesPersonId"] = OWNER
    for obj, record in records.items():
        [result] = await edge.client.sync(obj, [record])
        assert result.status == "created", result
    [found] = await edge.client.find("leads", "externalPersonId", [lead["externalPersonId"]], ["id"])
    records["opportunities/roles"] = {"externalOpportunityId": OPPORTUNITY, "leadId": found["id"], "role": "Decision Maker"}
    [result] = await edge.client.sync("opportunities/roles", [records["opportunities/roles"]])
    assert result.status == "created"
    return records


class TestSync:
    async def test_each_object_is_created_then_updated_under_the_same_id(self, edge: MarketoEdge) -> None:
        for obj, record in (await family(edge)).items():
            [again] = await edge.client.sync(obj, [record])
            assert again.status == "updated"
            assert again.marketo_id
            assert (again.code, again.message) == ("", "")
        assert edge.marketo.instance.violations == []

    async def test_the_token_goes_in_the_header_and_nowhere_else(self, edge: MarketoEdge) -> None:
        await family(edge)
        for exchange in edge.rest:
            token = exchange.headers["Authorization"].removeprefix("Bearer ")
            assert token
            assert token not in exchange.query
            assert token.encode() not in exchange.body

    async def test_results_are_joined_by_seq_and_not_by_place(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.quirks.reverse_results = True
        known = await edge.companies(2)
        bad = {"externalCompanyId": "001", "company": "x" * 300}
        new = {"externalCompanyId": "001NEW", "company": "New"}
        results = await edge.client.sync("companies", [known[0], bad, new, known[1]])
        assert [result.status for result in results] == ["updated", "skipped", "created", "updated"]
        assert results[1].code == "1003"

    async def test_leads_stand_in_the_order_they_were_sent(self, edge: MarketoEdge) -> None:
        known = edge.marketo.instance.create_lead(email="known@example.com")
        results = await edge.client.sync(
            "leads", [{"id": known, "lastName": "Known"}, {"id": 7, "lastName": "Nobody"}], action="updateOnly", lookup_field="id"
        )
        assert results == [RecordResult("updated", str(known)), RecordResult("skipped", None, "1004", "Lead not found")]
        assert edge.last_body == {
            "action": "updateOnly",
            "lookupField": "id",
            "input": [{"id": known, "lastName": "Known"}, {"id": 7, "lastName": "Nobody"}],
        }

    async def test_new_leads_go_into_the_partition_that_is_named(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.partitions["Europe"] = 2
        edge.marketo.instance.quirks.partition_required = True
        record = {"email": "ada@example.com"}
        [result] = await edge.client.sync("leads", [record], action="createOnly", lookup_field="email", partition="Europe")
        assert edge.marketo.instance.leads[int(result.marketo_id or 0)]["leadPartitionId"] == 2

    async def test_codes_that_come_as_numbers_are_text(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.quirks.integer_codes = True
        [result] = await edge.client.sync("leads", [{"email": "a@example.com", "nothing": 1}])
        assert (result.status, result.code) == ("skipped", "1006")

    async def test_what_marketo_says_of_a_record_is_kept_out_of_its_repr(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.refuse("lead", "ada@example.com", "1003", "Invalid value 'ada@example.com'")
        [result] = await edge.client.sync("leads", [{"email": "ada@example.com"}])
        assert "ada@example.com" in result.message
        assert "ada" not in repr(result)

    @pytest.mark.parametrize("obj", ["companies", "leads"])
    @pytest.mark.parametrize("count", [1, 3, 0])
    async def test_an_answer_for_other_records_is_refused(self, edge: MarketoEdge, obj: MarketoObject, count: int) -> None:
        rows = [{"seq": seq, "id": seq, "status": "updated"} for seq in range(count)]
        edge.answer({"success": True, "result": rows})
        with pytest.raises(MarketoError) as refused:
            await edge.client.sync(obj, [{"email": "a@example.com"}, {"email": "b@example.com"}])
        assert refused.value.code == "mismatch"

    @pytest.mark.parametrize("numbers", [(0, 0), (1, 2), (0, None)])
    async def test_results_that_name_no_record_or_one_twice_are_refused(self, edge: MarketoEdge, numbers: Any) -> None:
        edge.answer({"success": True, "result": [{"seq": number, "id": 1, "status": "updated"} for number in numbers]})
        with pytest.raises(MarketoError) as refused:
            await edge.client.sync("companies", [{}, {}])
        assert refused.value.code == "mismatch"

    async def test_half_a_character_does_not_stop_a_batch(self, edge: MarketoEdge) -> None:
        [result] = await edge.client.sync("leads", [{"email": "a@example.com", "lastName": "Smile \ud83d"}])
        assert result.status == "created"
        assert edge.marketo.instance.leads[int(result.marketo_id or 0)]["lastName"] == "Smile ?"

    async def test_300_records_in_one_call_and_not_one_more(self, edge: MarketoEdge) -> None:
        records = await edge.companies(300)
        assert edge.budget.used == 1
        with pytest.raises(ValueError, match="301"):
            await edge.client.sync("companies", [*records, {"externalCompanyId": "one more"}])
        assert edge.budget.used == 1

    async def test_nothing_to_send_is_no_call(self, edge: MarketoEdge) -> None:
        assert await edge.client.sync("leads", []) == []
        assert await edge.client.delete("leads", []) == []
        assert edge.budget.used == 0

    async def test_a_partition_for_anything_but_leads_is_a_mistake(self, edge: MarketoEdge) -> None:
        with pytest.raises(ValueError, match="companies"):
            await edge.client.sync("companies", [{}], partition="Europe")

    async def test_a_body_that_is_too_large_says_so(self, edge: MarketoEdge) -> None:
        with pytest.raises(MarketoError) as refused:
            await edge.client.sync("leads", [{"mktoPersonNotes": "x" * 1_100_000}])
        assert (refused.value.code, refused.value.status) == ("413", 413)


class TestDelete:
    async def test_each_object_is_deleted_by_its_own_key_and_only_once(self, edge: MarketoEdge) -> None:
        records = await family(edge)
        lead_id = records["opportunities/roles"]["leadId"]
        keys: dict[MarketoObject, dict[str, Any]] = {
            "opportunities/roles": records["opportunities/roles"],
            "opportunities": {"externalOpportunityId": OPPORTUNITY},
            "leads": {"id": lead_id},
            "companies": {"externalCompanyId": ACCOUNT},
            "salespersons": {"externalSalesPersonId": OWNER},
        }
        for obj, key in keys.items():
            [first] = await edge.client.delete(obj, [key])
            [again] = await edge.client.delete(obj, [key])
            assert first.status == "deleted"
            assert (again.status, again.code) == ("skipped", "1004" if obj == "leads" else "1013")

    async def test_a_sales_person_in_use_is_refused_alone(self, edge: MarketoEdge) -> None:
        await family(edge)
        keys = [{"externalSalesPersonId": OWNER}, {"externalSalesPersonId": "005NOBODY"}]
        results = await edge.client.delete("salespersons", keys)
        assert [result.code for result in results] == ["1022", "1013"]


class TestFind:
    async def test_300_long_values_are_found_in_one_call(self, edge: MarketoEdge) -> None:
        emails = [f"person+{number}&co=1%@a-rather-long-name.example.com" for number in range(300)]
        ids = {edge.marketo.instance.create_lead(email=email) for email in emails}
        found = await edge.client.find("leads", "email", emails, ["id", "email"])
        assert {row["id"] for row in found} == ids
        assert len(edge.rest) == 1

    async def test_all_pages_come_back(self, edge: MarketoEdge) -> None:
        ids = {edge.marketo.instance.create_lead(externalCompanyId=ACCOUNT) for _ in range(650)}
        found = await edge.client.find("leads", "externalCompanyId", [ACCOUNT], ["id"])
        assert {row["id"] for row in found} == ids
        assert len(found) == 650
        assert edge.budget.used == 3

    @pytest.mark.parametrize("obj", ["salespersons", "companies", "opportunities"])
    async def test_other_objects_are_found_by_their_keys(self, edge: MarketoEdge, obj: MarketoObject) -> None:
        records = await family(edge)
        key = next(iter(records[obj]))
        [found] = await edge.client.find(obj, key, [records[obj][key], "NOBODY"], [key])
        assert found[key] == records[obj][key]

    async def test_roles_are_found_by_their_compound_keys(self, edge: MarketoEdge) -> None:
        key = (await family(edge))["opportunities/roles"]
        [found] = await edge.client.find_roles([key, {**key, "role": "Nobody"}], ["externalOpportunityId", "leadId", "role"])
        assert {name: found[name] for name in key} == key

    async def test_values_are_asked_for_once_and_what_cannot_be_asked_for_finds_nothing(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.create_lead(email="b")
        assert await edge.client.find("leads", "email", ["", "a,b"], ["id"]) == []
        assert edge.rest == []
        assert len(await edge.client.find("leads", "email", ["b", "b", "a,b", ""], ["id"])) == 1

    async def test_nothing_asked_for_is_no_call(self, edge: MarketoEdge) -> None:
        assert await edge.client.find_roles([], ["role"]) == []
        assert edge.budget.used == 0

    async def test_more_than_300_values_are_a_mistake(self, edge: MarketoEdge) -> None:
        with pytest.raises(ValueError, match="301"):
            await edge.client.find("leads", "email", [f"{number}@example.com" for number in range(301)], ["id"])
        with pytest.raises(ValueError, match="301"):
            await edge.client.find_roles([{}] * 301, ["role"])

    async def test_no_data_is_an_empty_answer(self, edge: MarketoEdge) -> None:
        edge.errors({"code": "702", "message": "No data found"})
        assert await edge.client.find("companies", "externalCompanyId", [ACCOUNT], ["company"]) == []

    async def test_no_data_for_a_write_is_none(self, edge: MarketoEdge) -> None:
        edge.errors({"code": 702})
        with pytest.raises(MarketoError) as refused:
            await edge.client.sync("companies", [{"externalCompanyId": ACCOUNT}])
        assert refused.value.code == "702"

    async def test_a_sparse_answer_without_a_result_is_empty(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.quirks.sparse = True
        assert await edge.client.find("leads", "email", ["nobody@example.com"], ["id"]) == []

    @pytest.mark.parametrize("envelope", [{}, {"requestId": "1#1"}, {"result": None}, {"nextPageToken": "x"}])
    async def test_an_answer_without_a_verdict_is_not_taken_for_nobody(self, edge: MarketoEdge, envelope: Any) -> None:
        edge.answer(envelope)
        with pytest.raises(Unreachable):
            await edge.client.find("leads", "email", ["ada@example.com"], ["id"])

    async def test_pages_that_go_in_circles_end(self, edge: MarketoEdge) -> None:
        edge.answer({"success": True, "result": [{"id": 1}], "nextPageToken": "again"}, times=None)
        with pytest.raises(Unreachable, match="do not end"):
            await edge.client.find("leads", "email", ["ada@example.com"], ["id"])
        assert len(edge.rest) == 2


class TestDescribe:
    @pytest.mark.parametrize("obj", ["salespersons", "companies", "leads", "opportunities", "opportunities/roles"])
    async def test_every_object_tells_fields_and_filters(self, edge: MarketoEdge, obj: MarketoObject) -> None:
        keys = {"leads": "externalPersonId", "salespersons": "externalSalesPersonId", "companies": "externalCompanyId"}
        describe = await edge.client.describe(obj)
        key = keys.get(obj, "externalOpportunityId")
        assert key in describe.searchable & describe.fields.keys()

    async def test_a_field_comes_with_type_length_and_whether_it_can_be_written(self, edge: MarketoEdge) -> None:
        fields = (await edge.client.describe("leads")).fields
        assert (fields["email"].data_type, fields["email"].length, fields["email"].updateable) == ("email", 255, True)
        assert (fields["priority"].length, fields["priority"].updateable) == (None, False)

    async def test_parts_of_a_compound_key_are_no_filter_by_themselves(self, edge: MarketoEdge) -> None:
        assert (await edge.client.describe("opportunities/roles")).searchable == {
            "marketoGUID",
            "leadId",
            "externalOpportunityId",
        }

    async def test_roles_missing_altogether_mean_that_native_crm_sync_is_on(self, edge: MarketoEdge) -> None:
        edge.marketo.instance.quirks.native_crm = True
        with pytest.raises(MarketoError) as refused:
            await edge.client.describe("opportunities/roles")
        assert refused.value.code == "1018"
        with pytest.raises(MarketoError) as refused:
            await edge.client.sync("opportunities/roles", [{}])
        assert refused.value.code == "1018"
        await edge.client.describe("leads")

    async def test_an_empty_describe_is_no_answer(self, edge: MarketoEdge) -> None:
        edge.answer({"success": True, "result": []})
        with pytest.raises(Unreachable):
            await edge.client.describe("companies")


class TestActivities:
    async def test_types_have_their_ids_by_name(self, edge: MarketoEdge) -> None:
        types = await edge.client.activity_types()
        assert (types["Change Score"], types["Interesting Moment"], types["Merge Leads"]) == (22, 46, 32)

    async def test_short_and_empty_pages_are_read_on_until_there_is_no_more(self, edge: MarketoEdge) -> None:
        log = edge.marketo.instance.activities
        edge.marketo.instance.quirks.activities_scanned = 2
        token = await edge.client.paging_token(datetime.now(UTC) - timedelta(hours=1))  # noqa: TID251 - the service's clock
        added = [log.add(kind, 7, "") for kind in (CHANGE_SCORE, NEW_LEAD, NEW_LEAD, NEW_LEAD, INTERESTING_MOMENT)]
        pages = 0
        found, more = [], True
        while more:
            page = await edge.client.activities(token, [CHANGE_SCORE, INTERESTING_MOMENT])
            token, more, pages = page.next_token, page.more, pages + 1
            found += page.activities
        assert pages == 3
        assert [activity.guid for activity in found] == [str(added[0].id), str(added[-1].id)]
        assert [(activity.lead_id, activity.type_id) for activity in found] == [("7", CHANGE_SCORE), ("7", INTERESTING_MOMENT)]

    async def test_an_activity_says_when_and_whom_a_merge_took_away(self, edge: MarketoEdge) -> None:
        instance = edge.marketo.instance
        since = datetime.fromtimestamp(instance.now() - 60, timezone(timedelta(hours=-6)))
        winner, loser = (instance.create_lead(email="a@example.com") for _ in range(2))
        instance.merge_leads(winner, loser)
        [merge] = (await edge.client.activities(await edge.client.paging_token(since), [MERGE])).activities
        assert (merge.lead_id, merge.attributes["Merge IDs"]) == (str(winner), str(loser))
        assert merge.date is not None
        assert abs(merge.date.timestamp() - instance.now()) < 60

    async def test_more_without_a_place_to_go_on_from_is_no_answer(self, edge: MarketoEdge) -> None:
        for token in ({}, {"nextPageToken": "here"}):
            edge.answer({"success": True, "result": [], "moreResult": True, **token})
            with pytest.raises(Unreachable):
                await edge.client.activities("here", [22])

    async def test_a_page_that_leaves_the_token_out_keeps_the_last_one(self, edge: MarketoEdge) -> None:
        edge.answer({"success": True})
        page = await edge.client.activities("here", [22])
        assert (page.activities, page.next_token, page.more) == ([], "here", False)

    async def test_mistakes_are_not_sent(self, edge: MarketoEdge) -> None:
        with pytest.raises(ValueError, match="time zone"):
            await edge.client.paging_token(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake itself
        with pytest.raises(ValueError, match="11"):
            await edge.client.activities("here", range(11))
        assert edge.budget.used == 0

    async def test_a_paging_token_that_is_missing_is_no_answer(self, edge: MarketoEdge) -> None:
        edge.answer({"success": True})
        with pytest.raises(Unreachable):
            await edge.client.paging_token(datetime(2026, 1, 1, tzinfo=UTC))

    async def test_usage_counts_everybody(self, edge: MarketoEdge) -> None:
        edge.marketo.limits.spend(1234)
        assert await edge.client.usage_today() == 1235
