"""One Marketo instance in memory: its records, its describes, what was written to it, and what a marketer does in it.

Everything the API accepts is remembered: `journal` holds every accepted write in order, `violations` everything that a real
Marketo would take in silence although it loses something.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.marketo import schema
from sandbox.marketo.activities import CHANGE_VALUE, DELETE, MERGE, NEW_LEAD, ActivityLog
from sandbox.marketo.quirks import Quirks
from sandbox.marketo.refusals import Refusals
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, RELATIVE_SCORES, ROLE, SALES_PERSON, Field, Schema
from sandbox.marketo.scores import Scores
from sandbox.marketo.tables import Record, Table
from sandbox.marketo.values import stamp

Sleep = Callable[[float], Awaitable[None]]
LEAD_INDEXES: Final = ("email", "externalPersonId", "externalCompanyId", "externalSalesPersonId")


@dataclass(frozen=True, slots=True)
class Write:
    """One accepted write. `fields` is what was sent, `changed` the part that changed anything: empty in a needless re-send.

    `action` is created, updated, deleted or merged; `key` the external id, a role's three-part key, or a lead's Marketo id.
    """

    time: float
    request: int
    object: str
    key: Any
    action: str
    fields: Mapping[str, Any]
    changed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something Marketo accepts in silence and that is wrong all the same, such as a child sent before its parent."""

    time: float
    request: int
    kind: str
    object: str
    key: Any
    detail: str


@dataclass(slots=True, repr=False)
class Instance:
    """State of the instance. `now` is the clock, `sleep` how it waits; tests may put their own in."""

    now: Callable[[], float] = time.time  # noqa: TID251 - the simulated service has its own clock
    sleep: Sleep = asyncio.sleep  # noqa: TID251 - and its own way to wait
    quirks: Quirks = field(default_factory=Quirks)
    schemas: dict[str, Schema] = field(init=False)
    tables: dict[str, Table] = field(init=False)
    partitions: dict[str, int] = field(default_factory=lambda: {"Default": 1})
    closed_partitions: set[str] = field(default_factory=set)
    journal: list[Write] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    activities: ActivityLog = field(init=False)
    scores: Scores = field(init=False)
    merged_away: dict[int, int] = field(default_factory=dict)
    _last_id: int = 1000

    def __post_init__(self) -> None:
        """Start empty."""
        self.schemas = {
            SALES_PERSON: schema.sales_person(),
            COMPANY: schema.company(),
            LEAD: schema.lead(),
            OPPORTUNITY: schema.opportunity(),
            ROLE: schema.role(),
        }
        self.tables = {
            SALES_PERSON: Table("email", "id"),
            COMPANY: Table("externalSalesPersonId", "company", "id"),
            LEAD: Table(*LEAD_INDEXES),
            OPPORTUNITY: Table("externalSalesPersonId", "externalCompanyId", "marketoGUID"),
            ROLE: Table("leadId", "externalOpportunityId", "marketoGUID"),
        }
        self.activities = ActivityLog(now=self.now)
        self.scores = Scores(self)

    @property
    def sales_persons(self) -> Table:
        """By externalSalesPersonId."""
        return self.tables[SALES_PERSON]

    @property
    def companies(self) -> Table:
        """By externalCompanyId."""
        return self.tables[COMPANY]

    @property
    def leads(self) -> Table:
        """By Marketo id."""
        return self.tables[LEAD]

    @property
    def opportunities(self) -> Table:
        """By externalOpportunityId."""
        return self.tables[OPPORTUNITY]

    @property
    def roles(self) -> Table:
        """By (externalOpportunityId, leadId, role)."""
        return self.tables[ROLE]

    def add_field(self, object_name: str, new: Field) -> None:
        """A marketer adds a custom field, or changes one. Text and integer fields of leads become searchable."""
        self.schemas[object_name].add(new)
        if object_name == LEAD and new.data_type in {"string", "email", "integer"}:
            self.schemas[LEAD].searchable.append([new.name])

    def remove_field(self, object_name: str, name: str) -> None:
        """A marketer hides a field: the API no longer knows it (1006). Its values are gone."""
        described = self.schemas[object_name]
        described.fields.pop(name, None)
        described.searchable = [names for names in described.searchable if name not in names]
        for record in self.tables[object_name].values():
            record.pop(name, None)

    def set_searchable(self, object_name: str, name: str, searchable: bool) -> None:
        """Whether a field may be a `filterType`."""
        described = self.schemas[object_name]
        described.searchable = [names for names in described.searchable if names != [name]]
        if searchable:
            described.searchable.append([name])

    @property
    def relative_score(self) -> str:
        """How this instance spells the relative score."""
        return next((name for name in RELATIVE_SCORES if name in self.schemas[LEAD].fields), RELATIVE_SCORES[0])

    def spell_relative_score(self, name: str) -> None:
        """Use the other spelling: relativeScore or relativeScoring."""
        old = self.relative_score
        if old == name:
            return
        self.schemas[LEAD].fields.pop(old, None)
        self.schemas[LEAD].add(schema.fixed(name, "float"))
        for record in self.leads.values():
            if old in record:
                record[name] = record.pop(old)

    def next_id(self) -> int:
        """A new Marketo id."""
        self._last_id += 1
        return self._last_id

    def next_guid(self) -> str:
        """A new marketoGUID, the same in every run."""
        return str(uuid.UUID(int=self.next_id() << 64))

    def wrote(
        self, request: int, object_name: str, key: Any, action: str, *, sent: Mapping[str, Any], changed: Mapping[str, Any]
    ) -> None:
        """Remember an accepted write."""
        if self.quirks.journal:
            self.journal.append(Write(self.now(), request, object_name, key, action, dict(sent), dict(changed)))

    def violated(self, request: int, kind: str, object_name: str, key: Any, detail: str) -> None:
        """Remember something accepted that should not have been sent."""
        self.violations.append(Violation(self.now(), request, kind, object_name, key, detail))

    def leads_of(self, external_person_id: str) -> list[Record]:
        """The living people with this externalPersonId; more than one is a duplicate."""
        return self.leads.find("externalPersonId", external_person_id)

    def shown(self, lead: Record) -> Record:
        """A lead as Marketo shows it: what its company holds is inherited."""
        company = self.companies.get(lead.get("externalCompanyId"))
        if company is None:
            return lead
        inherited = {name: company[name] for name in schema.COMPANY_FIELDS if company.get(name) is not None}
        return {**lead, **inherited}

    def create_lead(self, **fields: Any) -> int:
        """A person comes into being inside Marketo (a form, an import): not in the journal. Returns the Marketo id."""
        lead_id = self.next_id()
        made = stamp(self.now())
        self.leads.put(lead_id, {"id": lead_id, "createdAt": made, "updatedAt": made, "leadPartitionId": 1, **fields})
        self.activities.add(NEW_LEAD, lead_id, "Web form")
        return lead_id

    def change_lead(self, lead_id: int, **fields: Any) -> None:
        """A marketer edits a person inside Marketo: not in the journal."""
        self.leads.change(lead_id, {**fields, "updatedAt": stamp(self.now())})
        self.note_changes(lead_id, fields)

    def note_changes(self, lead_id: int, changed: Mapping[str, Any]) -> None:
        """Leave one Change Data Value activity for each changed field."""
        if self.quirks.value_change_activities:
            for name, value in changed.items():
                self.activities.add(CHANGE_VALUE, lead_id, name, {"New Value": value, "Source": "Web service API"})

    def delete_lead(self, lead_id: int) -> Record:
        """A person is deleted, with all its roles; activity 37 tells."""
        gone = self.leads.remove(lead_id)
        for role in self.roles.find("leadId", lead_id):
            self.roles.remove((role["externalOpportunityId"], lead_id, role["role"]))
        name = " ".join(part for part in (gone.get("firstName"), gone.get("lastName")) if part)
        self.activities.add(DELETE, lead_id, name)
        return gone

    def merge_leads(self, winner: int, loser: int) -> None:
        """Merge two people: the loser's values fill the winner's gaps, and the loser's id is gone. Activity 32 tells."""
        kept, gone = self.leads[winner], self.leads.remove(loser)
        fillers = {name: value for name, value in gone.items() if kept.get(name) is None and value is not None}
        self.leads.change(winner, {**fillers, "updatedAt": stamp(self.now())})
        for role in list(self.roles.find("leadId", loser)):
            self.roles.remove((role["externalOpportunityId"], loser, role["role"]))
            if (role["externalOpportunityId"], winner, role["role"]) not in self.roles:
                self.roles.put((role["externalOpportunityId"], winner, role["role"]), {**role, "leadId": winner})
        self.merged_away[loser] = winner
        self.activities.add(
            MERGE, winner, str(winner), {"Merge IDs": str(loser), "Master Updated": True, "Merged in Sales": False}
        )

    def refuse(self, *args: Any, **kwargs: Any) -> Any:
        """See `Refusals.refuse`: skip a record that would otherwise be taken."""
        return self.refusals.refuse(*args, **kwargs)

    def refuse_batch_containing(self, *args: Any, **kwargs: Any) -> Any:
        """See `Refusals.refuse_batch_containing`: refuse every call that carries this record."""
        return self.refusals.refuse_batch_containing(*args, **kwargs)
