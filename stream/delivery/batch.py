"""One batch to Marketo and what became of each of its records.

items ──cut──▶ calls of ≤ 300 records and ≤ 1 MB ──▶ result or error per call ──judge──▶ a verdict for each item
                              ▲                                │
                              └── halved · bisected · reshaped ┘      only a changed request is sent again at once

Nothing more is sent once the flow is known to be poisoned; what was not sent goes back as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store.model import PEOPLE, Claimed
from store.values import value
from stream.clock import Clock
from stream.delivery.poison import Poison
from stream.errors import StreamError
from stream.marketo.answers import RecordResult
from stream.marketo.client import MOST_BODY_BYTES, MOST_RECORDS, body_bytes, record_bytes
from stream.marketo.codes import rule_of
from stream.marketo.outcomes import Operation, Outcome, judge_error, judge_record
from stream.plan import Remove, Upsert

COMPANY_FIELDS = frozenset(
    {"company", "site", "website", "mainPhone", "annualRevenue", "industry", "numberOfEmployees", "sicCode"}
)

Call = Callable[[Sequence[Mapping[str, Any]]], Awaitable[list[RecordResult]]]


@dataclass(slots=True)
class Item:
    """A claimed entry on its way out, with the record that goes into the request.

    `searched`: its person was found by asking Marketo just before, and nothing in the store tells of it yet.
    """

    claimed: Claimed
    plan: Upsert | Remove
    body: dict[str, Any] = field(default_factory=dict)
    searched: bool = False
    entry_id: int = field(init=False)
    """The outbox entry's number."""

    def __post_init__(self) -> None:
        """It is asked for again and again."""
        self.entry_id = self.claimed.entry.entry_id


@value
class Verdict:
    """What became of one item: Marketo's result (acknowledged), or what to do about it; neither where it was not sent.

    `together`: how many records its call had.
    """

    item: Item
    result: RecordResult | None
    outcome: Outcome | None
    message: str = ""
    together: int = 0


SUSPECTS_MOST = 8  # so many refused alone with what may be Marketo's own fault, and nothing accepted: it is
PROOF_SECONDS = 300.0  # how fresh an accepted record must be to prove that Marketo itself is well


@dataclass(slots=True)
class Proof:
    """Whether Marketo accepted anything lately: then what it refuses alone is that record's own fault."""

    clock: Clock
    accepted_at: float = float("-inf")

    def note(self) -> None:
        """Marketo accepted something just now."""
        self.accepted_at = self.clock.monotonic()

    def __call__(self) -> bool:
        """True while the last acceptance is fresh."""
        return self.clock.monotonic() - self.accepted_at < PROOF_SECONDS


@dataclass(slots=True)
class Batch:
    """How to send items of one kind. `reshape` is asked for another call when Marketo refuses the request's form (1011).

    `excuses` tells whose refusal is no sign of poison.
    """

    call: Call
    operation: Operation
    max_attempts: int
    others_pass: Proof
    poison: Poison
    creates: bool = False
    reshape: Callable[[], Call | None] = lambda: None
    excuses: Callable[[Item], bool] = lambda item: False  # noqa: ARG005 - a default that looks at nothing
    most_records: Callable[[], int] = lambda: MOST_RECORDS
    _suspects: list[Verdict] = field(default_factory=list)
    _suspected_at: float = 0.0
    _outage: Outcome | None = None

    async def send(self, items: Sequence[Item]) -> list[Verdict]:
        """Send all items, in as many calls as it takes. Raises nothing that Marketo or the network can cause."""
        verdicts = await self._send_parts(items, len(items))
        if self._outage is None:
            return verdicts
        innocent = {verdict.item.entry_id for verdict in self._suspects}
        return [Verdict(each.item, None, self._outage) if each.item.entry_id in innocent else each for each in verdicts]

    async def _send_parts(self, items: Sequence[Item], most: int) -> list[Verdict]:
        """At most so many in a call, and no more than Marketo is given at a time just now."""
        verdicts: list[Verdict] = []
        while len(verdicts) < len(items):
            part = next(cut(items[len(verdicts) :], min(self.most_records(), most)))
            verdicts += await self.send_call(part)
        return verdicts

    async def send_call(self, items: Sequence[Item]) -> list[Verdict]:
        """Send the items in one call, and in more where Marketo asks for smaller or other ones."""
        if self.poison.stopped or self._outage is not None:
            return [Verdict(item, None, self._outage) for item in items]
        try:
            results = await self.call([item.body for item in items])
        except StreamError as error:
            return await self._refused(items, error)
        if any(result.status != "skipped" for result in results):
            self.others_pass.note()
        verdicts = [self._judge(item, result, len(items)) for item, result in zip(items, results, strict=True)]
        lighter = [
            verdict.item
            for verdict in verdicts
            if verdict.outcome is not None and verdict.outcome.action == "drop_company" and _without_company([verdict.item])
        ]
        if not lighter:
            return verdicts
        again = {verdict.item.entry_id: verdict for verdict in await self.send_call(lighter)}
        return [again.get(verdict.item.entry_id, verdict) for verdict in verdicts]

    def _judge(self, item: Item, result: RecordResult, together: int) -> Verdict:
        if result.status != "skipped":
            return judged(self.poison, Verdict(item, result, None, together=together))
        outcome = judge_record(
            result.code,
            operation=self.operation,
            attempt=item.claimed.entry.attempts + 1,
            max_attempts=self.max_attempts,
            others_pass=self.others_pass(),
        )
        return self._verdict(item, result if outcome.action == "ack" else None, outcome, together, result.message)

    def _verdict(self, item: Item, result: RecordResult | None, outcome: Outcome, together: int, message: str = "") -> Verdict:
        verdict = Verdict(item, result, outcome, message, together)
        return verdict if self.excuses(item) and not self.poison.stopped else judged(self.poison, verdict)

    async def _refused(self, items: Sequence[Item], error: StreamError) -> list[Verdict]:
        alone = len(items) == 1
        outcome = judge_error(
            error,
            batch=len(items),
            operation=self.operation,
            attempt=items[0].claimed.entry.attempts + 1 if alone else max(item.claimed.entry.tries for item in items),
            max_attempts=self.max_attempts,
            creates=self.creates,
            others_pass=self.others_pass(),
        )
        if self.creates and outcome.code == "604":  # Marketo may still be at work on it
            outcome = replace(outcome, action="resolve")
        if outcome.action in {"bisect", "halve"} and not alone:
            return await self._send_parts(items, (len(items) + 1) // 2)
        reshaped = self._reshaped(items, outcome)
        if reshaped is not None:
            return await reshaped.send_call(items)
        if alone and rule_of(outcome.code).needs_proof:
            return [self._suspect(items[0], outcome)]
        answer = RecordResult("deleted") if outcome.action == "ack" else None
        return [self._verdict(item, answer, outcome, len(items)) for item in items]

    def _suspect(self, item: Item, outcome: Outcome) -> Verdict:
        """One record alone was refused with a code that may be Marketo's own fault.

        Where Marketo accepts others meanwhile, it is the record's. Where it accepts nothing, it is Marketo's: the batch is
        divided no further, and nobody is blamed.
        """
        clock, verdict = self.others_pass.clock, Verdict(item, None, outcome, together=1)
        if not self._suspects:
            self._suspected_at = clock.monotonic()
        self._suspects.append(verdict)
        if self.others_pass.accepted_at > self._suspected_at:
            for each in self._suspects:
                judged(self.poison, each)
            self._suspects.clear()
        elif len(self._suspects) >= SUSPECTS_MOST:
            self._outage = replace(outcome, action="retry", counted=False, wait_seconds=None, escalates=None, stops=True)
        return verdict

    def _reshaped(self, items: Sequence[Item], outcome: Outcome) -> Batch | None:
        """The same items in another form, where the form was refused and there is another."""
        if outcome.action == "drop_company":
            return self if _without_company(items) else None
        if outcome.action == "fall_back":
            other = self.reshape()
            return replace(self, call=other, reshape=lambda: None) if other is not None else None
        return None


def judged(poison: Poison, verdict: Verdict) -> Verdict:
    """The verdict, noted where it says that a record was accepted, or refused for itself; each record counts once.

    Once the flow is poisoned nobody is given up any more: who would be goes back as it was.
    """
    outcome, attempts = verdict.outcome, verdict.item.claimed.entry.attempts
    if verdict.result is not None:
        poison.note()
    elif outcome is not None and outcome.action in {"dead", "park"}:
        if poison.stopped:
            return Verdict(verdict.item, None, None)
        if attempts == 0 or rule_of(outcome.code).alone != "retry":
            poison.note(outcome.code)
    elif outcome is not None and outcome.action == "retry" and outcome.counted and attempts == 0:
        poison.note(outcome.code)
    return verdict


def _without_company(items: Sequence[Item]) -> bool:
    """Take the company fields out of the people among the items; False where there were none. A company is made of them."""
    dropped = False
    for item in (each for each in items if each.claimed.entry.object in PEOPLE):
        for name in COMPANY_FIELDS & item.body.keys():
            del item.body[name]
            dropped = True
    return dropped


def cut(items: Sequence[Item], most_records: int) -> Iterator[list[Item]]:
    """The items in calls of at most so many records and Marketo's 1 MB; one that is larger alone goes alone."""
    if 0 < len(items) <= most_records and body_bytes([item.body for item in items]) <= MOST_BODY_BYTES:
        yield list(items)
        return
    part: list[Item] = []
    size = 1000
    for item in items:
        grown = record_bytes(item.body)
        if part and (len(part) >= most_records or size + grown > MOST_BODY_BYTES):
            yield part
            part, size = [], 1000
        part.append(item)
        size += grown
    if part:
        yield part
