"""What Marketo's answers say to `doctor`: answers in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from store.model import ObjectName
from stream.errors import MarketoError
from stream.findings import Finding, failure, ok, some, warning
from stream.mapping import bind
from stream.marketo.answers import Describe
from stream.score_diff import MSI_FIELDS, marketo_names

KEYS: Mapping[ObjectName, tuple[str, ...]] = {
    "User": ("externalSalesPersonId",),
    "Account": ("externalCompanyId", "externalSalesPersonId"),
    "Contact": ("externalPersonId", "externalCompanyId", "externalSalesPersonId"),
    "Lead": ("externalPersonId", "externalSalesPersonId"),
    "Opportunity": ("externalOpportunityId", "externalCompanyId", "externalSalesPersonId"),
    "OpportunityContactRole": ("externalOpportunityId", "leadId", "role"),
}
"""The fields that tie records together; without one of them MSI's widgets stay empty."""

NAMES: Mapping[ObjectName, str] = {
    "User": "marketo sales persons",
    "Account": "marketo companies",
    "Contact": "marketo people (contacts)",
    "Lead": "marketo people (leads)",
    "Opportunity": "marketo opportunities",
    "OpportunityContactRole": "marketo opportunity roles",
}

NATIVE_SYNC = "1018"
NON_NATIVE = "ask Adobe to enable Sales Insight for non-native CRM integrations on this instance"


def object_finding(obj: ObjectName, describe: Describe, wanted: Mapping[str, str]) -> Finding:
    """Whether the object has the keys, and the mapped fields."""
    if missing := [key for key in KEYS[obj] if key not in describe.fields]:
        return failure(NAMES[obj], f"missing: {some(missing)}", NON_NATIVE)
    if unsent := list(bind(obj, wanted, describe.fields).missing):
        cure = "create them in Marketo, or map the Salesforce fields to others in [fields]"
        return warning(NAMES[obj], f"missing or not to be written, and so never sent: {some(unsent)}", cure)
    return ok(NAMES[obj], f"{some(list(KEYS[obj]))} and all {len(wanted)} mapped fields are there")


def refused_finding(obj: ObjectName, error: MarketoError) -> Finding:
    """Marketo refused to describe the object."""
    if error.code == NATIVE_SYNC:
        cure = "use an instance without native CRM sync: with it, Marketo takes no sales data from this or any other integration"
        return failure(NAMES[obj], "Marketo's native CRM sync is on (1018)", cure)
    return failure(NAMES[obj], error.message, error.hint or "give the API user's role access to this object")


def person_findings(describe: Describe, relative_score: str) -> list[Finding]:
    """What the describe of people says of the MSI fields and of the key."""
    names = marketo_names(describe.fields, relative_score)
    check = "marketo MSI fields"
    if missing := sorted(MSI_FIELDS.keys() - names.keys()):
        cure = NON_NATIVE
        if missing == ["relativeScore"]:
            cure = "set scores.relative_score_field to this instance's name of it"
        found = [failure(check, f"missing: {some(missing)}", cure)]
    else:
        found = [ok(check, f"all seven; the relative score is spelled {names['relativeScore']}")]
    return [*found, *_key_findings(describe)]


def _key_findings(describe: Describe) -> list[Finding]:
    key = describe.fields.get("externalPersonId")
    if key is None:
        return []
    check, found = "marketo externalPersonId", []
    if not key.updateable:
        cure = "ask Adobe to make it updateable: until then a converted lead's person keeps the lead's id"
        found.append(warning(check, "cannot be changed once set", cure))
    if key.name not in describe.searchable:
        cure = "ask Adobe to make it searchable: until then people without email cannot be told from new ones"
        found.append(warning(check, "cannot be searched for", cure))
    return found or [ok(check, "can be changed and searched for")]


def quota_finding(used: int, daily: int, reserve: int) -> Finding:
    """How much of the instance's daily calls is left to this daemon."""
    check, told = "marketo daily calls", f"{used:,} of {daily:,} used today by all integrations, {reserve:,} reserved for others"
    if used >= daily:
        cure = "correct marketo.daily_calls if the instance was granted more; else it goes on after midnight US Central time"
        return failure(check, told, cure)
    if used >= daily - reserve:
        return warning(check, told, "see which integration uses them up; this daemon keeps within its own budget")
    return ok(check, told)
