"""What Salesforce's answers say to `doctor`: answers in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from store.model import ObjectName
from stream.catalog import ALWAYS
from stream.config.closest import closest
from stream.conversions import constants
from stream.doctor.findings import Finding, failure, ok, some, warning
from stream.mapping import CONTROL, NEEDED, REF_FIELD, REFS_OF
from stream.salesforce.rest_answers import FieldDescribe, Limit, ObjectDescribe
from stream.score_diff import MSI_FIELDS

FEW = 0.1  # of an allowance: what is left is little
TEXT, NUMBER, MOMENT = "text", "a number", "a datetime"
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("string", "textarea", "picklist", "combobox", "multipicklist"), TEXT),
    **dict.fromkeys(("double", "int", "currency", "percent"), NUMBER),
    **dict.fromkeys(("datetime", "date"), MOMENT),
}
NUMBERS = frozenset({"priority", "relativeUrgency", "relativeScore"})
MOMENTS = frozenset({"msiLastInterestingMomentDate"})
READ_ACCESS = "give the integration user read access to them (permission set, field-level security)"
EDIT_ACCESS = "give the integration user edit access to them (permission set, field-level security)"


def object_finding(
    obj: ObjectName, describe: ObjectDescribe, wanted: frozenset[str], deciding: frozenset[str] = frozenset()
) -> Finding:
    """Whether the object's mapped fields, those that tie records together, and its filter's (`deciding`) may be read."""
    check = f"salesforce {obj}"
    unseen = (wanted | ALWAYS) - constants(wanted).keys()
    unseen -= describe.fields.keys()
    needed = {*ALWAYS, *NEEDED[obj], *CONTROL[obj], *(REF_FIELD[ref] for ref in REFS_OF[obj])}
    if hidden := sorted(unseen & deciding):
        meant = closest(hidden[0], describe.fields)
        cure = f"did you mean {meant}?" if meant else READ_ACCESS
        return failure(check, f"filters.{obj} looks at fields that are not to be seen: {some(hidden)}", cure)
    if lacking := sorted(unseen & needed):
        return failure(check, f"fields that nothing works without are not to be seen: {some(lacking)}", READ_ACCESS)
    if unseen:
        return warning(check, f"not to be seen, and so never sent: {some(sorted(unseen))}", READ_ACCESS)
    return ok(check, f"all {len(wanted)} fields that matter can be read")


def msi_finding(obj: ObjectName, describe: ObjectDescribe, prefix: str) -> Finding:
    """Whether the seven MSI fields are there, of the right kind, and may be written."""
    check = f"salesforce {obj} MSI fields"
    named = {ours: prefix + name for ours, name in MSI_FIELDS.items()}
    missing = sorted(name for name in named.values() if name not in describe.fields)
    if len(missing) == len(named):
        return failure(check, f"none of the seven with the prefix {prefix!r}", _other_prefix(describe))
    if missing:
        return failure(check, f"missing, or not to be seen: {some(missing)}", "create them, or give read and edit access to them")
    there = {ours: describe.fields[name] for ours, name in named.items()}
    if wrong := sorted(told for ours, found in there.items() if (told := _wrong_kind(ours, found))):
        return failure(check, some(wrong), "create them anew in the types that Adobe's setup page lists")
    if fixed := sorted(found.name for found in there.values() if not found.updateable):
        return failure(check, f"not to be written: {some(fixed)}", EDIT_ACCESS)
    return ok(check, "all seven can be written")


def _other_prefix(describe: ObjectDescribe) -> str:
    last = MSI_FIELDS["relativeScore"]
    found = next((name.removesuffix(last) for name in describe.fields if name.endswith(last)), None)
    if found is not None:
        return f'they are there with another prefix: set scores.field_prefix = "{found}"'
    return "install the MSI package or create the fields, give edit access to them, and set scores.field_prefix to their prefix"


def _wrong_kind(ours: str, found: FieldDescribe) -> str:
    expected = NUMBER if ours in NUMBERS else MOMENT if ours in MOMENTS else TEXT
    return "" if KINDS.get(found.type) == expected else f"{found.name} has the type {found.type}, expected {expected}"


def limit_findings(limits: Mapping[str, Limit], daily_calls: int, score_writes: int) -> list[Finding]:
    """How much of the org's daily allowances is left."""
    calls, events = limits.get("DailyApiRequests"), limits.get("DailyDeliveredPlatformEvents")
    found = []
    if calls is None:
        found.append(warning("salesforce daily calls", "the org does not tell them", "look at Setup, Company Information"))
    elif calls.max < daily_calls:
        cure = "lower reconcile.daily_calls to what the org allows, less what others need"
        found.append(warning("salesforce daily calls", f"{_left(calls)}; reconcile.daily_calls is {daily_calls:,}", cure))
    else:
        found.append(_allowance("salesforce daily calls", calls))
    if events is not None:
        found.append(_events(events, score_writes))
    jobs = limits.get("DailyBulkV2QueryJobs")
    if jobs is not None:
        found.append(_allowance("salesforce bulk queries", jobs))
    return found


def _events(events: Limit, score_writes: int) -> Finding:
    check = "salesforce delivered events"
    if events.max <= score_writes:
        cure = f"lower scores.daily_writes: each score written comes back as an event, and {events.max:,} are delivered in a day"
        return warning(check, f"{_left(events)}; scores.daily_writes is {score_writes:,}", cure)
    return _allowance(check, events)


def _allowance(check: str, limit: Limit) -> Finding:
    if limit.max and limit.remaining <= 0:
        return failure(check, _left(limit), "see who uses them up, or buy more: until some are free nothing comes")
    if limit.remaining < FEW * limit.max:
        return warning(check, _left(limit), "see who uses them up")
    return ok(check, _left(limit))


def _left(limit: Limit) -> str:
    return f"{limit.remaining:,} of {limit.max:,} left today"
