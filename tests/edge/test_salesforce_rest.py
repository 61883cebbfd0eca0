"""The REST client against the simulated Salesforce: what it reads, what it writes, and what it makes of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from sandbox.faults import Fault
from stream.errors import AuthRefused, BudgetSpent, DailyLimit, SalesforceError, Unreachable
from stream.salesforce import rest
from stream.salesforce.rest import CallRefused
from stream.salesforce.sign_in import SignIn
from stream.salesforce.soql import in_chunks, in_list, quote, select
from tests.edge.salesforce_edge import ANY_CALL, NOBODY, Edge, salesforce_edge


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with salesforce_edge() as made:
        yield made


async def all_rows(pages: AsyncIterator[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row async for page in pages for row in page]


class TestDescribe:
    async def test_fields_come_with_what_writing_needs_to_know(self, edge: Edge) -> None:
        lead = await edge.client.describe("Lead")
        assert lead.name == "Lead"
        moment, priority = lead.fields["mkto_si__Last_Interesting_Moment_Desc__c"], lead.fields["mkto_si__Priority__c"]
        assert (moment.type, moment.length, moment.updateable) == ("textarea", 255, True)
        assert (priority.type, priority.precision, priority.scale) == ("double", 18, 0)
        assert not lead.fields["SystemModstamp"].updateable

    async def test_a_hidden_field_is_not_there(self, edge: Edge) -> None:
        edge.salesforce.org.hide_field("Lead", "mkto_si__Priority__c")
        assert "mkto_si__Priority__c" not in (await edge.client.describe("Lead")).fields

    async def test_a_hidden_object_is_refused_by_its_code(self, edge: Edge) -> None:
        edge.salesforce.org.hide_object("Opportunity")
        with pytest.raises(CallRefused, match="integration user may not see it") as refused:
            await edge.client.describe("Opportunity")
        assert (refused.value.code, refused.value.status) == ("NOT_FOUND", 404)


class TestRead:
    async def test_records_stand_in_the_order_of_the_ids(self, edge: Edge) -> None:
        ids = edge.contacts(3, Email="a@example.com")
        edge.salesforce.org.delete("Contact", ids[1])
        asked = [ids[2], NOBODY, ids[1], ids[0], ids[2]]
        found = await edge.client.read("Contact", asked, ["Id", "LastName", "Email"])
        last = {"Id": ids[2], "LastName": "Person 2", "Email": "a@example.com"}
        assert found == [last, None, None, {**last, "Id": ids[0], "LastName": "Person 0"}, last]

    async def test_an_id_of_15_characters_finds_its_record(self, edge: Edge) -> None:
        [one] = edge.contacts(1)
        [found] = await edge.client.read("Contact", [one[:15]], ["Id"])
        assert found == {"Id": one}

    async def test_two_thousand_in_one_call_and_not_one_more(self, edge: Edge) -> None:
        ids = edge.contacts(2000)
        found = await edge.client.read("Contact", ids, ["Id"])
        assert [record and record["Id"] for record in found] == ids
        assert edge.budget.used == 1
        with pytest.raises(ValueError, match="2001"):
            await edge.client.read("Contact", [*ids, NOBODY], ["Id"])

    async def test_nothing_asked_for_is_no_call(self, edge: Edge) -> None:
        assert await edge.client.read("Contact", [], ["Id"]) == []
        assert edge.budget.used == 0

    async def test_what_is_no_id_is_not_sent(self, edge: Edge) -> None:
        with pytest.raises(ValueError, match="no Salesforce id"):
            await edge.client.read("Contact", ["003"], ["Id"])
        assert edge.budget.used == 0

    async def test_a_column_that_is_not_there_is_named(self, edge: Edge) -> None:
        ids = edge.contacts(1)
        with pytest.raises(CallRefused, match=r"INVALID_FIELD: No such column 'Nothing__c'"):
            await edge.client.read("Contact", ids, ["Id", "Nothing__c"])

    @pytest.mark.parametrize("order", [[1, 0], [0], [0, 1, 1]])
    async def test_an_answer_that_does_not_fit_the_ids_is_an_outage(self, edge: Edge, order: list[int]) -> None:
        ids = edge.contacts(2)
        edge.answer([{"attributes": {"type": "Contact"}, "Id": ids[at]} for at in order])
        with pytest.raises(Unreachable):
            await edge.client.read("Contact", ids, ["Id"])


class TestQuery:
    async def test_pages_are_followed_to_the_end(self, edge: Edge) -> None:
        ids = edge.contacts(4100)
        pages = [page async for page in edge.client.query("SELECT Id FROM Contact ORDER BY Id")]
        assert [len(page) for page in pages] == [2000, 2000, 100]
        assert sorted(row["Id"] for page in pages for row in page) == sorted(ids)
        assert edge.budget.used == 3

    async def test_rows_are_bare_of_attributes(self, edge: Edge) -> None:
        edge.contacts(1)
        [row] = await all_rows(edge.client.query("SELECT Id, LastName FROM Contact"))
        assert set(row) == {"Id", "LastName"}

    async def test_records_inside_records_are_bare_too(self, edge: Edge) -> None:
        owner = {"attributes": {"type": "User"}, "Name": "Ada"}
        record = {"attributes": {"type": "Contact"}, "Id": NOBODY, "Owner": owner}
        edge.answer({"totalSize": 1, "done": True, "records": [record]})
        assert await all_rows(edge.client.query("SELECT Id, Owner.Name FROM Contact")) == [
            {"Id": NOBODY, "Owner": {"Name": "Ada"}}
        ]

    async def test_a_quoted_value_finds_only_itself(self, edge: Edge) -> None:
        hostile = "x' OR LastName != '"
        edge.contacts(2)
        one = edge.salesforce.org.create("Contact", {"LastName": hostile})
        found = await all_rows(edge.client.query(select(["Id"], "Contact", f"LastName = {quote(hostile)}")))
        assert found == [{"Id": one}]

    async def test_deleted_records_are_seen_only_when_asked_for(self, edge: Edge) -> None:
        one, other = edge.contacts(2)
        edge.salesforce.org.delete("Contact", one)
        soql = select(["Id", "IsDeleted"], "Contact", in_list("Id", [one, other]), "Id")
        assert await all_rows(edge.client.query(soql)) == [{"Id": other, "IsDeleted": False}]
        both = await all_rows(edge.client.query(soql, deleted=True))
        assert both == [{"Id": one, "IsDeleted": True}, {"Id": other, "IsDeleted": False}]

    async def test_nothing_found_is_an_empty_page(self, edge: Edge) -> None:
        assert [page async for page in edge.client.query("SELECT Id FROM Lead")] == [[]]

    async def test_ids_in_chunks_all_come_back(self, edge: Edge) -> None:
        ids = edge.contacts(1000)
        chunks = list(in_chunks(ids, beside=select(["Id"], "Contact", "Id IN ()")))
        found = [
            row["Id"]
            for chunk in chunks
            for row in await all_rows(edge.client.query(select(["Id"], "Contact", in_list("Id", chunk))))
        ]
        assert sorted(found) == sorted(ids)
        assert edge.budget.used == len(chunks) == 3

    async def test_a_query_too_long_for_a_uri_is_not_sent(self, edge: Edge) -> None:
        with pytest.raises(ValueError, match="bytes of a URI"):
            await all_rows(edge.client.query(select(["Id"], "Contact", in_list("Id", [NOBODY] * 500))))
        assert edge.budget.used == 0

    @pytest.mark.parametrize(
        "body",
        [
            {"totalSize": 2, "done": False, "records": []},
            {
                "totalSize": 2,
                "done": False,
                "records": [],
                "nextRecordsUrl": "https://elsewhere.example.com/services/data/v62.0/query/1",
            },
            {"totalSize": 2, "done": True},
            {"totalSize": 2, "done": True, "records": [1]},
            [],
            "a page",
        ],
    )
    async def test_a_page_that_makes_no_sense_is_an_outage(self, edge: Edge, body: Any) -> None:
        edge.answer(orjson.dumps(body).decode())
        with pytest.raises(Unreachable):
            await all_rows(edge.client.query("SELECT Id FROM Contact"))

    async def test_pages_that_go_in_circles_end(self, edge: Edge) -> None:
        following = {"nextRecordsUrl": "/services/data/v62.0/query/01g000000000001AAA-2000"}
        edge.answer({"totalSize": 2, "done": False, "records": [], **following}, times=None)
        with pytest.raises(Unreachable, match="do not end"):
            await all_rows(edge.client.query("SELECT Id FROM Contact"))

    async def test_a_token_that_expires_between_pages_is_renewed(self, edge: Edge) -> None:
        ids = edge.contacts(4100)
        found: list[str] = []
        async for page in edge.client.query("SELECT Id FROM Contact"):
            found += [row["Id"] for row in page]
            edge.salesforce.sign_in.revoke_tokens()
        assert sorted(found) == sorted(ids)
        assert edge.sign_in.renewals == 2


class TestCount:
    async def test_records_are_counted_in_one_call(self, edge: Edge) -> None:
        one, *_ = edge.contacts(2300, Email="a@example.com")
        edge.contacts(5)
        edge.salesforce.org.delete("Contact", one)
        asked = f"Email = {quote('a@example.com')}"
        assert await edge.client.count("Contact", asked) == 2299
        assert await edge.client.count("Contact", asked, deleted=True) == 2300
        assert await edge.client.count("Contact") == 2304
        assert await edge.client.count("Lead") == 0
        assert edge.budget.used == 4

    async def test_what_cannot_be_counted_is_refused(self, edge: Edge) -> None:
        with pytest.raises(CallRefused) as refused:
            await edge.client.count("Contact", "Nope__c = 1")
        assert refused.value.code == "INVALID_FIELD"
        with pytest.raises(ValueError, match="no name"):
            await edge.client.count("Contact WHERE Id != null")
        with pytest.raises(ValueError, match="bytes of a URI"):
            await edge.client.count("Contact", in_list("Id", [NOBODY] * 500))

    @pytest.mark.parametrize("body", [{}, [], {"totalSize": True}, {"totalSize": -1}, {"totalSize": "5"}])
    async def test_an_answer_without_a_count_is_an_outage(self, edge: Edge, body: Any) -> None:
        edge.answer(orjson.dumps(body).decode())
        with pytest.raises(Unreachable, match="no count"):
            await edge.client.count("Contact")


class TestUpdate:
    async def test_each_record_has_its_own_result(self, edge: Edge) -> None:
        org = edge.salesforce.org
        first, second, third = edge.contacts(3)
        org.row_faults.add(second, "UNABLE_TO_LOCK_ROW")
        rows = [{"Id": one, "mkto_si__Priority__c": 7} for one in (first, second, third)]
        results = await edge.client.update("Contact", rows)
        assert [(result.id, result.success, result.code) for result in results] == [
            (first, True, ""),
            (second, False, "UNABLE_TO_LOCK_ROW"),
            (third, True, ""),
        ]
        assert [(org.get("Contact", one) or {})["mkto_si__Priority__c"] for one in (first, second, third)] == [7, None, 7]

    async def test_a_refused_field_is_named_and_its_wording_not_shown(self, edge: Edge) -> None:
        [one] = edge.contacts(1)
        message = "Email: invalid email address: ada@example"
        edge.salesforce.org.row_faults.add(one, "INVALID_EMAIL_ADDRESS", message, ("Email",))
        [result] = await edge.client.update("Contact", [{"Id": one, "Email": "ada@example"}])
        assert (result.code, result.fields, result.message) == ("INVALID_EMAIL_ADDRESS", ("Email",), message)
        assert "ada" not in repr(result)

    async def test_a_score_write_changes_no_owner_and_carries_our_name(self, edge: Edge) -> None:
        org = edge.salesforce.org
        owner = org.create("User", {"Username": "sam", "LastName": "Sales", "Email": "sam@example.com"})
        lead = org.create("Lead", {"LastName": "Lovelace", "Company": "Engines", "OwnerId": owner})
        await edge.client.update("Lead", [{"Id": lead, "mkto_si__Priority__c": 3}])
        changed = org.get("Lead", lead) or {}
        assert (changed["mkto_si__Priority__c"], changed["OwnerId"]) == (3, owner)
        header = org.log.events()[-1]["payload"]["ChangeEventHeader"]
        assert (header["changeType"], header["changeOrigin"]) == ("UPDATE", "com/salesforce/api/rest/62.0;client=msi-stream")

    async def test_a_duplicate_rule_that_lets_save_does_not_stop_a_score(self, edge: Edge) -> None:
        [one] = edge.contacts(1)
        edge.salesforce.org.row_faults.add(one, "DUPLICATES_DETECTED", times=None)
        [result] = await edge.client.update("Contact", [{"Id": one, "mkto_si__Priority__c": 3}])
        assert result.success

    async def test_two_hundred_at_most(self, edge: Edge) -> None:
        ids = edge.contacts(201)
        rows = [{"Id": one, "mkto_si__Priority__c": 1} for one in ids]
        assert all(result.success for result in await edge.client.update("Contact", rows[:200]))
        with pytest.raises(ValueError, match="201"):
            await edge.client.update("Contact", rows)
        assert await edge.client.update("Contact", []) == []
        assert edge.budget.used == 1

    async def test_a_row_without_an_id_is_not_sent(self, edge: Edge) -> None:
        with pytest.raises(ValueError, match="no Salesforce id"):
            await edge.client.update("Contact", [{"mkto_si__Priority__c": 1}])

    async def test_half_a_character_does_not_stop_the_batch(self, edge: Edge) -> None:
        [one] = edge.contacts(1)
        name = "mkto_si__Last_Interesting_Moment_Desc__c"
        [result] = await edge.client.update("Contact", [{"Id": one, name: "cut \ud83d"}])
        assert result.success
        assert (edge.salesforce.org.get("Contact", one) or {})[name] == "cut ?"

    async def test_a_lost_answer_to_a_write_says_that_it_may_have_been_done(self, edge: Edge) -> None:
        [one] = edge.contacts(1)
        edge.fail(Fault("reset_after", path="/composite/sobjects"))
        with pytest.raises(Unreachable) as lost:
            await edge.client.update("Contact", [{"Id": one, "mkto_si__Priority__c": 7}])
        assert lost.value.sent
        assert (edge.salesforce.org.get("Contact", one) or {})["mkto_si__Priority__c"] == 7


class TestLimits:
    async def test_the_orgs_allowances(self, edge: Edge) -> None:
        limits = await edge.client.limits()
        assert limits["DailyApiRequests"].max >= limits["DailyApiRequests"].remaining > 0

    async def test_usage_is_noted_with_every_answer(self, edge: Edge) -> None:
        assert edge.client.api_usage is None
        await edge.client.limits()
        assert edge.client.api_usage == (edge.salesforce.org.api_calls.used, 100_000)
        edge.fail(
            Fault(
                "respond",
                path=ANY_CALL,
                status=404,
                body=[],
                headers={"Sforce-Limit-Info": "api-usage=7/9; per-app-api-usage=1/2(app)"},
            )
        )
        with pytest.raises(Unreachable):
            await edge.client.limits()
        assert edge.client.api_usage == (7, 9)

    async def test_our_own_budget_is_asked_before_every_call(self, edge: Edge) -> None:
        edge.budget.limit = 1
        await edge.client.limits()
        with pytest.raises(BudgetSpent):
            await edge.client.limits()
        assert edge.salesforce.org.api_calls.used == 1


class TestFailures:
    @pytest.mark.parametrize("action", ["reset_before", "reset_after", "truncate"])
    async def test_a_broken_answer_is_an_outage(self, edge: Edge, action: Any) -> None:
        # The client library itself asks once more on a connection that was kept open: so every answer breaks.
        edge.fail(Fault(action, path=ANY_CALL, times=None))
        with pytest.raises(Unreachable) as broken:
            await edge.client.limits()
        assert broken.value.sent
        assert broken.value.heals_itself

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "We are down for maintenance."}]),
            (503, "<html>Down for maintenance</html>"),
            (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred."}]),
            (502, ""),
            (429, ""),
            (302, ""),
            (403, "<html>a proxy speaks</html>"),
            (200, "<html>a proxy speaks</html>"),
            (200, ""),
            (200, '{"DailyApiRequests": {"Max": 15000, "Rem'),
        ],
    )
    async def test_what_is_no_answer_of_salesforce_is_an_outage(self, edge: Edge, status: int, body: Any) -> None:
        edge.answer(body, status=status)
        with pytest.raises(Unreachable, match="limits"):
            await edge.client.limits()
        await edge.client.limits()

    async def test_a_closed_port_was_certainly_not_reached(self, edge: Edge) -> None:
        token = await edge.sign_in.token()
        await edge.salesforce.stop()
        with pytest.raises(Unreachable, match="cannot connect") as closed:
            await edge.client.limits()
        assert not closed.value.sent
        assert token.access_token not in str(closed.value)

    async def test_an_answer_that_never_comes_ends_in_time(self, edge: Edge) -> None:
        edge.fail(Fault("hang", path=ANY_CALL))
        with pytest.raises(Unreachable, match="no answer in time") as late:
            await edge.client_of(edge.sign_in, total_seconds=0.2).limits()
        assert late.value.sent

    async def test_an_outage_of_the_sign_in_sent_nothing(self, edge: Edge) -> None:
        sign_in = SignIn(**edge.credentials("jwt"))
        edge.fail(Fault("respond", path="/oauth2/token", status=503))
        with pytest.raises(Unreachable) as out:
            await edge.client_of(sign_in).limits()
        assert not out.value.sent
        assert edge.budget.used == 0

    @pytest.mark.parametrize("flow", ["jwt", "client_credentials", "refresh_token", "password"])
    async def test_callers_at_the_same_time_renew_an_expired_token_once(self, edge: Edge, flow: str) -> None:
        ids = edge.contacts(5)
        client = edge.client_of(SignIn(**edge.credentials(flow)))
        await client.limits()
        edge.salesforce.sign_in.revoke_tokens()
        found = await asyncio.gather(*(client.read("Contact", [one], ["Id"]) for one in ids))
        assert [record for [record] in found] == [{"Id": one} for one in ids]
        assert edge.salesforce.sign_in.issued == 2

    async def test_an_expired_token_is_renewed_once_and_the_call_repeated(self, edge: Edge) -> None:
        await edge.client.limits()
        edge.salesforce.sign_in.revoke_tokens()
        await edge.client.limits()
        assert (edge.sign_in.renewals, edge.budget.used) == (1, 3)

    async def test_a_new_token_that_is_refused_needs_a_person(self, edge: Edge) -> None:
        edge.answer([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}], status=401, times=None)
        with pytest.raises(AuthRefused, match="a token it has just given"):
            await edge.client.limits()
        assert edge.sign_in.renewals == 1

    async def test_the_daily_limit_is_not_the_concurrency_limit(self, edge: Edge) -> None:
        code = "REQUEST_LIMIT_EXCEEDED"
        edge.answer([{"errorCode": code, "message": "TotalRequests Limit exceeded."}], status=403)
        with pytest.raises(DailyLimit) as daily:
            await edge.client.limits()
        assert (daily.value.code, daily.value.heals_itself) == (code, True)
        edge.answer([{"errorCode": code, "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded."}], status=403)
        with pytest.raises(Unreachable, match="at the same time"):
            await edge.client.limits()

    async def test_the_orgs_own_daily_limit(self, edge: Edge) -> None:
        edge.salesforce.org.api_calls.limit = 0
        with pytest.raises(DailyLimit):
            await edge.client.limits()

    async def test_what_the_org_says_it_has_no_more_of_is_not_asked_for(self, edge: Edge) -> None:
        edge.salesforce.org.api_calls.limit = 1
        await edge.client.limits()
        with pytest.raises(BudgetSpent, match="all integrations together have used the org's daily calls"):
            await edge.client.limits()
        assert edge.salesforce.org.api_calls.used == 1

    async def test_a_refusals_wording_is_kept_and_not_shown(self, edge: Edge) -> None:
        message = "\nLastName = 'Lovelace'\n ^ ERROR at Row:1:Column:25\nunexpected token"
        edge.answer([{"errorCode": "MALFORMED_QUERY", "message": message}], status=400)
        with pytest.raises(SalesforceError, match=r"GET /services/data/v62\.0/query: HTTP 400, MALFORMED_QUERY") as refused:
            await all_rows(edge.client.query("SELECT Id FROM Contact WHERE LastName = 'Lovelace'"))
        assert "Lovelace" not in str(refused.value) + repr(refused.value)
        assert isinstance(refused.value, CallRefused)
        assert refused.value.detail == message

    async def test_a_uri_too_long_is_no_outage(self, edge: Edge) -> None:
        edge.answer("<h1>Bad Message 414</h1>", status=414)
        with pytest.raises(CallRefused) as refused:
            await edge.client.limits()
        assert (refused.value.code, refused.value.heals_itself) == ("HTTP_414", False)

    async def test_an_answer_larger_than_any_is_not_read_to_its_end(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rest, "MOST_ANSWER_BYTES", 1000)
        edge.answer(orjson.dumps({"Name": {"Max": 1, "Remaining": 1}, "Noise": "x" * 5000}).decode())
        with pytest.raises(Unreachable, match="larger than"):
            await edge.client.limits()

    async def test_half_a_character_does_not_spoil_an_answer(self, edge: Edge) -> None:
        record = '{"attributes": {"type": "Contact"}, "Id": "003000000009999AAA", "Title": "cut \\ud83d"}'
        edge.answer(f'{{"totalSize": 1, "done": true, "records": [{record}]}}')
        assert await all_rows(edge.client.query("SELECT Id, Title FROM Contact")) == [{"Id": NOBODY, "Title": "cut ?"}]

    async def test_calls_run_side_by_side(self, edge: Edge) -> None:
        ids = edge.contacts(5)
        found = await asyncio.gather(*(edge.client.read("Contact", [one], ["Id"]) for one in ids))
        assert [record for [record] in found] == [{"Id": one} for one in ids]
        assert edge.budget.used == 5
