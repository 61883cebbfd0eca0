"""What the Marketo client makes of failures: outages, refusals, tokens, limits, and answers that make no sense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream.errors import AuthRefused, BudgetSpent, MarketoError, Unreachable
from stream.marketo import wire
from stream.marketo.client import MarketoClient, Timeouts
from stream.marketo.limits import Gate
from stream.marketo.wire import AnswerRefused
from tests.edge.marketo_edge import MarketoEdge, marketo_edge

IDENTITY = "/identity/"
SHORT = Timeouts(sync_leads=0.2, write=0.2, query=0.2, paging_token=0.2, other=0.2)
LEAD = {"email": "ada@example.com"}


@pytest.fixture
async def edge() -> AsyncIterator[MarketoEdge]:
    async with marketo_edge() as made:
        yield made


async def refused_code(client: MarketoClient) -> str:
    """The code that a sync is refused with."""
    with pytest.raises(MarketoError) as refused:
        await client.sync("leads", [LEAD])
    return refused.value.code


class TestOutages:
    @pytest.mark.parametrize("action", ["reset_before", "reset_after", "truncate"])
    async def test_a_broken_connection_may_have_done_the_work(self, edge: MarketoEdge, action: str) -> None:
        edge.fail(action)
        with pytest.raises(Unreachable) as outage:
            await edge.client.sync("leads", [LEAD])
        assert outage.value.sent
        [result] = await edge.client.sync("leads", [LEAD])
        assert result.status == ("created" if action == "reset_before" else "updated")

    @pytest.mark.parametrize("action", ["hang", "hang_after"])
    async def test_silence_ends_after_the_calls_own_timeout(self, edge: MarketoEdge, action: str) -> None:
        edge.fail(action)
        with pytest.raises(Unreachable, match="no answer in time") as outage:
            await edge.other_client(timeouts=SHORT).sync("leads", [LEAD])
        assert outage.value.sent

    async def test_nobody_there_was_certainly_not_sent(self, edge: MarketoEdge) -> None:
        await edge.client.usage_today()
        await edge.marketo.stop()
        with pytest.raises(Unreachable):  # on the connection that was kept open, which may have taken it
            await edge.client.sync("leads", [LEAD])
        with pytest.raises(Unreachable, match="cannot connect") as outage:
            await edge.client.sync("leads", [LEAD])
        assert not outage.value.sent
        await edge.marketo.start()
        assert (await edge.client.sync("leads", [LEAD]))[0].status == "created"

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", {"success": False, "errors": [{"code": "1003"}]}])
    async def test_a_gateways_error_is_an_outage_whatever_it_says(self, edge: MarketoEdge, status: int, body: Any) -> None:
        edge.answer(body, status=status)
        with pytest.raises(Unreachable, match=f"HTTP {status}") as outage:
            await edge.client.sync("leads", [LEAD])
        assert outage.value.sent

    @pytest.mark.parametrize(
        "body", ["", "<html>Maintenance</html>", "[]", '"ok"', "null", '{"success": tr', "{}", '{"requestId":"1"}']
    )
    async def test_an_answer_that_makes_no_sense_is_an_outage(self, edge: MarketoEdge, body: str) -> None:
        edge.answer(body)
        with pytest.raises(Unreachable):
            await edge.client.sync("leads", [LEAD])

    async def test_an_answer_without_end_is_not_read_to_its_end(self, edge: MarketoEdge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "MOST_ANSWER_BYTES", 100_000)
        edge.answer({"success": True, "result": [{"id": 1, "notes": "x" * 200_000}]})
        with pytest.raises(Unreachable, match="larger than"):
            await edge.client.find("leads", "email", ["ada@example.com"], ["id"])

    async def test_the_token_follows_no_redirect(self, edge: MarketoEdge) -> None:
        edge.answer("", status=302, headers={"Location": f"{edge.marketo.base_url}/elsewhere"})
        with pytest.raises(Unreachable, match="HTTP 302"):
            await edge.client.sync("leads", [LEAD])
        assert not any(exchange.path == "/elsewhere" for exchange in edge.marketo.exchanges)

    def test_marketo_is_given_more_time_than_it_gives_itself(self) -> None:
        ours = Timeouts()
        assert (ours.sync_leads > 90, ours.write > 60, ours.query > 60, ours.paging_token > 300, ours.other > 30) == (True,) * 5


class TestRefusals:
    @pytest.mark.parametrize(
        ("envelope", "code"),
        [
            ({"success": False, "errors": [{"code": "610", "message": "Not found"}]}, "610"),
            ({"success": False, "errors": [{"code": 1003}, {"code": "601"}]}, "1003"),
            ({"errors": [{"code": "611", "message": "System error"}]}, "611"),
            ({"success": False, "errors": [{"message": "no code"}]}, "unknown"),
            ({"success": False, "errors": []}, "unknown"),
            ({"success": False}, "unknown"),
            ({"success": False, "errors": "broken"}, "unknown"),
            ({"success": False, "errors": [{"code": ["611"]}]}, "unknown"),
        ],
    )
    async def test_the_first_errors_code_is_told_as_text(self, edge: MarketoEdge, envelope: Any, code: str) -> None:
        edge.answer(envelope)
        assert await refused_code(edge.client) == code

    async def test_what_marketo_says_stays_out_of_the_message(self, edge: MarketoEdge) -> None:
        edge.errors({"code": "1003", "message": "Lead ada@example.com is bad"})
        with pytest.raises(AnswerRefused) as refused:
            await edge.client.sync("leads", [LEAD])
        assert refused.value.detail == "Lead ada@example.com is bad"
        assert "ada" not in str(refused.value) + repr(refused.value)
        assert "leads.json: code 1003: Marketo refuses a value of this record" in str(refused.value)

    async def test_a_refusal_says_what_it_means_and_what_to_do_about_the_whole(self, edge: MarketoEdge) -> None:
        edge.errors({"code": "603", "message": "Access denied"})
        with pytest.raises(AnswerRefused) as refused:
            await edge.client.usage_today()
        assert refused.value.message == "GET /rest/v1/stats/usage.json: code 603: Marketo denies access"
        assert "IP allowlist" in refused.value.hint

    @pytest.mark.parametrize("status", [403, 404, 413, 414])
    async def test_a_status_with_a_meaning_becomes_the_code(self, edge: MarketoEdge, status: int) -> None:
        edge.answer("<html>No</html>", status=status)
        assert await refused_code(edge.client) == str(status)

    @pytest.mark.parametrize("status", [400, 408, 429])
    async def test_another_status_is_an_outage(self, edge: MarketoEdge, status: int) -> None:
        edge.answer("No", status=status)
        with pytest.raises(Unreachable, match=f"HTTP {status}"):
            await edge.client.sync("leads", [LEAD])

    async def test_marketos_own_code_counts_more_than_the_status(self, edge: MarketoEdge) -> None:
        edge.errors({"code": "603"}, status=403)
        assert await refused_code(edge.client) == "603"


class TestTokens:
    @pytest.mark.parametrize("end", ["expire_token", "revoke_token"])
    async def test_many_callers_with_an_ended_token_renew_it_once_and_all_succeed(self, edge: MarketoEdge, end: str) -> None:
        client = edge.other_client(gate=Gate(edge.clock, calls_per_20s=10_000, concurrency=20))
        await client.usage_today()
        getattr(edge.marketo.identity, end)()
        results = await asyncio.gather(*(client.sync("leads", [{"email": f"{n}@example.com"}]) for n in range(20)))
        assert [result.status for [result] in results] == ["created"] * 20
        assert edge.marketo.identity.asked == 2

    async def test_callers_who_come_at_once_sign_in_once(self, edge: MarketoEdge) -> None:
        await asyncio.gather(*(edge.client.usage_today() for _ in range(10)))
        assert edge.marketo.identity.asked == 1

    @pytest.mark.parametrize("code", ["601", 602])
    async def test_a_call_is_repeated_only_once(self, edge: MarketoEdge, code: Any) -> None:
        edge.errors({"code": code}, times=None)
        assert await refused_code(edge.client) == str(code)
        assert len(edge.rest) == edge.budget.used == 2

    async def test_a_plain_401_renews_the_token_too(self, edge: MarketoEdge) -> None:
        edge.answer("Unauthorized", status=401)
        assert (await edge.client.sync("leads", [LEAD]))[0].status == "created"

    async def test_a_token_is_renewed_before_it_expires(self, edge: MarketoEdge) -> None:
        await edge.client.usage_today()
        edge.clock.at += 3600 - 65
        await edge.client.usage_today()
        assert edge.marketo.identity.asked == 1
        edge.clock.at += 6
        await edge.client.usage_today()
        assert edge.marketo.identity.asked == 2

    async def test_a_token_in_its_last_minute_is_used_to_its_end(self, edge: MarketoEdge) -> None:
        edge.marketo.identity.lifetime_seconds = 45
        for _ in range(5):
            await edge.client.usage_today()
        assert edge.marketo.identity.asked == 1
        edge.clock.at += 46
        await edge.client.usage_today()
        assert edge.marketo.identity.asked == 2

    async def test_refused_credentials_name_the_settings_and_not_the_secret(self, edge: MarketoEdge) -> None:
        with pytest.raises(AuthRefused, match=r"client_secret") as refused:
            await edge.other_client(secret="not-the-secret").usage_today()
        assert "not-the-secret" not in str(refused.value)
        assert edge.rest == []
        assert edge.budget.used == 0

    @pytest.mark.parametrize("action", ["reset_before", "truncate", "hang"])
    async def test_a_sign_in_that_breaks_is_an_outage_before_anything_was_sent(self, edge: MarketoEdge, action: str) -> None:
        edge.fail(action, IDENTITY)
        with pytest.raises(Unreachable) as outage:
            await edge.other_client(timeouts=SHORT).sync("leads", [LEAD])
        assert not outage.value.sent
        assert edge.rest == []

    @pytest.mark.parametrize(
        ("status", "body"),
        [(503, "<html>"), (429, "slow down"), (302, ""), (200, ""), (200, "<html>"), (200, {}), (200, {"access_token": 7})],
    )
    async def test_a_sign_in_without_a_token_is_an_outage(self, edge: MarketoEdge, status: int, body: Any) -> None:
        edge.answer(body, status=status, path=IDENTITY)
        with pytest.raises(Unreachable) as outage:
            await edge.client.sync("leads", [LEAD])
        assert not outage.value.sent
        assert (await edge.client.sync("leads", [LEAD]))[0].status == "created"

    @pytest.mark.parametrize("life", [None, "soon", 0, -5])
    async def test_a_token_of_unknown_life_works(self, edge: MarketoEdge, life: Any) -> None:
        token = edge.marketo.identity.token(
            {"grant_type": "client_credentials", "client_id": edge.marketo.client_id, "client_secret": edge.marketo.client_secret}
        )[1]["access_token"]
        edge.answer({"access_token": token, "expires_in": life}, path=IDENTITY)
        assert (await edge.client.sync("leads", [LEAD]))[0].status == "created"

    async def test_nothing_that_is_printed_holds_a_secret(self, edge: MarketoEdge) -> None:
        await edge.client.usage_today()
        token = edge.rest[0].headers["Authorization"].removeprefix("Bearer ")
        identity = edge.client._identity
        printed = f"{edge.client!r} {edge.client} {identity!r} {await identity.token()!r}"
        assert edge.marketo.base_url in printed
        assert edge.marketo.client_secret not in printed
        assert token not in printed


class TestLimits:
    async def test_a_rate_refusal_holds_the_next_call_for_20_seconds(self, edge: MarketoEdge) -> None:
        edge.errors({"code": "606"})
        before = edge.clock.at
        assert await refused_code(edge.client) == "606"
        assert edge.clock.at == before
        await edge.client.usage_today()
        assert edge.clock.at - before == pytest.approx(20.0)

    async def test_a_concurrency_refusal_holds_the_next_call_briefly(self, edge: MarketoEdge) -> None:
        edge.errors({"code": 615})
        before = edge.clock.at
        assert await refused_code(edge.client) == "615"
        await edge.client.usage_today()
        assert 0 < edge.clock.at - before <= 5

    async def test_marketo_never_sees_more_at_once_than_configured(self, edge: MarketoEdge) -> None:
        edge.marketo.latency_seconds = 0.01
        client = edge.other_client(gate=Gate(edge.clock, calls_per_20s=10_000, concurrency=3))
        await asyncio.gather(*(client.usage_today() for _ in range(20)))
        assert edge.marketo.limits.highest_concurrency == 3

    async def test_a_spent_budget_sends_nothing(self, edge: MarketoEdge) -> None:
        edge.budget.limit = 1
        await edge.client.usage_today()
        with pytest.raises(BudgetSpent):
            await edge.client.sync("leads", [LEAD])
        assert len(edge.rest) == 1

    async def test_failed_calls_count_and_signing_in_does_not(self, edge: MarketoEdge) -> None:
        edge.fail("reset_before")
        with pytest.raises(Unreachable):
            await edge.client.sync("leads", [LEAD])
        edge.marketo.identity.expire_token()
        await edge.client.sync("leads", [LEAD])
        assert edge.budget.used == 3

    async def test_a_caller_who_gives_up_leaves_no_place_taken(self, edge: MarketoEdge) -> None:
        client = edge.other_client(gate=Gate(edge.clock, calls_per_20s=10_000, concurrency=1))
        hanging = edge.fail("hang")
        task = asyncio.create_task(client.usage_today())
        while hanging.hits == 0:
            await edge.clock.sleep(0.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.usage_today() > 0
