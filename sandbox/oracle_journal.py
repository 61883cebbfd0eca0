"""What was sent to Marketo and should not have been, read from the journal of the simulated instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.marketo import Instance, Write
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.tables import Record
from sandbox.oracle_rules import Rules, empty


@dataclass(slots=True)
class Report:
    """What was compared, and what is wrong: `counts` by kind (of record looked at, of problem), a sentence each in `problems`."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def wrong(self, kind: str, what: str) -> None:
        """Add a problem."""
        self.counts[kind] += 1
        self.problems.append(f"{kind}: {what}")


def check_journal(report: Report, instance: Instance, rules: Rules, converted: Collection[str]) -> None:
    """Add what should not have been sent: deletes of what is kept, clears nobody asked for, opt-ins, needless re-sends.

    `converted`: the ids of leads that became contacts which are gone.
    """
    filled: set[tuple[str, Any, str]] = set()
    owners = {lead["id"]: lead.get("externalPersonId") for lead in instance.leads.values()}
    for write in instance.journal:
        if write.action == "deleted":
            _deleted(report, rules, write, converted)
            continue
        if write.action == "merged":  # what the loser was sent is the winner's now
            filled |= {(LEAD, write.fields["id"], name) for place, key, name in filled if (place, key) == (LEAD, write.key)}
            continue
        if write.object == LEAD and write.fields.get("unsubscribed", True) is False:
            report.wrong("unsubscribed", f"lead {write.key}: false was sent")
        for name, value in write.fields.items():
            place = (write.object, write.key, name)
            if not empty(value):
                filled.add(place)
            elif name in write.changed and place not in filled and write.action == "updated":
                _cleared(report, rules, write, name, owners.get(write.key, write.key))
    if rules.resends_between is not None:
        for write in resent(instance, *rules.resends_between):
            report.wrong("resent", f"{write.object} {write.key} in request {write.request}")


def _cleared(report: Report, rules: Rules, write: Write, name: str, salesforce_id: Any) -> None:
    if (salesforce_id, name) not in rules.cleared and salesforce_id not in rules.excused:
        report.wrong("cleared", f"{write.object} {write.key}: {name}")


def _deleted(report: Report, rules: Rules, write: Write, converted: Collection[str]) -> None:
    """A delete is right for a living record never, and else only where the setting deletes; a converted lead is a contact."""
    name = {COMPANY: "Account", OPPORTUNITY: "Opportunity", ROLE: "OpportunityContactRole"}.get(write.object)
    external = write.changed.get("externalPersonId") if write.object == LEAD else write.key
    if write.object == LEAD:
        name = "Contact" if str(external).startswith("003") or external in converted else "Lead"
    kept = name is None or (rules.deletes.get(name or "", "keep") == "keep" and write.object != ROLE)
    if kept and external not in rules.excused:
        report.wrong("deleted", f"{write.object} {external}, which is to be kept")


def resent(instance: Instance, since: int, until: int) -> list[Write]:
    """The accepted updates between two journal positions that changed nothing."""
    return [write for write in instance.journal[since:until] if write.action == "updated" and not write.changed]


def last_sent(journal: Iterable[Write]) -> Mapping[tuple[str, Any, str], Any]:
    """The value last sent for each field of each record. A merge fills the winner's gaps with what the loser was sent."""
    sent: dict[tuple[str, Any, str], Any] = {}
    for write in journal:
        if write.action == "merged":
            winner = write.fields["id"]
            gaps = [(name, value) for (place, key, name), value in sent.items() if (place, key) == (LEAD, write.key)]
            sent |= {(LEAD, winner, name): value for name, value in gaps if empty(sent.get((LEAD, winner, name)))}
        else:
            sent |= {(write.object, write.key, name): value for name, value in write.fields.items()}
    return sent


def email_origins(journal: Iterable[Write]) -> Mapping[Any, str]:
    """How each person that was sent an email got the one it has: `created` with it, or `updated` to it."""
    return {write.key: write.action for write in journal if write.object == LEAD and "email" in write.changed}


def journal_key(place: str, record: Record) -> Any:
    """A record's key as the journal writes it."""
    keys = {
        SALES_PERSON: "externalSalesPersonId",
        COMPANY: "externalCompanyId",
        LEAD: "id",
        OPPORTUNITY: "externalOpportunityId",
    }
    if place == ROLE:
        return (record["externalOpportunityId"], record["leadId"], record["role"])
    return record[keys[place]]
