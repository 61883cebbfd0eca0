"""Every code of Adobe's table that the simulator produces by itself, each from the call that provokes it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.marketo import Field
from tests.sandbox.marketo_world import World, code, running


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as one:
        yield one


async def test_wrong_credentials_are_http_401(world: World) -> None:
    for wrong in ({"client_id": "x"}, {"client_secret": "x"}, {"grant_type": "password"}):
        form = {
            "grant_type": "client_credentials",
            "client_id": world.marketo.client_id,
            "client_secret": world.marketo.client_secret,
        }
        status, answer = await world.raw("POST", "/identity/oauth/token", data={**form, **wrong})
        assert status == 401
        assert set(answer) == {"error", "error_description"}


async def test_the_same_token_until_it_ends_then_602_and_a_new_one(world: World) -> None:
    world.clock.at += 600
    first = world.token
    again = await world.sign_in()
    assert (again["access_token"], again["expires_in"], again["token_type"]) == (first, 3000, "bearer")
    world.clock.at += 3000
    assert code(await world.get("activities/types")) == "602"
    assert (await world.sign_in())["access_token"] != first
    assert (await world.get("activities/types"))["success"]


async def test_601_for_a_revoked_and_602_for_an_expired_token(world: World) -> None:
    world.marketo.identity.revoke_token()
    assert code(await world.get("activities/types")) == "601"
    await world.sign_in()
    world.marketo.identity.expire_token()
    assert code(await world.get("activities/types")) == "602"
    assert world.marketo.limits.used_today == 0


async def test_the_token_counts_only_in_the_header(world: World) -> None:
    url = f"{world.marketo.base_url}/rest/v1/activities/types.json?access_token={world.token}"
    async with world.session.get(url) as response:
        assert code(await response.json()) == "600"
    world.instance.quirks.accept_query_token = True
    async with world.session.get(url) as response:
        assert (await response.json())["success"]
    assert {violation.kind for violation in world.instance.violations} == {"token_in_query"}


async def test_413_over_a_megabyte_and_414_over_8_kilobytes(world: World) -> None:
    body = io.BytesIO(b" " * (1024 * 1024 + 1))
    status, _ = await world.raw("POST", "/rest/v1/leads.json", data=body, headers={"Content-Type": "application/json"})
    assert status == 413
    status, _ = await world.raw("GET", "/rest/v1/leads.json", params={"filterType": "id", "filterValues": "1" * 8192})
    assert status == 414
    form = {"_method": "GET", "filterType": "email", "filterValues": ",".join(f"{'x' * 40}{n}@example.com" for n in range(300))}
    status, answer = await world.raw("POST", "/rest/v1/leads.json", data=form)
    assert (status, answer["result"]) == (200, [])


async def test_malformed_calls(world: World) -> None:
    async def refused(method: str, path: str, **more: Any) -> Any:
        status, answer = await world.raw(method, path, **more)
        assert status == 200
        return code(answer)

    plain, json_type = {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}
    assert await refused("DELETE", "/rest/v1/leads.json") == "605"
    assert await refused("GET", "/rest/v1/companies/delete.json") == "605"
    assert await refused("POST", "/rest/v1/leads.json", data="{", headers=json_type) == "609"
    assert await refused("GET", "/rest/v1/nothing.json") == "610"
    assert await refused("GET", "/rest/v1/leads") == "610"
    assert await refused("POST", "/rest/v1/leads.json", data="{}", headers=plain) == "612"


async def test_603_for_a_denied_path(world: World) -> None:
    world.instance.quirks.denied_paths.append("/leads")
    assert code(await world.get("leads/describe2")) == "603"
    assert (await world.get("companies/describe"))["success"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("leads", {}, "1002"),
        ("leads", {"input": []}, "1002"),
        ("leads", {"input": "x"}, "1001"),
        ("leads", {"input": [{"email": f"{n}@example.com"} for n in range(301)]}, "1003"),
        ("leads", {"action": "upsert", "input": [{}]}, "1001"),
        ("leads", {"lookupField": "firstName", "input": [{}]}, "1011"),
        ("leads", {"lookupField": "noSuchField", "input": [{}]}, "1006"),
        ("leads", {"partitionName": "Elsewhere", "input": [{}]}, "1008"),
        ("companies", {"dedupeBy": "company", "input": [{}]}, "1001"),
        ("companies", {"action": "createDuplicate", "input": [{}]}, "1001"),
        ("companies", {"action": "createOnly", "dedupeBy": "idField", "input": [{}]}, "1003"),
        ("opportunities", {"input": [{"externalOpportunityId": "6", "name": "n", "externalSalesPersonId": "5"}]}, "718"),
        ("leads/5/merge", {}, "1002"),
    ],
)
async def test_whole_calls_that_are_refused(world: World, path: str, body: Any, expected: str) -> None:
    answer = await world.post(path, body)
    assert (answer["success"], code(answer)) == (False, expected)
    assert "result" not in answer
    assert not world.instance.journal


@pytest.mark.parametrize(
    ("path", "record", "expected"),
    [
        ("leads", {"email": "a@example.com", "noSuchField": 1}, "1006"),
        ("leads", {"email": "a@example.com", "relativeScore": 3}, "1006"),
        ("leads", {"email": "a@example.com", "createdAt": "2026-01-01T00:00:00Z"}, "1006"),
        ("leads", {"email": "a@example.com", "id": 5}, "1003"),
        ("leads", {"email": "ä@example.com"}, "1003"),
        ("leads", {"email": "example.com"}, "1003"),
        ("leads", {"email": "a@example.com", "firstName": "x" * 256}, "1003"),
        ("leads", {"email": "a@example.com", "firstName": {"x": 1}}, "1001"),
        ("leads", {"email": "a@example.com", "doNotCall": "maybe"}, "1001"),
        ("leads", {"email": "a@example.com", "dateOfBirth": "2026-01-01T00:00:00Z"}, "1001"),
        ("leads", {"email": "a@example.com", "dateOfBirth": "2026-02-30"}, "1001"),
        ("leads", {"email": "a@example.com", "company": "Acme"}, "1021"),
        ("leads", {"firstName": "a"}, "1003"),
        ("leads", "text", "1001"),
        ("companies", {"company": "Acme"}, "1002"),
        ("companies", {"externalCompanyId": "x" * 101}, "1003"),
        ("companies", {"externalCompanyId": "1", "numberOfEmployees": "many"}, "1001"),
        ("companies", {"externalCompanyId": "1", "numberOfEmployees": 1.5}, "1001"),
        ("companies", {"externalCompanyId": "1", "annualRevenue": True}, "1001"),
        ("companies", {"externalCompanyId": "1", "id": 7}, "1003"),
        ("opportunities", {"externalOpportunityId": "6"}, "1002"),
        ("opportunities", {"externalOpportunityId": "6", "name": None}, "1003"),
        ("opportunities", {"externalOpportunityId": "x" * 51, "name": "n"}, "1003"),
        ("opportunities", {"externalOpportunityId": "6", "name": "n", "externalCreatedDate": "2026-01-01T00:00:00.000Z"}, "1001"),
        ("opportunities", {"externalOpportunityId": "6", "name": "n", "externalCreatedDate": "2026-01-01T00:00:00+0000"}, "1001"),
        ("opportunities", {"externalOpportunityId": "6", "name": "n", "closeDate": "01/02/2026"}, "1001"),
        ("opportunities/roles", {"externalOpportunityId": "6", "leadId": 1}, "1002"),
        ("opportunities/roles", {"externalOpportunityId": "6", "leadId": 1, "role": "Boss"}, "1013"),
    ],
)
async def test_single_records_that_are_skipped(world: World, path: str, record: Any, expected: str) -> None:
    (result,) = await world.sync(path, record)
    assert (result["status"], code(result)) == ("skipped", expected)
    assert not world.instance.journal


async def test_codes_of_what_is_there_already_or_not(world: World) -> None:
    await world.sync("leads", {"email": "a@example.com"})
    await world.sync("companies", {"externalCompanyId": "1"})
    (again,) = await world.sync("leads", {"email": "A@example.com"}, action="createOnly")
    (absent,) = await world.sync("leads", {"email": "b@example.com"}, action="updateOnly")
    (by_id,) = await world.sync("leads", {"id": 5}, action="updateOnly", lookupField="id")
    (company,) = await world.sync("companies", {"externalCompanyId": "1"}, action="createOnly")
    (unknown,) = await world.sync("companies", {"externalCompanyId": "2"}, action="updateOnly")
    assert [code(one) for one in (again, absent, by_id, company, unknown)] == ["1005", "1004", "1004", "1017", "1013"]


async def test_1007_when_several_leads_match(world: World) -> None:
    for _ in range(2):
        await world.sync("leads", {"email": "a@example.com"}, action="createDuplicate")
    for action in ("createOrUpdate", "updateOnly"):
        (result,) = await world.sync("leads", {"email": "a@example.com"}, action=action)
        assert code(result) == "1007"


async def test_1009_and_1010_partitions(world: World) -> None:
    world.instance.partitions["EMEA"] = 2
    world.instance.quirks.partition_required = True
    assert code(await world.post("leads", {"input": [{"email": "a@example.com"}]})) == "1009"
    await world.sync("leads", {"email": "a@example.com"}, partitionName="EMEA")
    (result,) = await world.sync("leads", {"email": "a@example.com"}, partitionName="Default")
    assert code(result) == "1010"


async def test_1013_and_1022_on_delete(world: World) -> None:
    await world.sync("salespersons", {"externalSalesPersonId": "5"})
    await world.sync("leads", {"email": "a@example.com", "externalSalesPersonId": "5"})
    results = await world.sync("salespersons/delete", {"externalSalesPersonId": "5"}, {"externalSalesPersonId": "6"})
    assert [code(one) for one in results] == ["1022", "1013"]
    assert code((await world.sync("leads/delete", {"id": 5}))[0]) == "1004"


async def test_1018_with_native_crm_sync_while_reads_go_on(world: World) -> None:
    world.instance.quirks.native_crm = True
    for path in ("salespersons", "companies", "opportunities", "leads"):
        assert code(await world.post(path, {"input": [{}]})) == "1018"
    assert (await world.get("companies/describe"))["success"]
    assert code(await world.get("opportunities/roles/describe")) == "610"
    assert code(await world.post("opportunities/roles", {"input": [{}]})) == "610"
    world.instance.quirks.native_crm_takes_leads = True
    assert (await world.sync("leads", {"email": "a@example.com"}))[0]["status"] == "created"


async def test_1036_for_the_same_record_twice(world: World) -> None:
    results = await world.sync("companies", {"externalCompanyId": "1"}, {"externalCompanyId": "2"}, {"externalCompanyId": "1"})
    assert [one["status"] for one in results] == ["created", "created", "skipped"]
    leads = await world.sync("leads", {"email": "a@example.com"}, {"email": "A@example.com"})
    assert code(results[2]) == code(leads[1]) == "1036"
    assert [violation.kind for violation in world.instance.violations] == ["twice_in_batch", "twice_in_batch"]


async def test_queries_that_are_refused(world: World) -> None:
    for query, expected in (
        ({"filterValues": "1"}, "1002"),
        ({"filterType": "email"}, "1002"),
        ({"filterType": "firstName", "filterValues": "x"}, "1011"),
        ({"filterType": "nothing", "filterValues": "x"}, "1006"),
        ({"filterType": "id", "filterValues": "1", "fields": "nothing"}, "1006"),
        ({"filterType": "id", "filterValues": ",".join(["1"] * 301)}, "1003"),
        ({"filterType": "id", "filterValues": "1", "nextPageToken": "x"}, "1003"),
        ({"filterType": "id", "filterValues": "1", "batchSize": "x"}, "1001"),
    ):
        assert code(await world.get("leads", **query)) == expected
    assert code(await world.get("companies", filterType="industry", filterValues="x")) == "1011"
    assert code(await world.get("opportunities/roles", filterType="dedupeFields", filterValues="x")) == "1003"


async def test_1003_when_more_than_a_thousand_match(world: World) -> None:
    for number in range(1001):
        world.instance.create_lead(email=f"{number}@example.com", externalCompanyId="1")
    assert code(await world.get("leads", filterType="externalCompanyId", filterValues="1")) == "1003"


async def test_1080_for_a_merge_of_more_than_25(world: World) -> None:
    path = f"leads/1/merge.json?leadIds={','.join(str(number) for number in range(2, 28))}"
    status, answer = await world.raw("POST", f"/rest/v1/{path}")
    assert (status, code(answer)) == (200, "1080")


async def test_704_for_a_bad_date(world: World) -> None:
    assert code(await world.get("activities/pagingtoken", sinceDatetime="yesterday")) == "704"
    assert code(await world.get("activities/pagingtoken")) == "1002"


async def test_a_removed_field_is_not_found_and_an_added_one_is(world: World) -> None:
    world.instance.add_field("lead", Field("region", "string", 40))
    (result,) = await world.sync("leads", {"email": "a@example.com", "region": "EMEA"})
    assert result["status"] == "created"
    world.instance.remove_field("lead", "region")
    (result,) = await world.sync("leads", {"email": "a@example.com", "region": "EMEA"})
    assert code(result) == "1006"


async def test_codes_may_be_numbers_and_members_may_be_missing(world: World) -> None:
    world.instance.quirks.integer_codes = True
    world.instance.quirks.sparse = True
    assert code((await world.sync("leads", {"firstName": "a"}))[0]) == 1003
    assert code(await world.post("leads", {})) == 1002
    assert await world.get("leads", filterType="id", filterValues="5") == {"success": True}


async def test_scripted_refusals(world: World) -> None:
    skips = world.instance.refuse("company", "2", "1003", times=1)
    poison = world.instance.refuse_batch_containing("company", lambda record: record.get("company") == "poison", "611")
    results = await world.sync("companies", {"externalCompanyId": "1"}, {"externalCompanyId": "2"})
    assert [one["status"] for one in results] == ["created", "skipped"]
    assert (await world.sync("companies", {"externalCompanyId": "2"}))[0]["status"] == "created"
    answer = await world.post(
        "companies", {"input": [{"externalCompanyId": "3"}, {"externalCompanyId": "4", "company": "poison"}]}
    )
    assert (answer["success"], code(answer)) == (False, "611")
    assert "3" not in world.instance.companies
    assert (skips.hits, poison.hits) == (1, 1)


async def test_faults_stand_before_the_service_and_it_comes_back_on_its_port(world: World) -> None:
    world.marketo.faults.add(Fault("respond", path="/companies", status=502, body="Bad Gateway"))
    assert (await world.raw("GET", "/rest/v1/companies/describe.json"))[0] == 502
    assert (await world.get("companies/describe"))["success"]
    port = world.marketo.port
    await world.marketo.stop()
    await world.marketo.start()
    assert world.marketo.port == port
    assert (await world.get("companies/describe"))["success"]
    assert world.marketo.calls["GET /rest/v1/companies/describe.json"] == 3


async def test_604_to_more_records_than_it_does_in_time(world: World) -> None:
    world.instance.quirks.batch_most = 2
    users = [{"externalSalesPersonId": f"u{number}", "email": f"u{number}@example.com"} for number in range(3)]
    assert code(await world.post("salespersons", {"input": users})) == "604"
    assert not world.instance.sales_persons
    assert len(await world.sync("salespersons", *users[:2])) == 2
    leads = [{"email": f"l{number}@example.com"} for number in range(3)]
    assert code(await world.post("leads", {"input": leads})) == "604"
    assert code(await world.post("salespersons/delete", {"deleteBy": "dedupeFields", "input": users})) == "604"


async def test_a_crowded_service_takes_longer_for_each_other_call(world: World) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    world.instance.sleep = sleep
    world.instance.quirks.crowded_seconds = 3.0
    world.marketo.limits.in_flight = 2
    assert (await world.get("activities/types"))["success"]
    assert waits == [6.0]
