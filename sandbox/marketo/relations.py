"""What ties records together: a relation to a parent that is not there yet is lost in silence, and noted as a violation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.marketo.answers import Refused, Skipped
from sandbox.marketo.instance import Instance
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.tables import Record

PARENTS: dict[str, dict[str, str]] = {
    COMPANY: {"externalSalesPersonId": SALES_PERSON},
    LEAD: {"externalCompanyId": COMPANY, "externalSalesPersonId": SALES_PERSON},
    OPPORTUNITY: {"externalCompanyId": COMPANY, "externalSalesPersonId": SALES_PERSON},
    ROLE: {},
    SALES_PERSON: {},
}


def settle(instance: Instance, request: int, object_name: str, key: Any, *, fields: Record, before: Mapping[str, Any]) -> None:
    """Drop relations to parents that do not exist from `fields`, noting each, and keep a lead in the company it once joined."""
    if object_name == LEAD and fields.get("externalCompanyId", "-") is None:
        del fields["externalCompanyId"]
    for name, parent in PARENTS[object_name].items():
        named = fields.get(name)
        if named is None or named in instance.tables[parent]:
            continue
        instance.violated(request, "child_before_parent", object_name, key, f"{name} {named} is not there")
        if object_name == LEAD and name == "externalCompanyId" and before.get(name) is not None:
            del fields[name]
        else:
            fields[name] = None


def check_opportunities(instance: Instance, records: Sequence[Any]) -> None:
    """Raise Refused 718 for a whole call with an opportunity whose sales person is unknown, where the instance does so."""
    if instance.quirks.opportunity_without_sales_person != "batch":
        return
    for record in records:
        named = record.get("externalSalesPersonId") if isinstance(record, Mapping) else None
        if named and named not in instance.sales_persons:
            raise Refused("718", "ExternalSalesPersonID not found")


def check_parents(instance: Instance, request: int, object_name: str, key: Any, record: Mapping[str, Any]) -> None:
    """Raise Skipped for an opportunity (718, where the instance does so) or a role (1004, 1013) whose parents are not there."""
    if object_name == OPPORTUNITY and instance.quirks.opportunity_without_sales_person == "record":
        named = record.get("externalSalesPersonId")
        if named and named not in instance.sales_persons:
            raise Skipped("718", "ExternalSalesPersonID not found")
    if object_name != ROLE:
        return
    if record["externalOpportunityId"] not in instance.opportunities:
        instance.violated(request, "child_before_parent", ROLE, key, "the opportunity is not there")
        raise Skipped("1013", "Opportunity not found")
    if record["leadId"] not in instance.leads:
        instance.violated(request, "child_before_parent", ROLE, key, "the lead is not there")
        raise Skipped("1004", "Lead not found")


def in_use(instance: Instance, external_sales_person_id: str) -> bool:
    """Whether any lead, company or opportunity belongs to this sales person."""
    return any(
        instance.tables[child].find("externalSalesPersonId", external_sales_person_id) for child in (LEAD, COMPANY, OPPORTUNITY)
    )


def orphan(instance: Instance, object_name: str, record: Record) -> None:
    """Undo what pointed at a deleted record: leads and opportunities lose their company, an opportunity takes its roles along."""
    if object_name == COMPANY:
        for child in (LEAD, OPPORTUNITY):
            key_field = "id" if child == LEAD else "externalOpportunityId"
            for one in list(instance.tables[child].find("externalCompanyId", record["externalCompanyId"])):
                instance.tables[child].change(one[key_field], {"externalCompanyId": None})
    if object_name == OPPORTUNITY:
        for role in list(instance.roles.find("externalOpportunityId", record["externalOpportunityId"])):
            instance.roles.remove((role["externalOpportunityId"], role["leadId"], role["role"]))
