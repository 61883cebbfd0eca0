"""Bulk API 2.0 query jobs as a strict server runs them: states in time, sets of CSV, refusals, limits."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sandbox.faults import Fault
from sandbox.salesforce.bulk_csv import text_of, write_row
from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Answer, Moment, Wire

NO_JOB = "/jobs/query/750000000000001AAA"


@pytest.fixture
async def salesforce(moment: Moment) -> AsyncIterator[SimulatedSalesforce]:
    async with SimulatedSalesforce(Org(moment)) as running:
        running.bulk.work_seconds = 30.0
        yield running


@pytest.fixture
async def wire(salesforce: SimulatedSalesforce) -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession() as session:
        yield Wire(salesforce, session)


def contacts(salesforce: SimulatedSalesforce, count: int, **more: Any) -> list[str]:
    return [salesforce.org.create("Contact", {"LastName": f"Person {number}", **more}) for number in range(count)]


async def ask(wire: Wire, soql: str = "SELECT Id FROM Contact", operation: str = "query", **more: Any) -> Answer:
    return await wire.rest("POST", "/jobs/query", json={"operation": operation, "query": soql, **more})


async def make(wire: Wire, soql: str = "SELECT Id FROM Contact", operation: str = "query", **more: Any) -> str:
    """A new job's path."""
    answer = await ask(wire, soql, operation, **more)
    assert answer.status == 200, answer
    return f"/jobs/query/{answer.body['id']}"


async def state(wire: Wire, job: str) -> str:
    return str((await wire.rest("GET", job)).body["state"])


async def results(wire: Wire, job: str, **params: Any) -> Answer:
    return await wire.rest("GET", f"{job}/results", params=params)


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer
    return list(csv.DictReader(io.StringIO(answer.body, newline="")))


async def test_a_job_goes_through_its_states_and_then_has_results(
    salesforce: SimulatedSalesforce, wire: Wire, moment: Moment
) -> None:
    salesforce.bulk.queue_seconds = 5.0
    ids = contacts(salesforce, 3)
    made = (await ask(wire)).body
    assert made == {
        "id": made["id"],
        "operation": "query",
        "object": "Contact",
        "createdById": salesforce.org.api_user_id,
        "createdDate": "2026-05-28T20:26:40.000+0000",
        "systemModstamp": "2026-05-28T20:26:40.000+0000",
        "state": "UploadComplete",
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": 62.0,
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    job = f"/jobs/query/{made['id']}"
    assert await state(wire, job) == "UploadComplete"
    moment.seconds += 6
    assert await state(wire, job) == "InProgress"
    early = await results(wire, job)
    assert (early.status, early.body) == (204, "")
    moment.seconds += 30
    info = (await wire.rest("GET", job)).body
    assert (info["state"], info["numberRecordsProcessed"], info["jobType"]) == ("JobComplete", 3, "V2Query")
    answer = await results(wire, job)
    assert [row["Id"] for row in rows_of(answer)] == ids
    assert (answer.headers["Sforce-Locator"], answer.headers["Sforce-NumberOfRecords"]) == ("null", "3")
    assert answer.headers["Content-Type"] == "text/csv; charset=UTF-8"


async def test_rows_are_those_of_the_moment_the_job_was_made(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    one, other = contacts(salesforce, 2)
    job = await make(wire, "SELECT Id, Title FROM Contact")
    salesforce.org.update("Contact", one, {"Title": "CEO"})
    salesforce.org.delete("Contact", other)
    contacts(salesforce, 1)
    moment.seconds += 30
    assert rows_of(await results(wire, job)) == [{"Id": one, "Title": ""}, {"Id": other, "Title": ""}]


async def test_query_all_shows_the_deleted(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    one, other = contacts(salesforce, 2)
    salesforce.org.delete("Contact", other)
    soql = "SELECT Id, IsDeleted FROM Contact"
    live, whole = await make(wire, soql), await make(wire, soql, "queryAll")
    moment.seconds += 30
    assert rows_of(await results(wire, live)) == [{"Id": one, "IsDeleted": "false"}]
    assert rows_of(await results(wire, whole))[1] == {"Id": other, "IsDeleted": "true"}


async def test_every_value_is_quoted_and_written_as_java_writes_it(
    salesforce: SimulatedSalesforce, wire: Wire, moment: Moment
) -> None:
    account = salesforce.org.create("Account", {"Name": "Acme", "NumberOfEmployees": 12})
    deal = {"Name": 'A "big", one', "NextStep": "one\ntwo", "StageName": "Prospecting", "CloseDate": "2027-01-01", "Amount": 90e6}
    made = salesforce.org.create("Opportunity", {**deal, "AccountId": account})
    soql = "SELECT Id, Name, NextStep, Amount, Probability, CloseDate, CreatedDate, IsWon, Type, Account.NumberOfEmployees "
    job = await make(wire, soql + "FROM Opportunity")
    moment.seconds += 30
    head = '"Id","Name","NextStep","Amount","Probability","CloseDate","CreatedDate","IsWon","Type","Account.NumberOfEmployees"\n'
    row = f'"{made}","A ""big"", one","one\ntwo","9.0E7","10.0","2027-01-01","2026-05-28T20:26:40.000Z","false","","12"\n'
    assert (await results(wire, job)).body == head + row


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (119.0, "119.0"),
        (-0.001, "-0.001"),
        (0.0005, "5.0E-4"),
        (9999999.5, "9999999.5"),
        (1e7, "1.0E7"),
        (16147805824397.0, "1.6147805824397E13"),
        (-115056052.0, "-1.15056052E8"),
        (5, "5"),
    ],
)
def test_numbers_look_as_those_in_real_exports(value: float, text: str) -> None:
    assert text_of(value) == text


def test_another_delimiter_quotes_the_same_way() -> None:
    assert write_row(["a|b", None, True], "|", "\r\n") == '"a|b"|""|"true"\r\n'


async def test_sets_follow_each_other_by_locator_and_can_be_fetched_again(
    salesforce: SimulatedSalesforce, wire: Wire, moment: Moment
) -> None:
    ids = contacts(salesforce, 7)
    job = await make(wire)
    moment.seconds += 30
    answers = [await results(wire, job, maxRecords=3)]
    while (locator := answers[-1].headers["Sforce-Locator"]) != "null":
        answers.append(await results(wire, job, maxRecords=3, locator=locator))
    assert [answer.headers["Sforce-NumberOfRecords"] for answer in answers] == ["3", "3", "1"]
    assert [row["Id"] for answer in answers for row in rows_of(answer)] == ids
    again = await results(wire, job, maxRecords=3, locator=answers[0].headers["Sforce-Locator"])
    assert again.body == answers[1].body


async def test_a_set_is_never_larger_than_the_service_makes_them(
    salesforce: SimulatedSalesforce, wire: Wire, moment: Moment
) -> None:
    salesforce.bulk.set_size = 2
    contacts(salesforce, 3)
    job = await make(wire)
    moment.seconds += 30
    assert (await results(wire, job, maxRecords=100)).headers["Sforce-NumberOfRecords"] == "2"


async def test_rows_come_in_no_order_unless_one_is_asked_for(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    salesforce.bulk.chunk_size = 2
    ids = contacts(salesforce, 20)
    chunked, ordered = await make(wire), await make(wire, "SELECT Id FROM Contact ORDER BY Id LIMIT 9")
    moment.seconds += 30
    found = [row["Id"] for row in rows_of(await results(wire, chunked))]
    assert found != ids
    assert sorted(found) == sorted(ids)
    assert [row["Id"] for row in rows_of(await results(wire, ordered))] == ids[:9]


async def test_no_rows_are_a_header_alone(wire: Wire, moment: Moment) -> None:
    job = await make(wire, "SELECT Id, Name FROM Contact")
    moment.seconds += 30
    answer = await results(wire, job)
    assert (answer.body, answer.headers["Sforce-NumberOfRecords"]) == ('"Id","Name"\n', "0")


async def test_before_version_50_columns_stood_in_alphabetical_order(wire: Wire, moment: Moment) -> None:
    body = {"operation": "query", "query": "SELECT Name, Id FROM Contact"}
    made = await wire.send("POST", "/services/data/v49.0/jobs/query", json=body)
    moment.seconds += 30
    answer = await wire.send("GET", f"/services/data/v49.0/jobs/query/{made.body['id']}/results")
    assert answer.body == '"Id","Name"\n'


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT COUNT() FROM Contact", "API_ERROR", "Aggregate Relationships not supported in Bulk V2 Query"),
        ("SELECT MAX(CreatedDate) FROM Contact", "API_ERROR", "Aggregate Relationships not supported"),
        ("SELECT LastName FROM Contact GROUP BY LastName", "API_ERROR", "Aggregate Relationships not supported"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "API_ERROR", "Aggregate Relationships not supported"),
        ("SELECT Id FROM Contact OFFSET 5", "API_ERROR", "OFFSET"),
        ("SELECT Id, MailingAddress FROM Contact", "API_ERROR", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Nope__c FROM Contact", "API_ERROR", "No such column 'Nope__c'"),
        ("SELECT Id FROM Nope", "API_ERROR", "sObject type 'Nope' is not supported"),
        ("SELECT Id FROM Contact WHERE Id = (SELECT", "API_ERROR", "unexpected token"),
        ("SELECT Id FROM Lead", "INVALIDENTITY", "is not supported by the Bulk API"),
    ],
)
async def test_what_bulk_cannot_do_is_refused_at_once(
    salesforce: SimulatedSalesforce, wire: Wire, soql: str, code: str, words: str
) -> None:
    salesforce.bulk.unsupported.add("Lead")
    answer = await ask(wire, soql)
    assert (answer.status, answer.code) == (400, code)
    assert words in answer.body[0]["message"]
    assert not salesforce.bulk.jobs


async def test_words_in_a_text_are_no_syntax(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    one = salesforce.org.create("Contact", {"LastName": "group by (select"})
    job = await make(wire, "SELECT Id FROM Contact WHERE LastName = 'group by (select'")
    moment.seconds += 30
    assert rows_of(await results(wire, job)) == [{"Id": one}]


async def test_a_parents_parent_makes_the_job_fail(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    contacts(salesforce, 1)
    job = await make(wire, "SELECT Id, Account.Owner.Name FROM Contact")
    moment.seconds += 30
    info = (await wire.rest("GET", job)).body
    assert info["state"] == "Failed"
    assert info["errorMessage"] == "FeatureNotEnabled : Cannot serialize value for 'Owner' in CSV format"
    assert (await results(wire, job)).status == 204


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"operation": "insert", "query": "SELECT Id FROM Contact"}, 400, "INVALIDOPERATION"),
        ({"operation": "query"}, 400, "API_ERROR"),
        ({"operation": "query", "query": "SELECT Id FROM Contact", "contentType": "JSON"}, 400, "API_ERROR"),
        ({"operation": "query", "query": "SELECT Id FROM Contact", "columnDelimiter": ","}, 400, "API_ERROR"),
        ({"operation": "query", "query": "SELECT Id FROM Contact", "object": "Contact"}, 400, "JSON_PARSER_ERROR"),
        ("operation=query", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_a_request_that_is_no_job_is_refused(wire: Wire, body: Any, status: int, code: str) -> None:
    way = {"data": body} if isinstance(body, str) else {"json": body}
    answer = await wire.rest("POST", "/jobs/query", **way)
    assert (answer.status, answer.code) == (status, code)


async def test_unknown_jobs_locators_and_sizes_are_refused(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    contacts(salesforce, 3)
    job, other = await make(wire), await make(wire)
    moment.seconds += 30
    for method, path in (("GET", NO_JOB), ("GET", f"{NO_JOB}/results"), ("DELETE", NO_JOB), ("GET", "/jobs/query/nonsense")):
        answer = await wire.rest(method, path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), path
    foreign = (await results(wire, other, maxRecords=1)).headers["Sforce-Locator"]
    for locator in ("nonsense", "MTAwMDA", foreign):
        assert (await results(wire, job, locator=locator)).code == "INVALID_QUERY_LOCATOR"
    assert (await results(wire, job, maxRecords=0)).code == "API_ERROR"
    elsewhere = await wire.send("GET", f"/services/data/v61.0{job}/results")
    assert elsewhere.status == 409
    assert (await wire.send("GET", f"/services/data/v46.0{job}")).status == 404


async def test_a_running_job_can_be_aborted_and_an_ended_one_deleted(
    salesforce: SimulatedSalesforce, wire: Wire, moment: Moment
) -> None:
    job = await make(wire)
    running = await wire.rest("DELETE", job)
    assert (running.status, running.code) == (400, "API_ERROR")
    assert "the job is not terminated" in running.body[0]["message"]
    assert (await wire.rest("PATCH", job, json={"state": "JobComplete"})).code == "INVALIDJOBSTATE"
    aborted = await wire.rest("PATCH", job, json={"state": "Aborted"})
    assert (aborted.status, aborted.body["state"]) == (200, "Aborted")
    moment.seconds += 60
    assert await state(wire, job) == "Aborted"
    assert (await results(wire, job)).status == 204
    assert (await wire.rest("PATCH", job, json={"state": "Aborted"})).code == "INVALIDJOBSTATE"
    assert (await wire.rest("DELETE", job)).status == 204
    assert (await wire.rest("GET", job)).status == 404
    assert not salesforce.bulk.jobs


async def test_results_are_kept_for_seven_days(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    contacts(salesforce, 1)
    job = await make(wire)
    moment.seconds += 30 + 7 * 86_400 - 1
    assert (await results(wire, job)).status == 200
    moment.seconds += 1
    assert (await results(wire, job)).status == 404
    assert (await wire.rest("GET", "/jobs/query")).body["records"] == []


async def test_all_jobs_are_listed(wire: Wire) -> None:
    for _ in range(3):
        await make(wire)
    listed = (await wire.rest("GET", "/jobs/query", params={"jobType": "V2Query"})).body
    assert (listed["done"], len(listed["records"]), listed["nextRecordsUrl"]) == (True, 3, None)
    assert (await wire.rest("GET", "/jobs/query", params={"jobType": "Classic"})).body["records"] == []


async def test_jobs_have_a_daily_limit_and_each_request_is_a_call(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.bulk_query_jobs.limit = 2
    for _ in range(2):
        await make(wire)
    refused = await ask(wire)
    assert (refused.status, refused.code) == (400, "LIMIT_EXCEEDED")
    assert "Max bulk v2 query jobs (2) per 24 hrs has been reached" in refused.body[0]["message"]
    limits = (await wire.rest("GET", "/limits")).body
    assert limits["DailyBulkV2QueryJobs"] == {"Max": 2, "Remaining": 0}
    assert limits["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 15_000}, "query jobs use up no batches"
    assert salesforce.org.api_calls.used == 4
    assert salesforce.calls["POST /services/data/v{version}/jobs/query"] == 3


async def test_sign_in_and_faults_come_first(salesforce: SimulatedSalesforce, wire: Wire, moment: Moment) -> None:
    contacts(salesforce, 50)
    job = await make(wire)
    moment.seconds += 30
    salesforce.faults.add(Fault("truncate", path="/results"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await results(wire, job)
    salesforce.sign_in.revoke_tokens()
    for method, path in (("GET", job), ("GET", f"{job}/results"), ("DELETE", job)):
        assert (await wire.rest(method, path)).code == "INVALID_SESSION_ID"
    assert (await ask(wire)).status == 401
