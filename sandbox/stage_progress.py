"""How far the two systems agree at this moment, object by object: what the demo's live view shows.

Everything is read off the simulated services; the daemon is not asked.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from sandbox.marketo import Write
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.oracle import Report, Rules, compare
from sandbox.oracle_people import gather
from sandbox.salesforce.ids import PREFIXES
from sandbox.stage_changes import Changes

OBJECTS: Final = ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
NAME_OF: Final = {SALES_PERSON: "User", COMPANY: "Account", OPPORTUNITY: "Opportunity", ROLE: "OpportunityContactRole"}
LATEST: Final = 60  # changes that the shown freshness is the median of


@dataclass(frozen=True, slots=True)
class Standing:
    """One object: records that ought to be on the other side, those that are, those that differ there; seconds; requests."""

    object: str
    expected: int
    there: int
    differing: int
    freshness_seconds: float | None
    calls: int

    @property
    def agreeing(self) -> int:
        """Records that are there as they ought to be."""
        return max(self.there - self.differing, 0)


@dataclass(slots=True)
class Progress:
    """Looks at both services again and again. `report` is what the oracle said at the last look."""

    changes: Changes
    report: Report = field(default_factory=Report)
    _lags: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=LATEST)))
    _requests: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _read: int = 0

    def rules(self) -> Rules:
        """What ought to be, under the daemon's default settings and with what was emptied on purpose."""
        return Rules(cleared=frozenset(self.changes.cleared))

    def look(self) -> list[Standing]:
        """Compare now; one standing for each object, and one for the scores on their way back."""
        self.report = compare(self.changes.org, self.changes.stage.instance, self.rules())
        self.read_journal()
        wrong = _wrong_records(self.report)
        expected = self._expected()
        standings = [self._standing(name, expected[name], wrong) for name in OBJECTS]
        compared = self.report.counts["scores compared"]
        late = len(wrong["score"])
        writes = self.changes.stage.salesforce.calls["PATCH /services/data/v{version}/composite/sobjects"]
        return [*standings, Standing("Scores", compared, compared - late, 0, None, writes)]

    def _standing(self, name: str, expected: Mapping[str, str], wrong: Mapping[str, set[str]]) -> Standing:
        missing = sum(carrier in wrong["missing"] for carrier in expected.values())
        differing = sum(carrier in wrong["differing"] for carrier in expected.values())
        lags = self._lags[name]
        freshness = median(lags) if lags else None
        return Standing(name, len(expected), len(expected) - missing, differing, freshness, len(self._requests[name]))

    def _expected(self) -> dict[str, dict[str, str]]:
        """Records that ought to be in Marketo, by object: Salesforce id, and the id of the record that stands there for it."""
        org, rules = self.changes.org, self.rules()
        expected: dict[str, dict[str, str]] = {name: {} for name in OBJECTS}
        for person in gather(org, rules).persons:
            for kind, row in person.everyone():
                expected[kind][row["Id"]] = person.carrier["Id"]
        for name in ("Account", "Opportunity", "OpportunityContactRole"):
            expected[name] = {str(row["Id"]): str(row["Id"]) for row in org.rows(name)}
        owners = {row.get("OwnerId") for name in ("Account", "Contact", "Lead", "Opportunity") for row in org.rows(name)}
        for row in org.records("User"):
            if row["Id"] in owners or (row["IsActive"] and rules.admits("User", row)):
                expected["User"][row["Id"]] = row["Id"]
        return expected

    # ---- the journal

    def read_journal(self) -> None:
        """Take in what Marketo accepted since the last look: how old each change was, and which requests there were."""
        journal = self.changes.stage.instance.journal
        for write in journal[self._read :]:
            name, record_id = self._record_of(write)
            self._requests[name].add(write.request)
            since = self.changes.touched.pop((name, record_id), None)
            if since is not None:
                self._lags[name].append(max(write.time - since, 0.0))
        self._read = len(journal)

    def _record_of(self, write: Write) -> tuple[str, str]:
        """The Salesforce object and id that a write was about."""
        if write.object == LEAD:
            external = str(write.fields.get("externalPersonId") or self._external_id(write.key))
            return ("Contact" if external.startswith(PREFIXES["Contact"]) else "Lead"), external
        if write.object == ROLE:
            return NAME_OF[ROLE], self._role_of(write.key)
        return NAME_OF[write.object], str(write.key)

    def _external_id(self, marketo_id: Any) -> str:
        lead = self.changes.stage.instance.leads.get(marketo_id)
        return str((lead or {}).get("externalPersonId") or "")

    def _role_of(self, key: tuple[str, int, str]) -> str:
        """The changed contact role whose Marketo key this is, or nothing."""
        contact = self._external_id(key[1])
        for name, record_id in self.changes.touched:
            row = self.changes.org.inspect(name, record_id) if name == NAME_OF[ROLE] else None
            if row and row["OpportunityId"] == key[0] and row["ContactId"] == contact:
                return record_id
        return ""


def _wrong_records(report: Report) -> dict[str, set[str]]:
    """Salesforce ids by what is wrong with them: missing, differing, score."""
    wrong: dict[str, set[str]] = {"missing": set(), "differing": set(), "score": set()}
    for problem in report.problems:
        kind, _, what = problem.partition(": ")
        _, _, where = what.partition(" ")
        group = kind if kind in wrong else "differing"
        wrong[group].add(where.partition(":")[0].partition(" ")[0])
    return wrong
