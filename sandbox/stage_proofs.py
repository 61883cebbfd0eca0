"""What the demo proved, line by line, from the two simulated systems: their records, and the journals of what they took.

A line that nothing stands behind does not hold: an empty Marketo proves nothing about duplicates. The daemon is believed in one
thing only, and that is checked: what was under way when it was killed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.marketo import Write
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.oracle import Report, Rules, compare, resent
from sandbox.oracle_rules import empty
from sandbox.stage import Stage
from sandbox.stage_changes import Changes

MarketoKey = tuple[str, Any]
"""Marketo object, and the record's key there as the journal writes it."""

CALLS_A_ROUND: Final = 3
"""What a batch sends before it notes the answers: updates of people, creates with an email, creates without."""


@dataclass(slots=True)
class Restart:
    """One restart: the places in the journals at the new start of the daemon, and when all was quiet.

    `in_flight`: what the store of the dead daemon says was under way when it ended, and since when it was to be sent.
    """

    start: int
    events: int
    in_flight: Mapping[MarketoKey, float] = field(default_factory=dict)
    until: int | None = None
    events_until: int | None = None


@dataclass(slots=True)
class Facts:
    """What the comparison has to know of the run beside the two systems."""

    stage: Stage
    changes: Changes
    calls_per_20s: int
    concurrency: int
    orderly: Restart | None = None
    killed: Restart | None = None
    unfinished: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of the table: what was to be shown, whether it holds, by what, and what speaks against it."""

    claim: str
    holds: bool
    evidence: str
    problems: tuple[str, ...] = ()


def prove(facts: Facts) -> list[Proof]:
    """All lines, in the order of the table."""
    report = compare(facts.stage.org, facts.stage.instance, Rules(cleared=frozenset(facts.changes.cleared)))
    sorter = _Sorter(report)
    lines = [
        _records(report, sorter),
        _relations(facts, sorter),
        _order(facts, sorter),
        _duplicates(facts, sorter),
        _scores(facts, report, sorter),
        _conversions(facts),
        _deletes(facts, sorter),
        _clears(facts, sorter),
        _orderly(facts),
        _killed(facts),
        _limits(facts),
    ]
    rest = [*facts.unfinished, *sorter.left()]
    return [*lines, Proof("nothing else is wrong", False, f"{len(rest)} more", tuple(rest))] if rest else lines


class _Sorter:
    """Deals the oracle's problems out to the lines; what no line took is left over."""

    def __init__(self, report: Report) -> None:
        self._problems = list(report.problems)

    def take(self, *kinds: str) -> tuple[str, ...]:
        taken = tuple(problem for problem in self._problems if problem.partition(": ")[0] in kinds)
        self._problems = [problem for problem in self._problems if problem not in taken]
        return taken

    def left(self) -> list[str]:
        return self._problems


def _line(claim: str, evidence: str, problems: Iterable[str], *, shown: bool = True) -> Proof:
    """A line that holds where nothing speaks against it and something stands behind it."""
    against = tuple(problems)
    if not shown and not against:
        against = ("nothing happened that could have shown it",)
    return Proof(claim, not against, evidence, against)


def _n(count: int, what: str) -> str:
    return f"{count:,} {what}" if count != 1 else f"1 {what.removesuffix('s')}"


def _records(report: Report, sorter: _Sorter) -> Proof:
    words = {SALES_PERSON: "sales persons", COMPANY: "companies", LEAD: "people", OPPORTUNITY: "deals", ROLE: "roles"}
    counts = ", ".join(f"{report.counts[place]:,} {word}" for place, word in words.items())
    problems = sorter.take("missing", "wrong field", "extra", "not moved")
    return _line("every record is in Marketo", counts, problems, shown=bool(report.counts["compared"]))


def _relations(facts: Facts, sorter: _Sorter) -> Proof:
    instance = facts.stage.instance
    names = ("externalCompanyId", "externalSalesPersonId")
    tables = (instance.companies, instance.leads, instance.opportunities)
    count = sum(not empty(row.get(name)) for table in tables for row in table.values() for name in names)
    count += 2 * len(instance.roles)
    return _line("with the right relations", _n(count, "relations"), sorter.take("wrong relation"), shown=count > 0)


def _order(facts: Facts, sorter: _Sorter) -> Proof:
    writes = len(facts.stage.instance.journal)
    evidence = f"{_n(writes, 'accepted writes')}, each after its parents"
    return _line("no child before its parent", evidence, sorter.take("child_before_parent"), shown=writes > 0)


def _duplicates(facts: Facts, sorter: _Sorter) -> Proof:
    people = [row for name in ("Contact", "Lead") for row in facts.stage.org.rows(name) if not row.get("IsConverted")]
    count = len(facts.stage.instance.leads)
    problems = sorter.take("duplicate", "duplicate_email", "duplicate_externalPersonId", "twice_in_batch")
    evidence = f"{_n(count, 'people')} for {len(people):,} contacts and leads"
    return _line("no duplicate person", evidence, problems, shown=count > 0)


def _scores(facts: Facts, report: Report, sorter: _Sorter) -> Proof:
    scored = facts.changes.scored
    told = ", ".join(f"{count:,} {how}" for how, count in scored.items()) or "none changed"
    evidence = f"{report.counts['scores compared']:,} people; {told}"
    return _line("every score is back in Salesforce", evidence, sorter.take("score"), shown=scored.total() > 0)


def _conversions(facts: Facts) -> Proof:
    problems: list[str] = []
    for one in facts.changes.conversions:
        found = [lead["id"] for lead in facts.stage.instance.leads_of(one.contact)]
        if found != [one.marketo_id]:
            problems.append(
                f"lead {one.lead}: Marketo person {one.marketo_id} should be contact {one.contact}'s, which has {found}"
            )
        if facts.stage.instance.leads_of(one.lead):
            problems.append(f"lead {one.lead}: still has a Marketo person of its own")
    count = len(facts.changes.conversions)
    evidence = f"{_n(count, 'leads')} became contacts with the Marketo ids they had"
    return _line("a converted lead stays who it was", evidence, problems, shown=count > 0)


def _deletes(facts: Facts, sorter: _Sorter) -> Proof:
    deleted, journal = facts.changes.deleted, facts.stage.instance.journal
    done = Counter(write.object for write in journal if write.action == "deleted")
    people = deleted["Contact"] + deleted["Lead"]
    evidence = f"{_n(done[OPPORTUNITY], 'deals')} and {_n(done[ROLE], 'roles')} deleted, {_n(people, 'people')} kept"
    problems = sorter.take("deleted", "not deleted")
    return _line("deletes done as the settings say", evidence, problems, shown=deleted.total() > 0)


def _clears(facts: Facts, sorter: _Sorter) -> Proof:
    problems = sorter.take("cleared", "not cleared", "unsubscribed")
    asked = len(facts.changes.cleared)
    evidence = f"{_n(asked, 'fields')} emptied in Salesforce, and no others here"
    return _line("nothing cleared without cause", evidence, problems, shown=asked > 0)


# ---- restarts


def _orderly(facts: Facts) -> Proof:
    """After a SIGTERM nothing at all is sent twice, neither to Marketo nor back to Salesforce."""
    claim = "nothing sent again after a restart"
    restart = facts.orderly
    if restart is None or restart.until is None:
        return _line(claim, "no restart", (), shown=False)
    writes = facts.stage.instance.journal[restart.start : restart.until]
    again = resent(facts.stage.instance, restart.start, restart.until)
    idle = _idle_score_writes(facts, restart)
    problems = [*map(_told, again), *(f"score write without any change: {one}" for one in idle)]
    return _line(
        claim, f"{_n(len(writes), 'writes')} after it, {len(problems) or 'none'} of them needless", problems, shown=bool(writes)
    )


def _killed(facts: Facts) -> Proof:
    """After a kill -9 only what was under way may be sent again: what the daemon had noted as accepted is not.

    What was under way, the daemon's store says; that it does not put off noting, Marketo's journal shows: no more requests were
    answered and not noted than can be under way at once. That nothing is lost, the comparison of all records shows.
    """
    claim = "kill -9 loses nothing"
    restart = facts.killed
    if restart is None or restart.until is None:
        return _line(claim, "no kill", (), shown=False)
    flying, journal = restart.in_flight, facts.stage.instance.journal
    taken = [write for write in journal[: restart.start] if write.time >= flying.get(_key(write), math.inf)]
    again = resent(facts.stage.instance, restart.start, restart.until)
    needless = [write for write in again if _key(write) not in flying]
    problems = [*map(_told, needless)]
    unnoted = len({write.request for write in taken})
    if unnoted > CALLS_A_ROUND * facts.concurrency:
        problems.append(f"{unnoted} requests were answered and not noted, more than can be under way at once")
    lost = len({_key(write) for write in taken})
    rest = "and others" if needless else "nothing else"
    evidence = f"{lost} answers were lost with it, {len(again) - len(needless)} sent again, {rest}"
    return _line(claim, evidence, problems, shown=bool(taken))


def _key(write: Write) -> MarketoKey:
    return (write.object, write.key)


def _told(write: Write) -> str:
    return f"{write.object} {write.key} was sent again in request {write.request}, and nothing had changed"


def _idle_score_writes(facts: Facts, restart: Restart) -> list[str]:
    """The daemon's writes to Salesforce that changed nothing, by the events they left, where it had written to the record before.

    A first write may say what is there already: a converted lead's contact brings its scores along.
    """
    idle: list[str] = []
    written: set[str] = set()
    for place, event in enumerate(facts.stage.org.log.events()[: restart.events_until]):
        header = event["payload"]["ChangeEventHeader"]
        if "client=msi-stream" not in header["changeOrigin"] or header["changeType"] != "UPDATE":
            continue
        if place >= restart.events and set(header["changedFields"]) <= {"LastModifiedDate", "LastModifiedById"}:
            idle += [one for one in header["recordIds"] if one in written]
        written.update(header["recordIds"])
    return idle


# ---- limits


def _limits(facts: Facts) -> Proof:
    limits = facts.stage.marketo.limits
    problems = _above("calls in 20 seconds", limits.highest_calls_in_20s, facts.calls_per_20s)
    problems += _above("calls at once", limits.highest_concurrency, facts.concurrency)
    evidence = f"at most {limits.highest_calls_in_20s} calls in 20 s ({facts.calls_per_20s} allowed), "
    evidence += f"{limits.highest_concurrency} at once ({facts.concurrency})"
    return _line("Marketo's limits kept", evidence, problems, shown=limits.calls > 0)


def _above(what: str, seen: int, allowed: int) -> list[str]:
    return [f"{seen} {what}, and {allowed} were configured"] if seen > allowed else []
