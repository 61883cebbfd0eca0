"""Verdicts on items as outcomes of their entries. Pure: time comes in.

Only a refusal of the record itself counts as an attempt; what stops the whole flow sends the entry back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from store.history import WHOLE, names
from store.model import PEOPLE, PERSON_GONE, Ack, Change, Dead, HandOver, Key, Outcome, RecordState, Retry
from stream.delivery.batch import Item, Verdict
from stream.marketo.answers import RecordResult
from stream.marketo.outcomes import Outcome as Judgement
from stream.plan import Remove, Upsert
from stream.retry import Backoff

FOUND_OUT_SECONDS = 120.0  # activities can appear late; after that a person who is not there is looked for by other means


@dataclass(slots=True)
class Settled:
    """What became of a batch, as far as it is not written down yet. `pause`: why nothing more should be sent for now, if so.

    `answered`: Marketo judged a record for itself, so it is at work again, whatever it said. `waiting`: somebody new waits for
    another day. `suspects`: a person was not there, and it has to be found out why.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    follow_ups: list[Change] = field(default_factory=list)
    handovers: list[HandOver] = field(default_factory=list)
    left: list[Key] = field(default_factory=list)
    successors: list[tuple[Key, Key]] = field(default_factory=list)
    pause: Judgement | None = None
    accepted: int = 0
    answered: bool = False
    waiting: bool = False
    suspects: bool = False
    commits_ms: list[int] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether nothing was said so far that others should know before they are sent."""
        return self.pause is None and not self.dead

    def take(self, part: Settled) -> None:
        """What became of some more."""
        for outcome in part.outcomes:
            self.add(outcome)
        self.follow_ups += part.follow_ups
        self.handovers += part.handovers
        self.left += part.left
        self.successors += part.successors
        self.commits_ms += part.commits_ms
        self.accepted += part.accepted
        self.pause = part.pause or self.pause
        self.answered |= part.answered
        self.waiting |= part.waiting
        self.suspects |= part.suspects

    def add(self, outcome: Outcome) -> None:
        """One more entry is settled."""
        self.outcomes.append(outcome)
        if isinstance(outcome, Dead):
            self.dead.append(outcome)


@dataclass(slots=True)
class Waits:
    """How long entries wait: the backoff, and how long Marketo may still be at work on a create whose answer was lost."""

    backoff: Backoff
    settle_seconds: float


def settle(verdicts: Sequence[Verdict], settled: Settled, waits: Waits, now_ms: int) -> None:
    """Add the outcome of each verdict to `settled`."""
    for verdict in verdicts:
        if verdict.result is not None:
            settled.add(_acknowledged(verdict.item, verdict.result, verdict.together))
            settled.accepted += 1
            if first := verdict.item.claimed.entry.pending.first_commit_ms:
                settled.commits_ms.append(first)
        elif verdict.outcome is not None:
            if stops_flow(verdict.outcome) or verdict.outcome.stops:
                settled.pause = verdict.outcome
            settled.answered |= verdict.outcome.counted
            settled.suspects |= _absent(verdict, verdict.outcome)
            settled.add(_refused(verdict, verdict.outcome, waits, now_ms))
        else:
            settled.add(back(verdict.item, now_ms))


def stops_flow(judgement: Judgement) -> bool:
    """Whether nothing can be sent at all: a pause, or no usable answer."""
    return judgement.action == "pause" or judgement.code == "unreachable"


def back(item: Item, due_ms: int, *, code: str = "", cause: str = "") -> Retry:
    """The item's entry goes back as it was."""
    return Retry(item.entry_id, item.claimed.entry.key, due_ms, tried=False, code=code, cause=cause)


def _acknowledged(item: Item, result: RecordResult, together: int) -> Ack:
    entry, planned = item.claimed.entry, item.plan
    if not isinstance(planned, Upsert):
        return Ack(
            entry.entry_id, entry.key, did="deleted", together=together, state=_gone(item), forget_marketo_id=True, removed=True
        )
    sent = WHOLE if entry.pending.whole else _told(tuple(item.body))
    if entry.pending.kind == "delete":
        why = "marked as gone"
        return Ack(entry.entry_id, entry.key, state=_gone(item), did="updated", sent=sent, together=together, why=why)
    known = str(item.body["id"]) if "id" in item.body else None
    return Ack(
        entry.entry_id,
        entry.key,
        marketo_id=known or result.marketo_id,
        filled=planned.filled.intersection(item.body),
        emptied=planned.emptied,
        sent_key=planned.key or None,
        did="created" if result.status == "created" else "updated",
        sent=sent,
        together=together,
    )


@lru_cache(1024)
def _told(sent: tuple[str, ...]) -> str:
    """The names of what was sent; many records of a batch are sent the same."""
    return names(name for name in sent if name != "id")


def _gone(item: Item) -> RecordState:
    """What a record is that was taken away: gone from Salesforce, or outside of its filter."""
    left = item.claimed.entry.pending.left
    return item.plan.state if isinstance(item.plan, Remove) else "excluded" if left else "deleted"


def _refused(verdict: Verdict, judgement: Judgement, waits: Waits, now_ms: int) -> Outcome:
    entry = verdict.item.claimed.entry
    if judgement.action in {"dead", "park"}:
        cause = _cause(verdict, judgement)
        return Dead(entry.entry_id, entry.key, judgement.code, cause, judgement.cure, together=verdict.together)
    wait_seconds = judgement.wait_seconds
    if stops_flow(judgement):
        wait_seconds = 0.0  # the flow itself waits
    if wait_seconds is None:
        wait_seconds = waits.backoff.wait_seconds(entry.tries)
    lost_create = judgement.action == "resolve" and judgement.code in {"unreachable", "604"}
    if lost_create:
        wait_seconds = waits.settle_seconds
    taken_away = isinstance(verdict.item.plan, Remove)  # forgetting whom it was about would leave the person there
    updated = entry.object in PEOPLE and "id" in verdict.item.body and not taken_away
    gone = judgement.action == "resolve" and not lost_create and updated and not verdict.item.searched
    if _absent(verdict, judgement):
        gone, wait_seconds = False, FOUND_OUT_SECONDS
    return Retry(
        entry.entry_id,
        entry.key,
        now_ms + int(wait_seconds * 1000),
        counted=judgement.counted,
        tried=not stops_flow(judgement),
        code=judgement.code,
        cause=judgement.cause,
        forget_marketo_id=gone,
        read="its Marketo person is gone: resolved again" if gone else "",
        sync_owner=judgement.action == "sync_owner",
        together=verdict.together,
    )


def _absent(verdict: Verdict, judgement: Judgement) -> bool:
    """Whether a person is found missing for the first time: then the activity feed is asked whether it was merged or deleted.

    Of one that was found by a search, and went before it was sent to, the feed tells nothing: it is searched for again.
    """
    entry = verdict.item.claimed.entry
    updated = judgement.action == "resolve" and entry.object in PEOPLE and "id" in verdict.item.body
    return updated and not verdict.item.searched and judgement.code == PERSON_GONE and entry.code != PERSON_GONE


def _cause(verdict: Verdict, judgement: Judgement) -> str:
    """The cause in plain words, with the field's name where Marketo's message names one of those that were sent."""
    named = [word for word in re.findall(r"\w+", verdict.message) if word in verdict.item.body]
    return f"{judgement.cause}: {named[0]}" if named else judgement.cause
