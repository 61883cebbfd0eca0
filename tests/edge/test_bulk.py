"""Bulk queries against the simulated Salesforce: their rows are those of SOQL, and no broken page is taken for a whole one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.salesforce.bulk_csv import write_row
from store.digests import digests
from store.model import OBJECTS, ObjectName
from stream.changes import snapshot
from stream.errors import AuthRefused, BudgetSpent, BulkJobLost, DailyLimit, Unreachable
from stream.mapping import SourceFields
from stream.retry import Backoff
from stream.salesforce.bulk import BulkQuery, Page
from stream.salesforce.rest import CallRefused
from stream.salesforce.soql import select
from tests.edge.salesforce_edge import NOBODY, Edge, LeapingClock, salesforce_edge

CONTACTS = "SELECT Id, LastName FROM Contact"
RESULTS = "/results"
JOB = r"/jobs/query/\w+$"
AWKWARD = 'a "quoted", row\r\nof two\nlines, é 漢 \N{PILE OF POO} "'
DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2027-01-01"}


@dataclass
class Bulk:
    """Bulk queries of a simulated org, whose time passes only in waits."""

    edge: Edge
    clock: LeapingClock
    query: BulkQuery

    def other(self, **more: Any) -> BulkQuery:
        """Another process's queries, of the same org."""
        return BulkQuery(self.edge.client, self.clock, **more)

    async def complete(self, soql: str = CONTACTS, *, deleted: bool = True) -> str:
        """A job that is complete."""
        job = await self.query.start(soql, deleted)
        await self.query.wait(job)
        return job

    def jobs(self) -> list[str]:
        """The jobs that Salesforce has."""
        return list(self.edge.salesforce.bulk.jobs)

    def calls(self, call: str) -> int:
        """How often something was asked for: `POST /jobs/query`."""
        method, path = call.split()
        return self.edge.salesforce.calls[f"{method} /services/data/v{{version}}{path}"]


@pytest.fixture
async def bulk() -> AsyncIterator[Bulk]:
    clock = LeapingClock()
    async with salesforce_edge(clock) as edge:
        edge.salesforce.bulk.work_seconds = 30.0
        yield Bulk(edge, clock, BulkQuery(edge.client, clock, page_records=10))


async def taken(pages: AsyncIterator[Page]) -> list[Page]:
    return [page async for page in pages]


async def rows(pages: AsyncIterator[Page]) -> list[dict[str, Any]]:
    return [row async for page, _ in pages for row in page]


class TestRows:
    async def test_one_record_is_the_same_by_bulk_soql_and_composite_read(self, bulk: Bulk) -> None:
        org = bulk.edge.salesforce.org
        account = org.create(
            "Account", {"Name": AWKWARD, "AnnualRevenue": 115_056_052, "NumberOfEmployees": 7, "Website": "x.co"}
        )
        contact = {
            "LastName": "Lee",
            "AccountId": account,
            "Birthdate": "1980-02-29",
            "mkto_si__Priority__c": 3,
            "DoNotCall": True,
        }
        moment = {"mkto_si__Last_Interesting_Moment_Date__c": "2026-01-01T01:02:03+02:00", "Description": f"{AWKWARD}\n" * 200}
        made = org.create("Contact", {**contact, **moment})
        org.create("Lead", {"LastName": '"', "Company": ",", "mkto_si__Urgency_Value__c": -1})
        deal = org.create("Opportunity", {**DEAL, "AccountId": account, "Amount": 0.05, "TotalOpportunityQuantity": 9e7})
        org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": made, "IsPrimary": True})
        for obj in OBJECTS:
            describe = await bulk.edge.client.describe(obj)
            fields = sorted(name for name, field in describe.fields.items() if field.type != "address")
            asked = select(fields, obj)
            by_soql = {row["Id"]: row async for page in bulk.edge.client.query(asked, deleted=True) for row in page}
            ids = list(by_soql)
            by_read = await bulk.edge.client.read(obj, ids, fields)
            by_bulk = {row["Id"]: row for row in await rows(bulk.query.pages(await bulk.complete(asked)))}
            assert ids
            assert by_bulk == by_soql == dict(zip(ids, by_read, strict=True))
            assert {id_: kinds(row) for id_, row in by_bulk.items()} == {id_: kinds(row) for id_, row in by_soql.items()}
            for one in ids:
                assert content(obj, by_bulk[one], fields) == content(obj, by_soql[one], fields)

    async def test_the_deleted_come_unless_they_are_not_wanted(self, bulk: Bulk) -> None:
        one, other = bulk.edge.contacts(2)
        bulk.edge.salesforce.org.delete("Contact", one)
        soql = "SELECT Id, IsDeleted FROM Contact"
        assert {row["Id"]: row["IsDeleted"] for row in await rows(bulk.query.pages(await bulk.complete(soql)))} == {
            one: True,
            other: False,
        }
        assert await rows(bulk.query.pages(await bulk.complete(soql, deleted=False))) == [{"Id": other, "IsDeleted": False}]

    async def test_a_query_may_be_longer_than_a_uri(self, bulk: Bulk) -> None:
        [one] = bulk.edge.contacts(1)
        names = ",".join(f"'{number:050}'" for number in range(1000))
        job = await bulk.complete(f"{CONTACTS} WHERE LastName NOT IN ({names})")
        assert [row["Id"] for row in await rows(bulk.query.pages(job))] == [one]


def kinds(row: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in row.items()}


def content(obj: ObjectName, row: dict[str, Any], fields: list[str]) -> dict[str, str]:
    return digests(snapshot(obj, row, SourceFields({obj: frozenset(fields)})).fields)


class TestPages:
    async def test_each_page_tells_what_follows_and_the_job_is_deleted_at_the_end(self, bulk: Bulk) -> None:
        ids = bulk.edge.contacts(25)
        pages = await taken(bulk.query.pages(await bulk.complete()))
        assert [len(page) for page, _ in pages] == [10, 10, 5]
        assert [bool(locator) for _, locator in pages] == [True, True, False]
        assert sorted(row["Id"] for page, _ in pages for row in page) == sorted(ids)
        assert bulk.jobs() == []

    async def test_no_records_are_one_empty_page(self, bulk: Bulk) -> None:
        assert await taken(bulk.query.pages(await bulk.complete())) == [([], "")]

    async def test_another_process_goes_on_at_the_locator(self, bulk: Bulk) -> None:
        ids = bulk.edge.contacts(25)
        job = await bulk.complete()
        first = bulk.query.pages(job)
        page, locator = await anext(first)
        await first.aclose()  # type: ignore[attr-defined] # an async generator, which the protocol does not promise
        rest = await taken(bulk.other(page_records=20).pages(job, locator))
        assert [len(page) for page, _ in rest] == [15]
        assert sorted(row["Id"] for part in ([(page, locator)], rest) for some, _ in part for row in some) == sorted(ids)

    async def test_a_job_lives_until_its_last_page_was_taken(self, bulk: Bulk) -> None:
        bulk.edge.contacts(1)
        job = await bulk.complete()
        pages = bulk.query.pages(job)
        assert (await anext(pages))[1] == ""
        assert bulk.jobs() == [job], "whoever dies before it stored the last page must be able to ask again"
        assert [row async for row in pages] == []
        assert bulk.jobs() == []

    async def test_a_page_that_the_service_makes_smaller_is_not_the_last(self, bulk: Bulk) -> None:
        bulk.edge.salesforce.bulk.set_size = 3
        bulk.edge.contacts(7)
        assert [len(page) for page, _ in await taken(bulk.query.pages(await bulk.complete()))] == [3, 3, 1]

    async def test_a_token_that_expires_between_pages_is_renewed(self, bulk: Bulk) -> None:
        ids = bulk.edge.contacts(25)
        job = await bulk.complete()
        found: list[str] = []
        async for page, _ in bulk.query.pages(job):
            found += [row["Id"] for row in page]
            bulk.edge.salesforce.sign_in.revoke_tokens()
        assert sorted(found) == sorted(ids)
        assert bulk.edge.sign_in.renewals == 3
        assert bulk.jobs() == []

    async def test_every_call_is_taken_from_the_budget(self, bulk: Bulk) -> None:
        bulk.edge.contacts(25)
        job = await bulk.complete()
        started = bulk.edge.budget.used
        assert started == 1 + bulk.calls("GET /jobs/query/{job}")
        await taken(bulk.query.pages(job))
        assert bulk.edge.budget.used - started == 1 + 1 + 3 + 1, "the job, the describe, three pages, the delete"
        assert bulk.edge.budget.used == bulk.edge.salesforce.org.api_calls.used
        bulk.edge.budget.limit = bulk.edge.budget.used
        with pytest.raises(BudgetSpent):
            await bulk.query.start(CONTACTS)


class TestWaiting:
    async def test_waits_grow_and_stay_bounded(self, bulk: Bulk) -> None:
        bulk.edge.salesforce.bulk.work_seconds = 3600.0
        await bulk.complete()
        assert bulk.clock.slept[0] < 5
        assert 2 <= min(bulk.clock.slept) < max(bulk.clock.slept) <= 60
        assert 3600 <= sum(bulk.clock.slept) < 3660
        assert bulk.calls("GET /jobs/query/{job}") == len(bulk.clock.slept) + 1

    async def test_a_job_that_takes_too_long_can_be_waited_for_again(self, bulk: Bulk) -> None:
        bulk.edge.contacts(1)
        impatient = bulk.other(wait_seconds_max=10.0, poll=Backoff(least_seconds=4.0, most_seconds=4.0))
        job = await impatient.start(CONTACTS)
        with pytest.raises(Unreachable, match="still InProgress after 10 s"):
            await impatient.wait(job)
        with pytest.raises(Unreachable, match="still InProgress"):
            await taken(impatient.pages(job))
        await bulk.query.wait(job)
        assert len(await rows(bulk.query.pages(job))) == 1

    async def test_a_job_tells_how_it_stands(self, bulk: Bulk) -> None:
        bulk.edge.contacts(3)
        job = await bulk.query.start(CONTACTS)
        begun = await bulk.query.job(job)
        assert (begun.id, begun.object, begun.state, begun.is_running) == (job, "Contact", "InProgress", True)
        await bulk.query.wait(job)
        ended = await bulk.query.job(job)
        assert (ended.state, ended.records, ended.is_running) == ("JobComplete", 3, False)


class TestLost:
    @pytest.mark.parametrize(
        ("words", "helps", "code"),
        [
            ("InternalServerError : Retried more than fifteen times", True, "InternalServerError"),
            ("QUERY_TIMEOUT: Your query request was running for too long, Lovelace", True, "QUERY_TIMEOUT"),
            ("", True, ""),
            ("InvalidBatch : Failed to process query: INVALID_FIELD: Lovelace", False, "InvalidBatch"),
            ("FeatureNotEnabled : Cannot serialize value for 'Owner' in CSV format", False, "FeatureNotEnabled"),
            ("Lovelace has no such thing as a code", True, ""),
        ],
    )
    async def test_a_failed_job_says_whether_another_helps(self, bulk: Bulk, words: str, helps: bool, code: str) -> None:
        bulk.edge.salesforce.bulk.failures.append(words or " ")
        job = await bulk.query.start(CONTACTS)
        for use in (bulk.query.wait(job), taken(bulk.query.pages(job))):
            with pytest.raises(BulkJobLost, match="Contact ended as Failed") as lost:
                await use
            assert (lost.value.another_helps, lost.value.code) == (helps, code)
            assert lost.value.detail.strip() == words
            assert "Lovelace" not in str(lost.value)
            assert not lost.value.heals_itself

    async def test_an_aborted_job_may_be_started_again(self, bulk: Bulk) -> None:
        job = await bulk.query.start(CONTACTS)
        bulk.edge.salesforce.bulk.jobs[job].aborted = bulk.clock.now()
        with pytest.raises(BulkJobLost, match="ended as Aborted") as lost:
            await bulk.query.wait(job)
        assert lost.value.another_helps

    async def test_results_that_expired_are_gone(self, bulk: Bulk) -> None:
        bulk.edge.contacts(25)
        job = await bulk.complete()
        pages = bulk.query.pages(job)
        _, locator = await anext(pages)
        await bulk.clock.sleep(8 * 86_400)
        for use in (anext(pages), bulk.query.wait(job), taken(bulk.query.pages(job, locator))):
            with pytest.raises(BulkJobLost) as lost:
                await use
            assert (lost.value.another_helps, lost.value.status) == (True, 404)

    async def test_a_locator_that_is_none_is_gone(self, bulk: Bulk) -> None:
        bulk.edge.contacts(25)
        job = await bulk.complete()
        with pytest.raises(BulkJobLost) as lost:
            await taken(bulk.query.pages(job, "MTAwMDA"))
        assert (lost.value.another_helps, lost.value.code) == (True, "INVALID_QUERY_LOCATOR")
        assert bulk.jobs() == [job]

    async def test_another_version_of_the_api_needs_another_job(self, bulk: Bulk) -> None:
        job = await bulk.complete()
        later = BulkQuery(bulk.edge.client_of(bulk.edge.sign_in, api_version="63.0", clock=bulk.clock), bulk.clock)
        with pytest.raises(BulkJobLost) as lost:
            await taken(later.pages(job))
        assert (lost.value.another_helps, lost.value.status) == (True, 409)

    async def test_pages_that_end_too_soon_are_not_all(self, bulk: Bulk) -> None:
        bulk.edge.contacts(25)
        job = await bulk.complete()
        page = write_row(["Id", "LastName"]) + write_row([NOBODY, "Lee"])
        headers = {"Sforce-NumberOfRecords": "1", "Sforce-Locator": "null"}
        bulk.edge.fail(Fault("respond", path=RESULTS, body=page, headers=headers))
        with pytest.raises(BulkJobLost, match="lack 24 of 25") as lost:
            await taken(bulk.query.pages(job))
        assert lost.value.another_helps


class TestRefused:
    async def test_the_days_bulk_queries_may_be_used_up(self, bulk: Bulk) -> None:
        bulk.edge.salesforce.org.bulk_query_jobs.limit = 0
        with pytest.raises(DailyLimit, match="daily bulk queries are used up") as limit:
            await bulk.query.start(CONTACTS)
        assert limit.value.heals_itself

    @pytest.mark.parametrize(
        ("soql", "code", "hint"),
        [
            ("SELECT Nope__c FROM Contact", "INVALID_FIELD", "may not see it"),
            ("SELECT Id, MailingAddress FROM Contact", "API_ERROR", "SOQL pages can"),
            ("SELECT Id FROM Lead", "INVALIDENTITY", "SOQL pages can"),
        ],
    )
    async def test_a_query_that_bulk_cannot_run_is_refused_by_its_code(self, bulk: Bulk, soql: str, code: str, hint: str) -> None:
        bulk.edge.salesforce.bulk.unsupported.add("Lead")
        with pytest.raises(CallRefused, match=hint) as refused:
            await bulk.query.start(soql)
        assert refused.value.code == code

    async def test_a_token_refused_again_and_again_needs_a_person(self, bulk: Bulk) -> None:
        bulk.edge.contacts(1)
        job = await bulk.complete()
        bulk.edge.answer([{"errorCode": "INVALID_SESSION_ID", "message": "x"}], status=401, path=RESULTS, times=None)
        with pytest.raises(AuthRefused):
            await taken(bulk.query.pages(job))

    async def test_what_is_no_id_is_not_sent(self, bulk: Bulk) -> None:
        with pytest.raises(ValueError, match="no Salesforce id"):
            await bulk.query.wait("../../limits")
        assert bulk.edge.budget.used == 0

    @pytest.mark.parametrize("body", ["{}", "[]", '{"id": "750", "object": "Contact", "state": "InProgress"}', '{"id": 1}', "x"])
    async def test_an_answer_that_describes_no_job_is_an_outage(self, bulk: Bulk, body: str) -> None:
        bulk.edge.answer(body, path="/jobs/query")
        with pytest.raises(Unreachable):
            await bulk.query.start(CONTACTS)


FAULTS = ("reset_before", "reset_after", "hang", "hang_after", "truncate", "503")
CALLS = ("/jobs/query$", JOB, "/describe", rf"{RESULTS}\?maxRecords=10$", "locator=")


class TestFaults:
    @pytest.mark.parametrize("action", FAULTS)
    @pytest.mark.parametrize("call", CALLS)
    async def test_after_a_fault_at_any_call_it_goes_on_where_it_was(self, bulk: Bulk, call: str, action: Any) -> None:
        ids = bulk.edge.contacts(25)
        fault = Fault("respond", path=call, status=503) if action == "503" else Fault(action, path=call)
        fault.times = 2  # the client library itself asks once more on a connection that was kept open
        hasty = BulkQuery(bulk.edge.client_of(bulk.edge.sign_in, 0.3, clock=bulk.clock), bulk.clock, page_records=10)
        bulk.edge.fail(fault)
        found: list[str] = []
        job, locator, failures = "", "", 0
        while not found or locator:
            try:
                job = job or await hasty.start(CONTACTS)
                await hasty.wait(job)
                async for page, following in hasty.pages(job, locator):
                    locator = following
                    found += [row["Id"] for row in page]
            except Unreachable:
                failures += 1
        assert sorted(found) == sorted(ids)
        assert 1 <= failures <= 2
        assert fault.hits == 2
        assert bulk.jobs() == [] or call == "/jobs/query$", "only a job whose id was lost may stay behind"

    @pytest.mark.parametrize("action", FAULTS)
    async def test_a_delete_that_fails_does_no_harm(self, bulk: Bulk, action: Any) -> None:
        bulk.edge.contacts(3)
        job = await bulk.complete()
        more: dict[str, Any] = {"path": JOB, "method": "DELETE", "times": None}
        bulk.edge.fail(Fault("respond", status=503, **more) if action == "503" else Fault(action, **more))
        hasty = BulkQuery(bulk.edge.client_of(bulk.edge.sign_in, 0.3, clock=bulk.clock), bulk.clock)
        assert len(await rows(hasty.pages(job))) == 3

    async def test_a_page_cut_at_any_byte_is_never_taken_for_a_whole_one(self, bulk: Bulk) -> None:
        names = ["Lee", 'x"y', "", "a,b\n", 'ends with "quotes"']
        for name in names:
            bulk.edge.salesforce.org.create("Contact", {"LastName": "Lee", "Title": name})
        job = await bulk.complete("SELECT Id, Title FROM Contact")
        contacts = bulk.edge.salesforce.org.records("Contact")
        whole = (write_row(["Id", "Title"]) + "".join(write_row([row["Id"], row["Title"]]) for row in contacts)).encode()
        headers = {"Sforce-NumberOfRecords": str(len(names)), "Sforce-Locator": "null", "Content-Type": "text/csv"}
        for length in range(len(whole)):
            fault = Fault("respond", path=RESULTS, body=whole[:length].decode(), headers=headers)
            bulk.edge.budget.used = 0
            bulk.edge.fail(fault)
            with pytest.raises(Unreachable):
                await taken(bulk.query.pages(job))
            assert fault.hits == 1
        bulk.edge.fail(Fault("respond", path=RESULTS, body=whole.decode(), headers=headers))
        assert sorted(str(row["Title"]) for row in await rows(bulk.query.pages(job))) == sorted(
            str(row["Title"]) for row in contacts
        )

    @pytest.mark.parametrize(
        ("headers", "page"),
        [
            ({}, [["Id"], [NOBODY]]),
            ({"Sforce-NumberOfRecords": "1"}, [["Id"], [NOBODY]]),
            ({"Sforce-Locator": "null"}, [["Id"], [NOBODY]]),
            ({"Sforce-NumberOfRecords": "one", "Sforce-Locator": "null"}, [["Id"], [NOBODY]]),
            ({"Sforce-NumberOfRecords": "2", "Sforce-Locator": "null"}, [["Id"], [NOBODY]]),
            ({"Sforce-NumberOfRecords": "1", "Sforce-Locator": "null"}, [["Id"], [NOBODY], [NOBODY]]),
            ({"Sforce-NumberOfRecords": "11", "Sforce-Locator": "null"}, [["Id"], *[[NOBODY]] * 11]),
            ({"Sforce-NumberOfRecords": "1", "Sforce-Locator": "null"}, [["Id"], [NOBODY, "more"]]),
            ({"Sforce-NumberOfRecords": "0", "Sforce-Locator": "null"}, []),
        ],
    )
    async def test_a_page_that_is_not_what_it_announces_is_an_outage(
        self, bulk: Bulk, headers: dict[str, str], page: list[list[str]]
    ) -> None:
        bulk.edge.contacts(1)
        job = await bulk.complete()
        bulk.edge.fail(Fault("respond", path=RESULTS, body="".join(map(write_row, page)), headers=headers))
        with pytest.raises(Unreachable):
            await taken(bulk.query.pages(job))
        assert len(await rows(bulk.query.pages(job))) == 1

    async def test_a_page_with_more_behind_it_is_an_outage(self, bulk: Bulk) -> None:
        job = await bulk.complete()
        headers = {"Sforce-NumberOfRecords": "0", "Sforce-Locator": "null"}
        bulk.edge.fail(Fault("respond", path=RESULTS, body=write_row(["Id"]) + '"003', headers=headers))
        with pytest.raises(Unreachable, match="ends within a row"):
            await taken(bulk.query.pages(job))

    async def test_an_empty_success_is_no_page(self, bulk: Bulk) -> None:
        job = await bulk.complete()
        bulk.edge.fail(Fault("respond", path=RESULTS, status=204, body=""))
        with pytest.raises(Unreachable):
            await taken(bulk.query.pages(job))

    async def test_pages_that_go_in_circles_end(self, bulk: Bulk) -> None:
        bulk.edge.contacts(1)
        job = await bulk.complete()
        headers = {"Sforce-NumberOfRecords": "0", "Sforce-Locator": "MTAwMDA"}
        bulk.edge.fail(Fault("respond", path=RESULTS, body=write_row(["Id"]), headers=headers, times=None))
        with pytest.raises(Unreachable, match="do not end"):
            await taken(bulk.query.pages(job))

    @pytest.mark.parametrize("page", [[["Id", "Nope__c"], [NOBODY, "x"]], [["Id", "DoNotCall"], [NOBODY, "Lovelace"]]])
    async def test_a_result_that_does_not_fit_the_object_is_left_to_soql(self, bulk: Bulk, page: list[list[str]]) -> None:
        bulk.edge.contacts(1)
        job = await bulk.complete()
        headers = {"Sforce-NumberOfRecords": "1", "Sforce-Locator": "null"}
        bulk.edge.fail(Fault("respond", path=RESULTS, body="".join(map(write_row, page)), headers=headers))
        with pytest.raises(BulkJobLost, match=r"Nope__c|DoNotCall") as lost:
            await taken(bulk.query.pages(job))
        assert not lost.value.another_helps
        assert "Lovelace" not in str(lost.value) + str(lost.value.__cause__)
