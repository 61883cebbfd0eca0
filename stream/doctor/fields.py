"""Whether a mapped field's values fit: its type and length in Salesforce against those in Marketo. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from store.model import ObjectName
from stream.conversions import FieldRule
from stream.doctor.findings import Finding, failure, ok, some, warning
from stream.doctor.marketo import NAMES
from stream.fitting import clashes, family
from stream.mapping import LENGTHS, Target, bind
from stream.marketo.answers import Describe
from stream.salesforce.rest_answers import FieldDescribe, ObjectDescribe

LONG_TEXT = 255  # a Salesforce text above this is a long text area: that it is cut is what its reader expects


def field_finding(
    obj: ObjectName,
    wanted: Mapping[str, str],
    salesforce: ObjectDescribe,
    marketo: Describe,
    rules: Mapping[str, FieldRule] | None = None,
) -> Finding:
    """One line for the fields of an object that both sides have."""
    check = f"fields of {obj} in {NAMES[obj].removeprefix('marketo ')}"
    mapping = bind(obj, wanted, marketo.fields, rules)
    targets = mapping.targets
    pairs = [(salesforce.fields[source], target) for source, target in targets.items() if source in salesforce.fields]
    if wrong := list(clashes(mapping, salesforce.fields).values()):
        cure = "map them to fields of a fitting type in [fields], or change the type in Marketo: each value would be refused"
        return failure(check, some(sorted(wrong)), cure)
    if refused := [told for source, target in pairs if (told := _too_long(source, target, refused=True))]:
        cure = "lengthen the Marketo field, or shorten the values: longer ones are refused"
        return failure(check, some(sorted(refused)), cure)
    cuts = [(source, told) for source, target in pairs if (told := _too_long(source, target, refused=False))]
    if short := sorted(told for source, told in cuts if source.length <= LONG_TEXT):
        return warning(check, f"cut: {some(short)}", "lengthen the Marketo fields: longer values lose their end")
    expected = "; cut, being long texts: " + some(sorted(told for _, told in cuts)) if cuts else ""
    return ok(check, f"all {len(pairs)} fit{expected}")


def _too_long(source: FieldDescribe, target: Target, *, refused: bool) -> str:
    """What is longer in Salesforce than in Marketo: an email address is refused then, another text is cut."""
    if family(target.data_type) != "text" or source.length <= target.length or (target.data_type == "email") is not refused:
        return ""
    return f"{source.name} ({source.length:,} characters) into {target.name} ({target.length:,})"


def role_finding(role: FieldDescribe | None, marketo: Describe) -> Finding | None:
    """Whether a role's name, a part of its key, fits; no finding where it does or is not to be seen."""
    held = marketo.fields.get("role")
    most = min(held.length or 50, LENGTHS["OpportunityContactRole", "role"]) if held is not None else 0
    if role is None or held is None or role.length <= most:
        return None
    cure = "keep role names short in Salesforce: two that begin alike would be one role in Marketo"
    return warning("fields of OpportunityContactRole in opportunity roles", f"Role ({role.length:,}) into role ({most:,})", cure)
