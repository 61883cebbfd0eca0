"""What Marketo's answers say to `doctor`: answers in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from store.model import ObjectName
from stream.doctor.findings import Finding, failure, ok, some, warning
from stream.errors import MarketoError
from stream.mapping import bind
from stream.marketo.answers import Describe, FieldDescribe
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

PERMISSIONS: Mapping[ObjectName, str] = {
    "User": "Read-Write Sales Person",
    "Account": "Read-Write Company",
    "Contact": "Read-Write Person",
    "Lead": "Read-Write Person",
    "Opportunity": "Read-Write Opportunity",
    "OpportunityContactRole": "Read-Write Opportunity",
}
"""What the API user's role needs, as Marketo's role dialogue (Access API) spells it."""

ID_LENGTH = 18
KEY_TYPES = frozenset({"string", "text", "reference", "integer"})
NATIVE_SYNC = "1018"
NON_NATIVE = "ask Adobe to enable Sales Insight for non-native CRM integrations on this instance"


def object_finding(obj: ObjectName, describe: Describe, wanted: Mapping[str, str]) -> Finding:
    """Whether the object has the keys, and the mapped fields."""
    if missing := [key for key in KEYS[obj] if key not in describe.fields]:
        return failure(NAMES[obj], f"missing: {some(missing)}", NON_NATIVE)
    if wrong := [told for key in KEYS[obj] if (told := _unfit(describe.fields[key]))]:
        return failure(NAMES[obj], f"keys that hold no Salesforce id: {some(wrong)}", NON_NATIVE)
    if unsent := list(bind(obj, wanted, describe.fields).missing):
        cure = "create them in Marketo, or map the Salesforce fields to others in [fields]"
        return warning(NAMES[obj], f"missing or not to be written, and so never sent: {some(unsent)}", cure)
    return ok(NAMES[obj], f"{some(list(KEYS[obj]))} and all {len(wanted)} mapped fields are there")


def _unfit(key: FieldDescribe) -> str:
    """Why a key cannot hold what belongs there; "" where it can."""
    if key.data_type.lower() not in KEY_TYPES:
        return f"{key.name} is a {key.data_type}"
    if key.name.startswith("external") and key.length is not None and key.length < ID_LENGTH:
        return f"{key.name} takes {key.length} of {ID_LENGTH} characters"
    return ""


def partition_finding(partition: str, known: Collection[str]) -> Finding:
    """Whether the partition for new people is there."""
    check = "marketo partition"
    if partition in known:
        return ok(check, f"new people go to {partition}")
    cure = "correct deliver.partition, or let the Marketo admin open it to this API user's workspace"
    return failure(check, f"there is no partition {partition!r} for this user; there are: {some(sorted(known))}", cure)


def refused_finding(obj: ObjectName, error: MarketoError) -> Finding:
    """Marketo refused to describe the object."""
    if error.code == NATIVE_SYNC:
        cure = "use an instance without native CRM sync: with it, Marketo takes no sales data from this or any other integration"
        return failure(NAMES[obj], "Marketo's native CRM sync is on (1018)", cure)
    return failure(NAMES[obj], error.message, error.hint or f"give the API user's role {PERMISSIONS[obj]}")


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
