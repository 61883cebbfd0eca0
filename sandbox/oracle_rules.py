"""What ought to be in Marketo for what is in Salesforce, written down a second time: the oracle shares no line with the daemon.

The tables follow the fields that a non-native Sales Insight sync must send, and those it gets back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, Protocol

Row = Mapping[str, Any]
Fate = Literal["delete", "keep"]
Object = Literal["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]


class Org(Protocol):
    """What the oracle needs of a Salesforce org: flat records, datetimes as ISO text, `IsDeleted` on those in the recycle bin."""

    def records(self, obj: str, *, deleted: bool = False) -> Sequence[Row]:
        """The living records of an object; with `deleted`, those in the recycle bin too."""
        ...


def _same(*names: str, **others: str) -> dict[str, str]:
    return {**{name: name[0].lower() + name[1:] for name in names}, **others}


def _address(there: str, here: str) -> dict[str, str]:
    parts = ("City", "State", "PostalCode", "Country")
    if here:
        return {f"{there}{part}": f"{here}{part}" for part in ("Street", *parts)}
    return {f"{there}Street": "address", **{f"{there}{part}": part[0].lower() + part[1:] for part in parts}}


PERSON: Final = _same(
    "Salutation",
    "FirstName",
    "MiddleName",
    "LastName",
    "Title",
    "Email",
    "Phone",
    "MobilePhone",
    "Fax",
    "DoNotCall",
    "LeadSource",
    HasOptedOutOfEmail="unsubscribed",
    Description="mktoPersonNotes",
)
FIELDS: Final[dict[str, dict[str, str]]] = {
    "User": _same("Email", "FirstName", "LastName", "Phone", "MobilePhone", "Title"),
    "Account": {
        **_same("Site", "Website", "AnnualRevenue", "Industry", "NumberOfEmployees"),
        **_address("Billing", "billing"),
        "Name": "company",
        "Phone": "mainPhone",
        "Sic": "sicCode",
    },
    "Contact": {**PERSON, **_same("Department", Birthdate="dateOfBirth"), **_address("Mailing", "")},
    "Lead": {**PERSON, **_same("Rating", Status="leadStatus"), **_address("", "")},
    "Opportunity": _same(
        "Name",
        "Description",
        "Type",
        "Amount",
        "ExpectedRevenue",
        "CloseDate",
        "Probability",
        "IsClosed",
        "IsWon",
        "NextStep",
        "ForecastCategory",
        "ForecastCategoryName",
        "Fiscal",
        "FiscalYear",
        "FiscalQuarter",
        "LastActivityDate",
        "LeadSource",
        StageName="stage",
        TotalOpportunityQuantity="quantity",
        CreatedDate="externalCreatedDate",
    ),
    "OpportunityContactRole": _same("IsPrimary", CreatedDate="externalCreatedDate"),
}
SCORES: Final[dict[str, tuple[str, str, int]]] = {
    "Last_Interesting_Moment_Type__c": ("msiLastInterestingMomentType", "text", 100),
    "Last_Interesting_Moment_Date__c": ("msiLastInterestingMomentDate", "datetime", 0),
    "Last_Interesting_Moment_Desc__c": ("msiLastInterestingMomentDesc", "text", 255),
    "Last_Interesting_Moment_Source__c": ("msiLastInterestingMomentSource", "text", 100),
    "Priority__c": ("priority", "number", 0),
    "Urgency_Value__c": ("relativeUrgency", "number", 0),
    "Relative_Score_Value__c": ("relativeScore", "number", 0),
}
"""Salesforce field without its prefix: (Marketo field, type in Salesforce, length of a text)."""


def _default_deletes() -> dict[str, Fate]:
    return {
        "Account": "keep",
        "Contact": "keep",
        "Lead": "keep",
        "Opportunity": "delete",
        "OpportunityContactRole": "delete",
    }


def _default_filters() -> dict[str, Callable[[Row], bool]]:
    return {"User": lambda row: row.get("UserType") == "Standard"}


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide what ought to be, under the names of the configuration, and what a test expects to differ.

    `filters` are predicates over Salesforce records. `excused` holds Salesforce ids that may be missing or wrong (in the dead
    letters). `left` holds those that were inside of their filter once and may stay, where the settings keep what is gone.
    `made` says what a Marketo field must hold that is made of a record by the configuration's own rules, whatever they are.
    `cleared` holds (Salesforce id, Marketo field) that an event cleared. `resends_between` are two
    journal positions between which nothing may be sent that changes nothing.
    """

    shared_email: Literal["share", "duplicate"] = "share"
    merge_people: bool = True
    lead_company: Literal["never", "when_no_account"] = "never"
    deletes: Mapping[str, Fate] = field(default_factory=_default_deletes)
    deleted_field: str = ""
    empty_role: str = "Unspecified"
    field_prefix: str = "mkto_si__"
    filters: Mapping[str, Callable[[Row], bool]] = field(default_factory=_default_filters)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    made: Mapping[str, Mapping[str, Callable[[Row], Any]]] = field(default_factory=dict)
    ignored_fields: Collection[str] = ()
    excused: Collection[str] = ()
    left: Collection[str] = ()
    cleared: Collection[tuple[str, str]] = ()
    violations_allowed: Collection[str] = ()
    resends_between: tuple[int, int] | None = None
    scores: bool = True

    def admits(self, obj: str, row: Row) -> bool:
        """Whether the filter lets a record through."""
        admits = self.filters.get(obj)
        return admits is None or admits(row)

    def stays(self, obj: str, record_id: str) -> bool:
        """Whether a living record that is outside of its filter may be in Marketo all the same."""
        return record_id in self.left and self.deletes.get(obj, "keep") == "keep"

    def mapping(self, obj: str) -> dict[str, str]:
        """Salesforce field → Marketo field, without those to be ignored."""
        both = {**FIELDS[obj], **self.fields.get(obj, {})}
        if obj == "Lead" and self.lead_company == "when_no_account":
            both["Company"] = "company"
        return {there: here for there, here in both.items() if here not in self.ignored_fields}


def same(salesforce: Any, marketo: Any, data_type: str, length: int | None) -> bool:
    """Whether a Salesforce value and the one Marketo keeps are the same, seen through Marketo's type and length."""
    if data_type == "boolean":
        return bool(salesforce) == bool(marketo)
    if empty(salesforce) or empty(marketo):
        return empty(salesforce) and empty(marketo)
    if data_type in {"integer", "float", "currency", "percent", "score"}:
        return math.isclose(float(salesforce), float(marketo), rel_tol=1e-9, abs_tol=1e-9)
    if data_type == "date":
        return str(salesforce)[:10] == str(marketo)[:10]
    if data_type == "datetime":
        return moment(salesforce) == moment(marketo)
    return str(salesforce).strip()[: length or None].strip() == str(marketo).strip()


def same_score(marketo: Any, salesforce: Any, kind: str, length: int) -> bool:
    """Whether a score in Salesforce is the Marketo one in Salesforce's type: cut to its length, rounded to a whole number."""
    if empty(marketo) or empty(salesforce):
        return empty(marketo) and empty(salesforce)
    if kind == "datetime":
        return moment(marketo) == moment(salesforce)
    if kind == "number":
        return whole(marketo) == whole(salesforce)
    return str(marketo).strip()[:length].strip() == str(salesforce).strip()


def empty(value: Any) -> bool:
    """Null and the empty text are the same nothing."""
    return value is None or value == ""


def whole(value: Any) -> int:
    """Rounded as Salesforce rounds."""
    return int(Decimal(str(value)).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def moment(value: Any) -> int:
    """A datetime in any ISO spelling as whole seconds since the epoch."""
    return int(datetime.fromisoformat(str(value)).timestamp())
