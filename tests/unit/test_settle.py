"""Verdicts on what was sent, as outcomes of the outbox's entries; and what a refused score row comes to."""

from __future__ import annotations

from typing import Any

import pytest

from store.model import Ack, Claimed, Entry, ObjectName, Pending, Record, Retry
from stream.delivery.batch import Item, Verdict
from stream.delivery.settle import Settled, Waits, back, settle
from stream.errors import AuthRefused, BudgetSpent, MarketoError, StreamError, Unreachable
from stream.marketo.answers import RecordResult
from stream.marketo.outcomes import judge_error, judge_record
from stream.plan import Remove, Upsert
from stream.retry import Backoff
from stream.score_rows import judge_row

NOW_MS = 1_790_000_000_000
WAITS = Waits(Backoff(10.0, 10.0), settle_seconds=120.0)
CONTACT, OPPORTUNITY = "003000000000001AAA", "006000000000001AAA"


def item(obj: ObjectName = "Contact", body: dict[str, Any] | None = None, *, kind: Any = "upsert", **planned: Any) -> Item:
    record_id = CONTACT if obj == "Contact" else OPPORTUNITY
    entry = Entry(4, obj, record_id, Pending(kind, first_commit_ms=NOW_MS - 2000), tries=2)
    fields = body if body is not None else {"externalPersonId": record_id, "title": "CTO"}
    return Item(Claimed(entry, Record(obj, record_id), {}), planned.get("plan") or Upsert(fields, **planned), dict(fields))


def settled(verdict: Verdict) -> Settled:
    found = Settled()
    settle([verdict], found, WAITS, NOW_MS)
    return found


def refused(code: str, sent: Item, *, attempt: int = 1, operation: Any = "upsert", message: str = "") -> Settled:
    outcome = judge_record(code, operation=operation, attempt=attempt, max_attempts=3)
    return settled(Verdict(sent, RecordResult("skipped") if outcome.action == "ack" else None, outcome, message))


def failed(error: StreamError, sent: Item, *, creates: bool = False) -> Settled:
    outcome = judge_error(error, batch=1, operation="upsert", attempt=1, max_attempts=3, creates=creates)
    return settled(Verdict(sent, None, outcome))


def retry_of(found: Settled) -> Retry:
    (outcome,) = found.outcomes
    assert isinstance(outcome, Retry)
    return outcome


# ── accepted


def test_an_accepted_person_is_remembered_with_its_id_and_what_was_filled() -> None:
    sent = item(filled=frozenset({"title", "city"}), emptied=frozenset({"phone"}))
    found = settled(Verdict(sent, RecordResult("created", "77"), None))
    assert found.outcomes == [
        Ack(4, ("Contact", CONTACT), marketo_id="77", filled=frozenset({"title"}), emptied=frozenset({"phone"}))
    ]
    assert (found.accepted, found.commits_ms) == (1, [NOW_MS - 2000])


def test_an_update_by_id_keeps_the_id_it_was_sent_with() -> None:
    (ack,) = settled(Verdict(item(body={"id": 55, "title": "x"}), RecordResult("updated"), None)).outcomes
    assert isinstance(ack, Ack)
    assert ack.marketo_id == "55"


def test_a_delete_forgets_the_person() -> None:
    (ack,) = settled(Verdict(item(plan=Remove({"id": 55}), kind="delete"), RecordResult("deleted"), None)).outcomes
    assert isinstance(ack, Ack)
    assert (ack.state, ack.forget_marketo_id) == ("deleted", True)


def test_a_kept_person_that_was_marked_keeps_its_id() -> None:
    (ack,) = settled(Verdict(item(body={"id": 55, "gone": True}, kind="delete"), RecordResult("updated"), None)).outcomes
    assert isinstance(ack, Ack)
    assert (ack.state, ack.forget_marketo_id) == ("deleted", False)


def test_a_delete_of_what_is_not_there_is_a_success() -> None:
    found = refused("1013", item("Opportunity", plan=Remove({}), kind="delete"), operation="delete")
    assert isinstance(found.outcomes[0], Ack)


def test_a_role_is_remembered_by_its_key() -> None:
    (ack,) = settled(Verdict(item(key="the key"), RecordResult("created"), None)).outcomes
    assert isinstance(ack, Ack)
    assert ack.sent_key == "the key"


# ── refused


def test_a_refused_value_is_a_dead_letter_that_names_the_field() -> None:
    found = refused("1003", item(), message="Value for field title is too odd: CTO")
    (letter,) = found.dead
    assert (letter.code, letter.entry_id, letter.key) == ("1003", 4, ("Contact", CONTACT))
    assert letter.cause.endswith(": title")
    assert "CTO" not in letter.cause, "values are personal data"
    assert letter.cure


def test_a_person_gone_from_marketo_is_resolved_again_from_a_whole_read() -> None:
    sent = item(body={"id": 55, "title": "x"})
    first = refused("1004", sent)
    outcome = retry_of(first)
    assert (outcome.forget_marketo_id, outcome.read, outcome.counted, first.suspects) == (False, "", True, True)
    assert outcome.due_ms == NOW_MS + 120_000  # the activity feed is asked whether it was merged or deleted
    sent.claimed.entry.code = outcome.code
    again = refused("1004", sent, attempt=2)
    outcome = retry_of(again)
    assert (outcome.forget_marketo_id, bool(outcome.read), outcome.counted, again.suspects) == (True, True, True, False)


def test_a_person_that_was_only_searched_for_is_searched_for_again_and_the_feed_is_not_waited_for() -> None:
    sent = item(body={"id": 55, "title": "x"})
    sent.searched = True
    for attempt in (1, 2):
        found = refused("1004", sent, attempt=attempt)
        outcome = retry_of(found)
        assert (outcome.forget_marketo_id, outcome.read, outcome.counted, found.suspects) == (False, "", True, False)
        assert outcome.due_ms <= NOW_MS + 10_000  # the backoff's longest
        sent.claimed.entry.code = outcome.code


def test_an_unknown_owner_is_synced_first() -> None:
    outcome = retry_of(refused("718", item("Opportunity")))
    assert (outcome.sync_owner, outcome.counted, outcome.forget_marketo_id) == (True, True, False)


def test_attempts_end() -> None:
    assert refused("718", item("Opportunity"), attempt=2).dead == []
    assert [letter.code for letter in refused("718", item("Opportunity"), attempt=3).dead] == ["718"]


def test_marketo_that_is_busy_is_asked_again_later_and_nothing_is_counted() -> None:
    outcome = retry_of(refused("608", item()))
    assert (outcome.counted, outcome.due_ms, outcome.forget_marketo_id) == (False, NOW_MS + 10_000, False)


def test_a_limit_says_itself_how_long() -> None:
    assert retry_of(refused("606", item())).due_ms == NOW_MS + 20_000


# ── the flow stands still


@pytest.mark.parametrize(
    "error",
    [
        AuthRefused("wrong secret"),
        MarketoError("native sync", code="1018"),
        MarketoError("quota", code="607"),
        BudgetSpent("spent", resets_in_seconds=60.0),
        Unreachable("refused", sent=False),
    ],
)
def test_what_stops_the_flow_pauses_it_and_counts_against_nobody(error: StreamError) -> None:
    found = failed(error, item())
    outcome = retry_of(found)
    assert found.pause is not None
    assert (outcome.counted, outcome.tried, outcome.due_ms) == (False, False, NOW_MS)


def test_a_create_whose_answer_was_lost_waits_until_marketo_is_done_with_it() -> None:
    outcome = retry_of(failed(Unreachable("timed out"), item(body={"email": "a@x.com"}), creates=True))
    assert (outcome.due_ms, outcome.counted, outcome.forget_marketo_id) == (NOW_MS + 120_000, False, False)


def test_what_goes_back_unsent_counts_as_never_sent() -> None:
    assert back(item(), NOW_MS, cause="later") == Retry(4, ("Contact", CONTACT), NOW_MS, tried=False, cause="later")


# ── refused score rows


@pytest.mark.parametrize(
    ("code", "attempt", "action", "counted"),
    [
        ("ENTITY_IS_DELETED", 1, "stop", False),
        ("INVALID_CROSS_REFERENCE_KEY", 1, "stop", False),
        ("NOT_FOUND", 1, "stop", False),
        ("CANNOT_UPDATE_CONVERTED_LEAD", 1, "stop", False),
        ("UNABLE_TO_LOCK_ROW", 99, "retry", False),
        ("REQUEST_LIMIT_EXCEEDED", 99, "retry", False),
        ("SERVER_UNAVAILABLE", 99, "retry", False),
        ("QUERY_TIMEOUT", 99, "retry", False),
        ("INSUFFICIENT_ACCESS_OR_READONLY", 1, "dead", True),
        ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", 1, "dead", True),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", 1, "dead", True),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", 1, "retry", True),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", 3, "dead", True),
        ("NEVER_HEARD_OF", 2, "retry", True),
        ("NEVER_HEARD_OF", 3, "dead", True),
    ],
)
def test_what_a_refused_score_row_comes_to(code: str, attempt: int, action: str, counted: bool) -> None:
    outcome = judge_row(code, attempt=attempt, max_attempts=3)
    assert (outcome.action, outcome.counted) == (action, counted)
    assert outcome.cause
    assert outcome.cure or action == "stop"
