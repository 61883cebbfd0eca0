"""REST as a strict server answers it: queries, pages, collections, limits and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.salesforce.seed import seed_org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Wire


def make_lead(salesforce: SimulatedSalesforce, **more: Any) -> str:
    return salesforce.org.create("Lead", {"LastName": "Lee", "Company": "Acme", **more})


def patch_of(*rows: dict[str, Any], all_or_none: bool = False) -> dict[str, Any]:
    return {"allOrNone": all_or_none, "records": [{"attributes": {"type": "Lead"}, **row} for row in rows]}


NO_ASSIGNMENT = {"Sforce-Auto-Assign": "FALSE"}


async def test_a_query_comes_in_pages_and_every_answer_tells_the_usage(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.rest.page_size = 200
    made = seed_org(salesforce.org, contacts=450, leads=0, opportunities=0, roles=0)
    page = await wire.query("SELECT Id FROM Contact ORDER BY Id")
    ids, sizes = [], []
    while True:
        ids += [record["Id"] for record in page.body["records"]]
        sizes.append(len(page.body["records"]))
        if page.body["done"]:
            break
        page = await wire.send("GET", page.body["nextRecordsUrl"])
    assert sizes == [200, 200, 50]
    assert sorted(ids) == sorted(made.contacts)
    assert page.body["totalSize"] == 450
    assert page.headers["Sforce-Limit-Info"] == "api-usage=3/100000"


async def test_queries_hide_the_deleted_and_query_all_shows_them(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one, other = make_lead(salesforce), make_lead(salesforce)
    salesforce.org.merge("Lead", one, other)
    soql = "SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true"
    assert (await wire.query(soql)).body["records"] == []
    found = (await wire.query(soql, "queryAll")).body["records"]
    assert [(record["Id"], record["MasterRecordId"]) for record in found] == [(other, one)]


async def test_records_are_counted_with_and_without_the_deleted(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    make_lead(salesforce)
    salesforce.org.delete("Lead", make_lead(salesforce, Email="a@b.co"))
    for soql, live, whole in (
        ("SELECT COUNT() FROM Lead", 1, 2),
        ("SELECT COUNT() FROM Lead WHERE Email = 'a@b.co'", 0, 1),
        ("SELECT COUNT() FROM Lead LIMIT 1", 1, 1),
    ):
        for verb, count in (("query", live), ("queryAll", whole)):
            assert (await wire.query(soql, verb)).body == {"totalSize": count, "done": True, "records": []}
    assert (await wire.query("SELECT COUNT() FROM Lead ORDER BY Id")).code == "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Email = 'A@B.CO'", {"Lee"}),
        ("Email LIKE '%@b.co' AND LastName != 'Lee'", {"Ito"}),
        ("Email = null", {"O'Hara"}),
        ("LastName = 'O\\'Hara'", {"O'Hara"}),
        ("NOT (LastName IN ('Lee', 'Ito'))", {"O'Hara"}),
        ("(LastName = 'Lee' OR LastName = 'Ito') AND DoNotCall = false", {"Lee"}),
        ("mkto_si__Priority__c >= 5", {"Ito"}),
        ("SystemModstamp > 2020-01-01T00:00:00Z AND SystemModstamp < 2020-01-02T00:00:00+02:00", set()),
        ("Owner.Email LIKE 'ada.%' AND Owner.Email != null", {"Lee", "Ito", "O'Hara"}),
        ("mkto_si__Priority__c < 100", {"Ito"}),
    ],
)
async def test_conditions(salesforce: SimulatedSalesforce, wire: Wire, where: str, expected: set[str]) -> None:
    make_lead(salesforce, Email="a@b.co")
    make_lead(salesforce, LastName="Ito", Email="i@b.co", DoNotCall=True, mkto_si__Priority__c=5)
    make_lead(salesforce, LastName="O'Hara")
    answer = await wire.query(f"SELECT LastName FROM Lead WHERE {where}")  # noqa: S608 - the query is what is tested
    assert answer.status == 200, answer.body
    assert {record["LastName"] for record in answer.body["records"]} == expected


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id, Nope__c FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Lead WHERE IsDeleted = 'false'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > 2026-01-01T00:00:00", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > 2026-01-01", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Title = 'a' AND Title = 'b' OR Title = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Description LIKE '%x%'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead ORDER BY Description", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Title = 'it's'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Lead WHERE Id IN ()", "MALFORMED_QUERY"),
        ("SELECT Id, Id FROM Lead", "MALFORMED_QUERY"),
        ("SELECT * FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead LIMIT 5 WHERE Id = null", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("", "MALFORMED_QUERY"),
    ],
)
async def test_bad_queries_are_refused(wire: Wire, soql: str, code: str) -> None:
    answer = await wire.query(soql)
    assert (answer.status, answer.code) == (400, code), answer.body


async def test_counts_and_order(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    for title in ("b", None, "A"):
        make_lead(salesforce, Title=title)
    assert (await wire.query("SELECT COUNT() FROM Lead")).body == {"totalSize": 3, "done": True, "records": []}
    found = (await wire.query("SELECT Title FROM Lead ORDER BY Title DESC NULLS LAST, Id LIMIT 2 OFFSET 1")).body["records"]
    assert [record["Title"] for record in found] == ["A", None]
    found = (await wire.query("SELECT COUNT(Title) n, MAX(SystemModstamp) FROM Lead")).body["records"]
    assert found[0]["n"] == 2
    assert found[0]["expr1"].endswith(".000+0000")


async def test_hidden_fields_look_as_if_they_did_not_exist(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.hide_field("Lead", "Email")
    described = (await wire.rest("GET", "/sobjects/Lead/describe")).body["fields"]
    assert "Email" not in {field["name"] for field in described}
    assert (await wire.query("SELECT Email FROM Lead")).code == "INVALID_FIELD"
    refused = await wire.rest("PATCH", f"/sobjects/Lead/{make_lead(salesforce)}", json={"Email": "a@b.co"})
    assert refused.code == "INVALID_FIELD"


async def test_hidden_objects_are_unknown_to_the_api_and_silent(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.hide_object("Lead")
    one = make_lead(salesforce)
    assert salesforce.org.log.events() == []
    assert (await wire.query("SELECT Id FROM Lead")).code == "INVALID_TYPE"
    assert (await wire.rest("GET", "/sobjects/Lead/describe")).status == 404
    answer = await wire.rest("PATCH", "/composite/sobjects", json=patch_of({"id": one, "Title": "CEO"}))
    assert answer.body[0]["success"] is False


async def test_a_uri_beyond_16_kb_and_headers_beyond_it_are_refused(wire: Wire) -> None:
    ids = ",".join(f"'00Q5g000000{number:04}'" for number in range(1_000))
    assert (await wire.query(f"SELECT Id FROM Lead WHERE Id IN ({ids})")).status == 414  # noqa: S608 - as above
    assert (await wire.rest("GET", "/limits", headers={"X-Long": "x" * 17_000})).status == 431


async def test_no_token_a_revoked_token_and_the_daily_cap(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    assert (await wire.rest("GET", "/limits", headers={"Authorization": "Bearer none"})).code == "INVALID_SESSION_ID"
    salesforce.org.api_calls.limit = 2
    assert (await wire.rest("GET", "/limits")).body["DailyApiRequests"] == {"Max": 2, "Remaining": 1}
    assert (await wire.rest("GET", "/limits")).status == 200
    refused = await wire.rest("GET", "/limits")
    assert (refused.status, refused.code) == (403, "REQUEST_LIMIT_EXCEEDED")
    salesforce.sign_in.revoke_tokens()
    refused = await wire.rest("GET", "/limits")
    assert (refused.status, refused.body) == (
        401,
        [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}],
    )


async def test_a_write_without_the_header_gives_the_lead_another_owner(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one = make_lead(salesforce)
    owner = (salesforce.org.get("Lead", one) or {})["OwnerId"]
    await wire.rest("PATCH", "/composite/sobjects", json=patch_of({"id": one, "Title": "CEO"}), headers=NO_ASSIGNMENT)
    assert (salesforce.org.get("Lead", one) or {})["OwnerId"] == owner
    await wire.rest("PATCH", "/composite/sobjects", json=patch_of({"id": one, "Title": "CTO"}))
    assert (salesforce.org.get("Lead", one) or {})["OwnerId"] == salesforce.org.lead_assignment_owner != owner


async def test_rows_fail_one_by_one_and_the_answer_is_200(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    good, converted, deleted, locked = (make_lead(salesforce) for _ in range(4))
    salesforce.org.convert_lead(converted)
    salesforce.org.delete("Lead", deleted)
    salesforce.org.row_faults.add(locked, "UNABLE_TO_LOCK_ROW")
    ids = [good, converted, deleted, locked, "00Q000000000000EAA", good, "0015g0000000001AAA"]
    answer = await wire.rest("PATCH", "/composite/sobjects", json=patch_of(*({"id": one, "Title": "CEO"} for one in ids)))
    assert answer.status == 200
    assert answer.body[0] == {"id": good, "success": True, "errors": []}
    assert [row["errors"][0]["statusCode"] for row in answer.body[1:]] == [
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "ENTITY_IS_DELETED",
        "UNABLE_TO_LOCK_ROW",
        "INVALID_CROSS_REFERENCE_KEY",
        "DUPLICATE_VALUE",
        "MALFORMED_ID",
    ]
    again = await wire.rest("PATCH", "/composite/sobjects", json=patch_of({"id": locked, "Title": "CEO"}))
    assert again.body[0]["success"], "a scripted refusal is used up"


async def test_all_or_none_rolls_back(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one = make_lead(salesforce)
    rows = patch_of({"id": one, "Title": "CEO"}, {"id": "00Q000000000000EAA"}, all_or_none=True)
    answer = await wire.rest("PATCH", "/composite/sobjects", json=rows)
    assert answer.body[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert (salesforce.org.get("Lead", one) or {})["Title"] is None


async def test_duplicates_are_let_through_only_when_asked(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one = make_lead(salesforce)
    salesforce.org.row_faults.add(one, "DUPLICATES_DETECTED", times=None)
    refused = await wire.rest("PATCH", f"/sobjects/Lead/{one}", json={"Title": "CEO"})
    assert (refused.status, refused.code) == (400, "DUPLICATES_DETECTED")
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    assert (await wire.rest("PATCH", f"/sobjects/Lead/{one}", json={"Title": "CEO"}, headers=allow)).status == 204


async def test_collections_have_their_sizes(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one = make_lead(salesforce)
    too_many = await wire.rest("PATCH", "/composite/sobjects", json=patch_of(*({"id": one} for _ in range(201))))
    assert (too_many.status, too_many.code) == (400, "EXCEEDED_ID_LIMIT")
    body = {"ids": [one] * 2_001, "fields": ["Id"]}
    assert (await wire.rest("POST", "/composite/sobjects/Lead", json=body)).code == "EXCEEDED_ID_LIMIT"
    body["ids"] = [one] * 2_000
    assert len((await wire.rest("POST", "/composite/sobjects/Lead", json=body)).body) == 2_000


async def test_reading_many_keeps_the_order_and_answers_null_for_the_missing(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    one, other, deleted = (make_lead(salesforce, Title=title) for title in "abc")
    salesforce.org.delete("Lead", deleted)
    ids = [other, deleted, "00Q000000000000EAA", one]
    answer = await wire.rest("POST", "/composite/sobjects/Lead", json={"ids": ids, "fields": ["Id", "Title"]})
    assert [row and row["Title"] for row in answer.body] == ["b", None, None, "a"]
    unknown = await wire.rest("POST", "/composite/sobjects/Lead", json={"ids": ids, "fields": ["Nope__c"]})
    assert (unknown.status, unknown.code) == (400, "INVALID_FIELD")


async def test_single_records(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    made = await wire.rest("POST", "/sobjects/Contact", json={"LastName": "Lee"})
    assert (made.status, made.body["success"]) == (201, True)
    path = f"/sobjects/Contact/{made.body['id']}"
    assert (await wire.rest("PATCH", path, json={"Birthdate": "1980-02-30"})).code == "JSON_PARSER_ERROR"
    assert (await wire.rest("PATCH", path, json={"Name": "Lee"})).code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert (await wire.rest("PATCH", path, json={"Title": "CEO"})).status == 204
    assert (await wire.rest("GET", f"{path}?fields=Title,Name")).body["Title"] == "CEO"
    assert (await wire.rest("DELETE", path)).status == 204
    gone = await wire.rest("GET", path)
    assert (gone.status, gone.code) == (404, "ENTITY_IS_DELETED")
    assert (await wire.rest("GET", "/sobjects/Contact/003000000000000AAA")).code == "NOT_FOUND"
    assert salesforce.calls["PATCH /services/data/v{version}/sobjects/{object}/{id}"] == 3


async def test_an_unknown_version_and_an_unknown_path_are_not_found(wire: Wire) -> None:
    assert (await wire.send("GET", "/services/data/v99.0/limits")).code == "NOT_FOUND"
    assert (await wire.rest("GET", "/nonsense")).code == "NOT_FOUND"
    assert (await wire.rest("PUT", "/limits")).code == "METHOD_NOT_ALLOWED"
