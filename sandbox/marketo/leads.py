"""Leads: their sync has its own words (`lookupField`, no `seq`), and two creates close together make duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.marketo import relations
from sandbox.marketo.answers import Page, Refused, Skipped, reasons
from sandbox.marketo.instance import Instance
from sandbox.marketo.requests import ACTIONS, checked, choice, records_of
from sandbox.marketo.schema import COMPANY_FIELDS, LEAD, MSI_FIELDS, RELATIVE_SCORES
from sandbox.marketo.tables import Record, folded
from sandbox.marketo.values import stamp

LEAD_ACTIONS: Final = (*ACTIONS, "createDuplicate")
LOOKUPS: Final = (
    "email",
    "id",
    "cookie",
    "facebookId",
    "linkedInId",
    "twitterId",
    "sfdcLeadId",
    "sfdcContactId",
    "sfdcAccountId",
)
NEVER_SENT: Final = frozenset({*MSI_FIELDS, *RELATIVE_SCORES, "leadScore", "urgency"})
MERGED_AT_ONCE: Final = 25


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync call's own words."""

    action: str
    lookup: str
    partition: str | None
    request: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to become of one record: `lead_id` None creates."""

    fields: Record
    sent: Mapping[str, Any]
    lead_id: int | None
    company: Record


class Leads:
    """The write endpoints of leads."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def sync(self, body: Mapping[str, Any], request: int) -> Page:
        """Look who exists, take time, then write: in between another call may have created the same person."""
        instance = self._instance
        if instance.quirks.native_crm and not instance.quirks.native_crm_takes_leads:
            raise Refused("1018", "CRM Enabled")
        records = records_of(body, self._instance.quirks.batch_most)
        call = self._call(body, request)
        instance.refusals.check_batch(LEAD, records)
        seen: set[Any] = set()
        intents = [self._intended(record, call, seen) for record in records]
        if instance.quirks.create_latency_seconds > 0:
            await instance.sleep(instance.quirks.create_latency_seconds)
        results = [intent if isinstance(intent, Skipped) else self._written(intent, call) for intent in intents]
        return Page([self._result(result) for result in results])

    def delete(self, body: Mapping[str, Any], request: int) -> Page:
        """Delete by Marketo id only; one that is not there is skipped with 1004."""
        results = []
        for record in records_of(body, self._instance.quirks.batch_most):
            try:
                results.append(self._delete_one(record, request))
            except Skipped as skipped:
                results.append(self._result(skipped))
        return Page(results)

    def merge(self, winner: int, losers: list[int], request: int) -> Page:
        """Merge losers into the winner. Raises Refused: 1080 over 25, 1004 one is not there."""
        if not losers:
            raise Refused("1002", "Missing value for the required parameter 'leadId'")
        if len(losers) > MERGED_AT_ONCE:
            raise Refused("1080", f"More than {MERGED_AT_ONCE} leads in one merge")
        for lead_id in (winner, *losers):
            if lead_id not in self._instance.leads:
                raise Refused("1004", f"Lead '{lead_id}' not found")
        if winner in losers:
            raise Refused("1003", "Invalid data: a lead cannot be merged into itself")
        for loser in dict.fromkeys(losers):
            self._instance.merge_leads(winner, loser)
            self._instance.wrote(request, LEAD, loser, "merged", sent={"id": winner}, changed={"id": winner})
        return Page(None)

    def _call(self, body: Mapping[str, Any], request: int) -> Sync:
        action = choice(body, "action", LEAD_ACTIONS)
        lookup = str(body.get("lookupField") or "email")
        known = self._instance.schemas[LEAD].fields
        allowed = lookup in LOOKUPS or (lookup == "externalPersonId" and self._instance.quirks.external_person_id_lookup)
        if not allowed or (lookup not in known and lookup != "cookie"):
            code = "1011" if lookup in known or lookup in LOOKUPS else "1006"
            raise Refused(code, f"Field '{lookup}' not {'supported' if code == '1011' else 'found'}")
        partition = body.get("partitionName")
        if partition is not None and (
            partition not in self._instance.partitions or partition in self._instance.closed_partitions
        ):
            raise Refused("1008", f"Access denied to partition '{partition}'")
        if partition is None and self._instance.quirks.partition_required and action != "updateOnly":
            raise Refused("1009", "Partition name must be specified")
        return Sync(action, lookup, partition, request)

    def _intended(self, record: Any, call: Sync, seen: set[Any]) -> Intent | Skipped:
        try:
            return self._checked(record, call, seen)
        except Skipped as skipped:
            return skipped

    def _checked(self, record: Any, call: Sync, seen: set[Any]) -> Intent:
        self._note_forbidden(record, call)
        fields = checked(self._instance.schemas[LEAD], record)
        if fields.get("id") is not None and call.action != "updateOnly":
            raise Skipped("1003", "Invalid data: 'id' goes only with updateOnly")
        company = self._without_company_fields(fields)
        self._check_twice(fields, call, seen)
        self._instance.refusals.check_record(LEAD, fields)
        lead_id = self._looked_up(fields, call)
        if lead_id is not None:
            self._check_update(self._instance.leads[lead_id], fields, call)
        return Intent(fields, record, lead_id, company)

    def _note_forbidden(self, record: Any, call: Sync) -> None:
        for name in NEVER_SENT.intersection(record if isinstance(record, Mapping) else ()):
            self._instance.violated(
                call.request, "forbidden_field", LEAD, record.get("externalPersonId"), f"{name} is Marketo's own"
            )

    def _without_company_fields(self, fields: Record) -> Record:
        company: Record = {name: fields.pop(name) for name in COMPANY_FIELDS if name in fields}
        if company and self._instance.quirks.company_fields_in_leads == "refuse":
            raise Skipped("1021", "Company update not allowed during syncLead")
        return company if self._instance.quirks.company_fields_in_leads == "apply" else {}

    def _check_twice(self, fields: Mapping[str, Any], call: Sync, seen: set[Any]) -> None:
        """The lookup key may stand once in a batch."""
        if call.action == "createDuplicate":
            return
        value = fields.get(call.lookup)
        if value is None:
            raise Skipped("1003", f"Value for lookup field '{call.lookup}' not found")
        key = (call.lookup, folded(value))
        if key in seen:
            who = fields.get("externalPersonId") or fields.get("id")
            self._instance.violated(call.request, "twice_in_batch", LEAD, who, "the same record twice in one batch")
            raise Skipped("1036", "Duplicate object found in input")
        seen.add(key)

    def _looked_up(self, fields: Mapping[str, Any], call: Sync) -> int | None:
        if call.action == "createDuplicate":
            return None
        if call.lookup == "id":
            found = [fields["id"]] if fields["id"] in self._instance.leads else []
        else:
            found = [lead["id"] for lead in self._instance.leads.find(call.lookup, fields[call.lookup])]
        if call.action == "createOnly":
            if found:
                raise Skipped("1005", "Lead already exists")
            return None
        if not found and call.action == "updateOnly":
            raise Skipped("1004", "Lead not found")
        if len(found) > 1:
            raise Skipped("1007", "Multiple leads match the lookup criteria")
        return found[0] if found else None

    def _check_update(self, lead: Record, fields: Mapping[str, Any], call: Sync) -> None:
        if call.partition is not None and lead["leadPartitionId"] != self._instance.partitions[call.partition]:
            raise Skipped("1010", "Partition update not allowed")
        old, new = lead.get("externalPersonId"), fields.get("externalPersonId", lead.get("externalPersonId"))
        if old is not None and old != new and not self._instance.quirks.external_person_id_updateable:
            raise Skipped("1003", "Invalid data: field 'externalPersonId' is not updateable")

    def _written(self, intent: Intent, call: Sync) -> dict[str, Any] | Skipped:
        if intent.lead_id is None:
            return self._created(intent, call)
        if intent.lead_id not in self._instance.leads:
            return Skipped("1004", "Lead not found")
        return self._updated(intent.lead_id, intent, call)

    def _created(self, intent: Intent, call: Sync) -> dict[str, Any]:
        instance, fields = self._instance, dict(intent.fields)
        for name in ("externalPersonId", "email"):
            if call.action != "createDuplicate" and instance.leads.find(name, fields.get(name)):
                instance.violated(call.request, f"duplicate_{name}", LEAD, fields.get("externalPersonId"), "another lead has it")
        relations.settle(instance, call.request, LEAD, fields.get("externalPersonId"), fields=fields, before={})
        filled = {name: value for name, value in fields.items() if value is not None and name != "id"}
        partition = instance.partitions[call.partition or "Default"]
        lead_id = instance.create_lead(leadPartitionId=partition, **filled)
        self._change_company(instance.leads[lead_id], intent.company)
        instance.wrote(call.request, LEAD, lead_id, "created", sent=intent.sent, changed=filled)
        return {"id": lead_id, "status": "created"}

    def _updated(self, lead_id: int, intent: Intent, call: Sync) -> dict[str, Any]:
        instance, lead, fields = self._instance, self._instance.leads[lead_id], dict(intent.fields)
        fields.pop("id", None)
        relations.settle(instance, call.request, LEAD, lead_id, fields=fields, before=lead)
        changed = {name: value for name, value in fields.items() if lead.get(name) != value}
        company = self._change_company(lead, intent.company)
        if changed:
            instance.leads.change(lead_id, {**changed, "updatedAt": stamp(instance.now())})
            instance.note_changes(lead_id, changed)
        instance.wrote(call.request, LEAD, lead_id, "updated", sent=intent.sent, changed={**changed, **company})
        return {"id": lead_id, "status": "updated"}

    def _change_company(self, lead: Record, fields: Record) -> Record:
        """Company fields of a lead reach its company, and so every lead in it; without a company they stay on the lead."""
        if not fields:
            return {}
        company = self._instance.companies.get(lead.get("externalCompanyId"))
        target = lead if company is None else company
        changed = {name: value for name, value in fields.items() if target.get(name) != value}
        target.update(changed)
        return changed

    def _delete_one(self, record: Any, request: int) -> dict[str, Any]:
        fields = checked(self._instance.schemas[LEAD], record)
        lead_id = fields.get("id")
        if lead_id is None:
            raise Skipped("1002", "Missing value for the required parameter 'id'")
        self._instance.refusals.check_record(LEAD, fields)
        if lead_id not in self._instance.leads:
            raise Skipped("1004", "Lead not found")
        gone = self._instance.delete_lead(lead_id)
        self._instance.wrote(request, LEAD, lead_id, "deleted", sent=fields, changed=gone)
        return {"id": lead_id, "status": "deleted"}

    def _result(self, result: dict[str, Any] | Skipped) -> dict[str, Any]:
        if isinstance(result, Skipped):
            return reasons(result, integer_codes=self._instance.quirks.integer_codes)
        return result
