"""Every row of the table of Marketo's codes (Adobe, "Error Codes"), written down once more and independently of the code."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from stream.errors import AuthRefused, BudgetSpent, ConfigError, MarketoError, StreamError, Unreachable
from stream.marketo.codes import RULES
from stream.marketo.outcomes import Operation, Outcome, judge_answer, judge_error, judge_record, judge_unreachable

MOST = 8


@dataclass(frozen=True)
class Row:
    """One row: what a record alone gets, what a batch gets first, and what both come to in the end."""

    codes: str
    alone: str
    batch: str
    counted: bool = False
    finally_alone: str = ""
    finally_batch: str = ""
    on_delete: str = ""
    says: str = ""


ROWS = [
    Row("401", "pause", "pause", says="client_secret"),
    Row("413", "dead", "halve", counted=True, says="[fields.*]"),
    Row("414", "as_post", "as_post"),
    Row("500 502 503 504", "retry", "retry"),
    Row("601 602", "renew", "renew"),
    Row("603", "pause", "pause", says="allowlist"),
    Row("604", "retry", "halve"),
    Row("605 609 610 612 613", "park", "park", says="bug"),
    Row("606 615", "retry", "retry"),
    Row("607", "pause", "pause", says="midnight"),
    Row("608 614 713 719", "retry", "retry"),
    Row("611", "retry", "retry", counted=True, finally_alone="dead", finally_batch="bisect"),
    Row("616 703 1018 1026", "pause", "pause"),
    Row("1018", "pause", "pause", says="native CRM sync"),
    Row("701 704 1001 1002 1003", "dead", "bisect", counted=True, says="[fields.*]"),
    Row("702", "resolve", "bisect", counted=True, finally_alone="dead", on_delete="ack"),
    Row("718", "sync_owner", "bisect", counted=True, finally_alone="dead"),
    Row("1004", "resolve", "bisect", counted=True, finally_alone="dead", on_delete="ack"),
    Row("1005 1017", "resolve", "bisect", counted=True, finally_alone="dead"),
    Row("1006", "dead", "bisect", counted=True, says="[fields.*]"),
    Row("1007", "dead", "bisect", counted=True, says="candidates"),
    Row("1008 1009 1010", "dead", "bisect", counted=True, says="deliver.partition"),
    Row("1011", "fall_back", "fall_back", counted=True, finally_alone="dead", finally_batch="bisect"),
    Row("1013", "resolve", "bisect", counted=True, finally_alone="dead", on_delete="ack"),
    Row("1014 1016 1019 1029", "retry", "retry", finally_batch="bisect"),
    Row("1021", "drop_company", "drop_company", counted=True, finally_alone="dead", finally_batch="bisect", says="lead_company"),
    Row("1022", "retry", "bisect", counted=True, finally_alone="dead"),
    Row("712 714 1076 1077 1078 1079 1080", "dead", "bisect", counted=True, says="people"),
    Row("1036", "retry", "bisect", says="bug"),
    Row("1999 799", "retry", "bisect", counted=True, finally_alone="dead"),
    Row("699 unknown 42 20000", "retry", "retry", counted=True, finally_alone="dead", finally_batch="bisect"),
]
CASES = [pytest.param(code, row, id=code) for row in ROWS for code in row.codes.split()]
OPERATIONS: tuple[Operation, ...] = ("upsert", "delete")


def alone(code: str, attempt: int = 1, operation: Operation = "upsert", most: int = MOST) -> Outcome:
    """The judgement on one record."""
    return judge_record(code, operation=operation, attempt=attempt, max_attempts=most)


def batch(code: str, attempt: int = 1, operation: Operation = "upsert") -> Outcome:
    """The judgement on a call with 300 records."""
    return judge_answer(code, batch=300, operation=operation, attempt=attempt, max_attempts=MOST)


@pytest.mark.parametrize(("code", "row"), CASES)
def test_one_record_gets_what_its_row_says(code: str, row: Row) -> None:
    first = alone(code)
    assert (first.action, first.counted) == (row.alone, row.counted)
    assert first.code == code
    assert row.says.lower() in f"{first.cause} {first.cure}".lower()
    assert alone(code, operation="delete").action == (row.on_delete or row.alone)


@pytest.mark.parametrize(("code", "row"), CASES)
def test_one_record_comes_to_the_end_its_row_says_and_not_before(code: str, row: Row) -> None:
    assert alone(code, MOST - 1).action == row.alone
    assert alone(code, MOST).action == (row.finally_alone or row.alone)
    assert alone(code).escalates == (row.finally_alone or None)


@pytest.mark.parametrize(("code", "row"), CASES)
def test_a_batch_gets_what_its_row_says(code: str, row: Row) -> None:
    assert batch(code).action == row.batch
    assert batch(code, 100).action == (row.finally_batch or row.batch)
    assert batch(code).escalates == (row.finally_batch or None)


@pytest.mark.parametrize(("code", "row"), CASES)
def test_a_batch_never_counts_an_attempt_and_never_ends_as_dead_letters(code: str, row: Row) -> None:
    for attempt, operation in itertools.product(range(1, 50), OPERATIONS):
        outcome = batch(code, attempt, operation)
        assert not outcome.counted, row
        assert outcome.action not in {"dead", "ack"}


@pytest.mark.parametrize(("code", "row"), CASES)
def test_what_is_not_the_records_fault_never_makes_a_dead_letter(code: str, row: Row) -> None:
    if row.counted:
        return
    for attempt, operation in itertools.product((1, 8, 10_000), OPERATIONS):
        outcome = alone(code, attempt, operation)
        assert outcome.action != "dead"
        assert not outcome.counted


@pytest.mark.parametrize(("code", "row"), CASES)
def test_a_batch_of_one_is_judged_as_the_record(code: str, row: Row) -> None:
    for attempt, operation in itertools.product((1, MOST), OPERATIONS):
        judged = judge_answer(code, batch=1, operation=operation, attempt=attempt, max_attempts=MOST)
        assert judged == alone(code, attempt, operation), row


def test_a_delete_of_what_is_not_there_is_done_and_counts_nothing() -> None:
    for code in ("702", "1004", "1013"):
        assert alone(code, MOST, "delete").action == "ack"
        assert not alone(code, MOST, "delete").counted


def test_every_rule_has_a_row_here_and_tells_a_person_what_to_do() -> None:
    tested = {code for row in ROWS for code in row.codes.split()}
    assert set(RULES) - tested == {"600", "403", "404", "mismatch", "unreachable"}
    for rule in RULES.values():
        assert len(rule.cause) > 10
        assert rule.cure.endswith(".")


def test_an_address_where_no_call_comes_through_stops_the_flow_until_one_does() -> None:
    for code, named in (("403", "base_url"), ("404", "base_url"), ("600", "Authorization")):
        assert (batch(code).action, batch(code).pause_until) == ("pause", "probe")
        assert named in batch(code).cure


def test_an_answer_that_matches_nothing_is_tried_again_then_divided() -> None:
    assert [batch("mismatch", attempt).action for attempt in range(1, 6)] == ["retry"] * 3 + ["bisect"] * 2
    assert alone("mismatch", 10_000).action == "retry"


def test_limits_wait_as_long_as_marketo_needs() -> None:
    assert batch("606").wait_seconds == alone("606").wait_seconds == 20.0
    assert 0 < (batch("615").wait_seconds or 0) <= 5


def test_only_the_daily_quota_waits_for_the_reset() -> None:
    until = {code: batch(code).pause_until for row in ROWS for code in row.codes.split() if row.batch == "pause"}
    assert until.pop("607") == "reset"
    assert set(until.values()) == {"probe"}


def test_a_changed_request_goes_at_once_and_an_unchanged_one_backs_off() -> None:
    for code in ("413", "414", "1003", "1011", "1021"):
        assert batch(code).wait_seconds == 0.0
    for code in ("503", "604", "608", "611", "1019", "699"):
        assert batch(code).wait_seconds is None
    assert alone("1022").wait_seconds is None


def test_resolving_goes_at_once_only_the_first_time() -> None:
    for code in ("718", "1004", "1005", "1013"):
        assert alone(code, 1).wait_seconds == 0.0
        assert alone(code, 2).wait_seconds is None


def test_a_system_error_while_nobody_passes_is_an_outage_and_no_records_fault() -> None:
    for attempt in (1, MOST, 10_000):
        judged = judge_record("611", operation="upsert", attempt=attempt, max_attempts=MOST, others_pass=False)
        assert (judged.action, judged.counted) == ("retry", False)
    refused = judge_record("1003", operation="upsert", attempt=1, max_attempts=MOST, others_pass=False)
    assert refused.action == "dead"


def test_a_single_allowed_attempt_still_lets_deletes_through() -> None:
    assert alone("611", 1, most=1).action == "dead"
    assert alone("1013", 1, "delete", most=1).action == "ack"


def test_an_outage_is_retried_and_a_create_that_may_be_done_is_looked_up_first() -> None:
    assert judge_unreachable(sent=True).action == "retry"
    assert judge_unreachable(sent=False, creates=True).action == "retry"
    looked_up = judge_unreachable(sent=True, creates=True)
    assert looked_up.action == "resolve"
    assert looked_up.wait_seconds is None
    assert not any(judge_unreachable(sent=sent, creates=creates).counted for sent in (True, False) for creates in (True, False))


@pytest.mark.parametrize(
    ("error", "action", "until"),
    [
        (MarketoError("refused", code="606"), "retry", None),
        (MarketoError("refused", code="1003"), "bisect", None),
        (Unreachable("gone"), "resolve", None),
        (Unreachable("gone", sent=False), "retry", None),
        (AuthRefused("no"), "pause", "probe"),
        (BudgetSpent("spent", resets_in_seconds=60.0), "pause", "reset"),
    ],
)
def test_every_error_of_a_call_has_an_outcome(error: StreamError, action: str, until: str | None) -> None:
    judged = judge_error(error, batch=300, operation="upsert", attempt=1, max_attempts=MOST, creates=True)
    assert (judged.action, judged.pause_until, judged.counted) == (action, until, False)


def test_a_spent_budget_says_when_it_goes_on() -> None:
    spent = BudgetSpent("spent", resets_in_seconds=4321.0)
    assert judge_error(spent, batch=1, operation="delete", attempt=9, max_attempts=MOST).wait_seconds == 4321.0


def test_an_error_of_another_kind_is_not_swallowed() -> None:
    with pytest.raises(ConfigError):
        judge_error(ConfigError("wrong"), batch=1, operation="upsert", attempt=1, max_attempts=MOST)
