"""Marketo's seven MSI values as Salesforce keeps them, and what of them has changed. Pure.

Values are brought into the form that Salesforce will store (trimmed, shortened, rounded, in UTC) before they are compared with
what was last written, so that what Salesforce does to a value on its side never looks like a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Protocol

from store.scores import UNSURE

MSI_FIELDS: Mapping[str, str] = {
    "msiLastInterestingMomentType": "Last_Interesting_Moment_Type__c",
    "msiLastInterestingMomentDate": "Last_Interesting_Moment_Date__c",
    "msiLastInterestingMomentDesc": "Last_Interesting_Moment_Desc__c",
    "msiLastInterestingMomentSource": "Last_Interesting_Moment_Source__c",
    "priority": "Priority__c",
    "relativeUrgency": "Urgency_Value__c",
    "relativeScore": "Relative_Score_Value__c",
}
"""Marketo field → Salesforce field without its namespace (Adobe, "Sales Insight for Non-Native Salesforce Integrations")."""

LARGEST = 1e18  # Salesforce's numbers have 18 digits
RELATIVE_SCORE_SPELLINGS = ("relativeScore", "relativeScoring")


class SalesforceField(Protocol):
    """What has to be known of a Salesforce field."""

    @property
    def name(self) -> str:
        """API name."""
        ...

    @property
    def type(self) -> str:
        """string, textarea, double, int, datetime, date, …."""
        ...

    @property
    def length(self) -> int:
        """In characters; 0 where it has none."""
        ...

    @property
    def scale(self) -> int:
        """Decimal places."""
        ...

    @property
    def updateable(self) -> bool:
        """Whether the integration user may write it."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreField:
    """One of the seven: Marketo's field and the Salesforce field it goes into."""

    marketo: str
    salesforce: str
    type: str
    length: int
    scale: int


def salesforce_names(prefix: str) -> frozenset[str]:
    """The seven Salesforce field names in this namespace."""
    return frozenset(prefix + name for name in MSI_FIELDS.values())


def marketo_names(known: Mapping[str, object], relative_score: str) -> dict[str, str]:
    """The seven Marketo fields as this instance spells them: our name → its name; those it does not have are left out.

    `relative_score` overrides the search for the field that Adobe's pages spell in two ways.
    """
    by_lower = {name.lower(): name for name in known}
    spelled = {ours: by_lower[ours.lower()] for ours in MSI_FIELDS if ours.lower() in by_lower}
    wanted = (relative_score,) if relative_score else RELATIVE_SCORE_SPELLINGS
    found = next((by_lower[name.lower()] for name in wanted if name.lower() in by_lower), None)
    spelled.pop("relativeScore", None)
    return {**spelled, "relativeScore": found} if found else spelled


def score_fields(marketo: Mapping[str, str], describe: Mapping[str, SalesforceField], prefix: str) -> list[ScoreField]:
    """The fields that exist on both sides and may be written."""
    fields = []
    for ours, theirs in marketo.items():
        found = describe.get(prefix + MSI_FIELDS[ours])
        if found is not None and found.updateable:
            fields.append(ScoreField(theirs, found.name, found.type, found.length, found.scale))
    return fields


def typed(value: Any, score: ScoreField) -> Any:
    """A Marketo value as Salesforce will keep it in this field; None where it is empty or cannot be one."""
    if value is None or value == "":
        return None
    if score.type in {"double", "int", "currency", "percent"}:
        return _number(value, 0 if score.type == "int" else score.scale)
    if score.type in {"datetime", "date"}:
        moment = _moment(value)
        if moment is None or score.type == "date":
            return None if moment is None else moment.date().isoformat()
        return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}.000+0000"
    if isinstance(value, Mapping | list):
        return None
    return _text(str(value), score.length)


def _number(value: Any, scale: int) -> float | None:
    try:
        rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
    except InvalidOperation:
        return None
    number = float(rounded) + 0.0
    return number if abs(number) < LARGEST else None  # what is no number is not smaller either


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: str, length: int) -> str | None:
    """Trimmed as Salesforce does, and no longer than it takes; it counts UTF-16 units, of which an emoji has two."""
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")  # Marketo may cut an emoji in two
    text = whole.replace("\r\n", "\n").replace("\r", "\n").strip()
    while length and len(text.encode("utf-16-le")) // 2 > length:
        text = text[: min(length, len(text) - 1)].rstrip()
    return text or None


def current(lead: Mapping[str, Any], fields: list[ScoreField]) -> dict[str, Any]:
    """A Marketo lead's scores by Salesforce field, typed. What Marketo does not tell of, or not in words, stays as it is."""
    return {
        score.salesforce: typed(lead[score.marketo], score)
        for score in fields
        if score.marketo in lead and not is_illegible(lead[score.marketo], score)
    }


def is_illegible(value: Any, score: ScoreField) -> bool:
    """Whether this is something, and yet nothing that the field can hold."""
    nothing = value is None or (isinstance(value, str) and not value.strip())
    return not nothing and typed(value, score) is None


def intended(values: Mapping[str, Any], written: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known to be written while a write is under way: of its own fields nothing."""
    return {**(written or {}), **dict.fromkeys(values, UNSURE)}


def difference(now: Mapping[str, Any], written: Mapping[str, Any] | None) -> dict[str, Any]:
    """What has to be written: what differs from what was written last; a record never written to gets only what is not empty."""
    known = written or {}
    return {name: value for name, value in now.items() if value != known.get(name)}
