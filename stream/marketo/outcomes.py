"""What to do about an answer: Marketo's codes in, an `Outcome` out. Pure; the rules themselves are in `codes`.

    answer to a batch ── judge_answer ──▶ retry · halve · pause · … or bisect ──▶ … ──▶ batch of one
    result of a record ─ judge_record ──▶ ack · resolve · retry · … or dead ◀───────────────┘

Only a refusal of a record itself is counted as its attempt. Outages, timeouts, limits and quotas wait as long as it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stream.errors import AuthRefused, BudgetSpent, MarketoError, StreamError, Unreachable
from stream.marketo.codes import Action, PauseUntil, Rule, rule_of

Operation = Literal["upsert", "delete"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do, and what to tell the person who asks why.

    `wait_seconds`: 0 at once (the request is changed first), None as long as the caller's backoff says.
    `escalates`: what this becomes when it goes on. `pause_until`: what ends a pause, a probe that succeeds or the daily reset.
    `stops`: nothing else should be sent for now either.
    """

    action: Action
    code: str
    cause: str
    cure: str
    counted: bool = False
    wait_seconds: float | None = None
    escalates: Action | None = None
    pause_until: PauseUntil | None = None
    stops: bool = False


def judge_record(code: str, *, operation: Operation, attempt: int, max_attempts: int, others_pass: bool = True) -> Outcome:
    """What to do with one record that was refused, in its result or as the only one of its batch.

    `attempt`: the refusals of this record, this one counted in. `others_pass`: whether Marketo accepted other records since this
    one was first refused; where it accepts none, an ambiguous code (611) is taken for an outage.
    """
    rule = rule_of(code)
    action = rule.on_delete if operation == "delete" and rule.on_delete else rule.alone
    counted = rule.counted and action != "ack" and (others_pass or not rule.needs_proof)
    last = rule.then_alone if counted else None
    if last is not None and attempt >= max_attempts:
        return _outcome(code, rule, last, counted=True)
    return _outcome(code, rule, action, counted=counted, escalates=last, first=attempt <= 1)


def judge_answer(
    code: str, *, batch: int, operation: Operation, attempt: int, max_attempts: int, others_pass: bool = True
) -> Outcome:
    """What to do when Marketo refused a whole call with so many records.

    `attempt`: how often this batch was answered so in a row, this time counted in; for a batch of one, as in judge_record.
    """
    if batch <= 1:
        return judge_record(code, operation=operation, attempt=attempt, max_attempts=max_attempts, others_pass=others_pass)
    rule = rule_of(code)
    if rule.then_together is not None and attempt > min(rule.tries, max_attempts):
        return _outcome(code, rule, rule.then_together)
    return _outcome(code, rule, rule.together, escalates=rule.then_together)


def judge_unreachable(*, sent: bool = True, creates: bool = False) -> Outcome:
    """What to do without a usable answer. A create that may have been done is looked up before it is sent again."""
    action: Action = "resolve" if sent and creates else "retry"
    return _outcome("unreachable", rule_of("unreachable"), action, first=False)


def judge_error(
    error: StreamError,
    *,
    batch: int,
    operation: Operation,
    attempt: int,
    max_attempts: int,
    creates: bool = False,
    others_pass: bool = True,
) -> Outcome:
    """What to do about any error that a call to Marketo raises; other errors are raised again."""
    if isinstance(error, MarketoError):
        return judge_answer(
            error.code,
            batch=batch,
            operation=operation,
            attempt=attempt,
            max_attempts=max_attempts,
            others_pass=others_pass,
        )
    if isinstance(error, Unreachable):
        return judge_unreachable(sent=error.sent, creates=creates)
    if isinstance(error, AuthRefused):
        return _outcome("401", rule_of("401"), "pause")
    if isinstance(error, BudgetSpent):
        return Outcome("pause", "budget", error.message, error.hint, wait_seconds=error.resets_in_seconds, pause_until="reset")
    raise error


def _outcome(
    code: str, rule: Rule, action: Action, *, counted: bool = False, escalates: Action | None = None, first: bool = True
) -> Outcome:
    wait_seconds = rule.wait_seconds
    if action == "bisect" or (first and action in {"resolve", "sync_owner"}):
        wait_seconds = 0.0
    elif action in {"ack", "dead", "park"}:
        wait_seconds = None
    return Outcome(
        action=action,
        code=code,
        cause=rule.cause,
        cure=rule.cure,
        counted=counted,
        wait_seconds=wait_seconds,
        escalates=escalates,
        pause_until=rule.pause_until,
    )
