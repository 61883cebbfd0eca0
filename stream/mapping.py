"""Which Salesforce field goes into which Marketo field, and how a value is turned. Pure.

The built-in mapping names standard fields on both sides; `bind` narrows it to what the instance's describe knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from store.model import REF_OBJECT, ObjectName, Ref, Side
from stream.conversions import ConversionError, FieldRule, Policy, constants
from stream.filters import RecordFilter

PERSON = {
    "Salutation": "salutation",
    "FirstName": "firstName",
    "MiddleName": "middleName",
    "LastName": "lastName",
    "Title": "title",
    "Email": "email",
    "Phone": "phone",
    "MobilePhone": "mobilePhone",
    "Fax": "fax",
    "HasOptedOutOfEmail": "unsubscribed",
    "DoNotCall": "doNotCall",
    "LeadSource": "leadSource",
    "Description": "mktoPersonNotes",
}

BUILT_IN: Mapping[ObjectName, Mapping[str, str]] = {
    "User": {
        "Email": "email",
        "FirstName": "firstName",
        "LastName": "lastName",
        "Phone": "phone",
        "MobilePhone": "mobilePhone",
        "Title": "title",
    },
    "Account": {
        "Name": "company",
        "Site": "site",
        "Website": "website",
        "Phone": "mainPhone",
        "AnnualRevenue": "annualRevenue",
        "Industry": "industry",
        "NumberOfEmployees": "numberOfEmployees",
        "Sic": "sicCode",
        "BillingStreet": "billingStreet",
        "BillingCity": "billingCity",
        "BillingState": "billingState",
        "BillingPostalCode": "billingPostalCode",
        "BillingCountry": "billingCountry",
    },
    "Contact": {
        **PERSON,
        "Birthdate": "dateOfBirth",
        "Department": "department",
        "MailingStreet": "address",
        "MailingCity": "city",
        "MailingState": "state",
        "MailingPostalCode": "postalCode",
        "MailingCountry": "country",
    },
    "Lead": {
        **PERSON,
        "Status": "leadStatus",
        "Rating": "rating",
        "Street": "address",
        "City": "city",
        "State": "state",
        "PostalCode": "postalCode",
        "Country": "country",
    },
    "Opportunity": {
        "Name": "name",
        "Description": "description",
        "Type": "type",
        "StageName": "stage",
        "Amount": "amount",
        "ExpectedRevenue": "expectedRevenue",
        "CloseDate": "closeDate",
        "Probability": "probability",
        "IsClosed": "isClosed",
        "IsWon": "isWon",
        "NextStep": "nextStep",
        "ForecastCategory": "forecastCategory",
        "ForecastCategoryName": "forecastCategoryName",
        "Fiscal": "fiscal",
        "FiscalYear": "fiscalYear",
        "FiscalQuarter": "fiscalQuarter",
        "LastActivityDate": "lastActivityDate",
        "TotalOpportunityQuantity": "quantity",
        "LeadSource": "leadSource",
        "CreatedDate": "externalCreatedDate",
    },
    "OpportunityContactRole": {"IsPrimary": "isPrimary", "CreatedDate": "externalCreatedDate"},
}

EXTERNAL_ID: Mapping[ObjectName, str] = {
    "User": "externalSalesPersonId",
    "Account": "externalCompanyId",
    "Contact": "externalPersonId",
    "Lead": "externalPersonId",
    "Opportunity": "externalOpportunityId",
}
"""The Marketo field that carries the record's own Salesforce id (a role has none: its key is opportunity, person, role)."""

REF_FIELD: Mapping[Ref, str] = {
    "owner": "OwnerId",
    "account": "AccountId",
    "opportunity": "OpportunityId",
    "contact": "ContactId",
}
"""The Salesforce field behind each relation."""

REFS_OF: Mapping[ObjectName, tuple[Ref, ...]] = {
    "User": (),
    "Account": ("owner",),
    "Contact": ("owner", "account"),
    "Lead": ("owner",),
    "Opportunity": ("owner", "account"),
    "OpportunityContactRole": ("opportunity", "contact"),
}

NEEDED: Mapping[ObjectName, tuple[str, ...]] = {
    "User": ("UserType", "IsActive"),
    "Account": ("OwnerId",),
    "Contact": ("OwnerId",),
    "Lead": ("OwnerId",),
    "Opportunity": ("OwnerId", "Name"),
    "OpportunityContactRole": ("OpportunityId", "ContactId"),
}
"""Fields without which a created record cannot go out straight from its event."""

DERIVED: Mapping[ObjectName, Mapping[str, tuple[str, ...]]] = {
    "Opportunity": {
        "CloseDate": ("Fiscal", "FiscalYear", "FiscalQuarter"),
        "StageName": ("IsClosed", "IsWon", "ForecastCategory", "ForecastCategoryName"),
        "Amount": ("ExpectedRevenue",),
    },
    "OpportunityContactRole": {"ContactId": ("IsPrimary",)},
    "Account": dict.fromkeys(("FirstName", "MiddleName", "LastName", "Suffix"), ("Name",)),  # a person's Name comes in parts
}
"""Field → fields that follow from it and that an event may leave out (derived values are no part of change events): where the
field changed and none of those came with it, the record is read. Source: Salesforce, StandardObjectNameChangeEvent."""

CONTROL: Mapping[ObjectName, tuple[str, ...]] = {
    "User": ("UserType", "IsActive"),
    "Account": (),
    "Contact": (),
    "Lead": ("IsConverted", "ConvertedContactId"),
    "Opportunity": (),
    "OpportunityContactRole": ("Role",),
}
"""Fields that are not sent as they are, but decide what is done."""

READ_ONLY = frozenset(
    {
        "leadScore",
        "priority",
        "relativeUrgency",
        "urgency",
        "relativeScore",
        "relativeScoring",
        "msiLastInterestingMomentType",
        "msiLastInterestingMomentDate",
        "msiLastInterestingMomentDesc",
        "msiLastInterestingMomentSource",
    }
)
"""Marketo fields that belong to Marketo: never sent."""

_READ_ONLY = frozenset(name.lower() for name in READ_ONLY)

LENGTHS: Mapping[tuple[ObjectName, str], int] = {("Opportunity", "description"): 2000, ("OpportunityContactRole", "role"): 50}
TEXT_LENGTH = 255  # what Marketo takes where the describe gives no length

COMBINATIONS_KEPT = 1024  # of fields that changed together
TRUE_ONLY = frozenset({"unsubscribed"})


class MarketoField(Protocol):
    """What the mapping has to know of a field in Marketo's describe."""

    @property
    def name(self) -> str:
        """Its API name."""
        ...

    @property
    def data_type(self) -> str:
        """Marketo's dataType: string, text, email, integer, float, currency, percent, boolean, date, datetime, …."""
        ...

    @property
    def length(self) -> int | None:
        """Its length in characters, where it has one."""
        ...

    @property
    def updateable(self) -> bool:
        """Whether the API may write it."""
        ...


class ValueRefusedError(ValueError):
    """A value that Marketo would not take in this field; the text says why, without the value."""


@dataclass(frozen=True, slots=True)
class Target:
    """One Marketo field that a Salesforce field goes into, and by which rule of the user's own, if by one."""

    name: str
    data_type: str
    length: int
    rule: FieldRule | None = None
    takes_text: bool = field(init=False, compare=False, repr=False)
    """Whether a text that is short enough is sent as it is, always."""

    def __post_init__(self) -> None:
        """Look once."""
        typed = (
            self.data_type in {"boolean", "date", "datetime", "email"} or self.data_type in NUMERIC or self.data_type in DECIMAL
        )
        object.__setattr__(self, "takes_text", not typed and self.rule is None and self.name not in TRUE_ONLY)

    @property
    def policy(self) -> Policy:
        """When it is sent."""
        if self.name in TRUE_ONLY and (self.rule is None or self.rule.policy == "always"):
            return "true_only"
        return self.rule.policy if self.rule is not None else "always"

    @property
    def signature(self) -> str:
        """A text that is another one where the field is filled otherwise."""
        return self.name if self.rule is None or self.rule.is_plain else f"{self.name} {self.rule.signature}"


@dataclass(frozen=True, slots=True)
class ObjectMapping:
    """One object's fields: Salesforce field → target. `known` are all fields the Marketo object has, keys among them."""

    targets: Mapping[str, Target]
    known: frozenset[str]
    missing: tuple[str, ...] = ()
    if_empty: frozenset[str] = field(init=False)
    """The Marketo fields that are filled only where they are empty."""
    _touched: dict[tuple[str, ...], Sequence[tuple[str, Target]]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Look once which those are."""
        names = frozenset(target.name for target in self.targets.values() if target.policy == "if_empty")
        object.__setattr__(self, "if_empty", names)

    def touched(self, sources: Iterable[str]) -> Sequence[tuple[str, Target]]:
        """The targets of these Salesforce fields, in the mapping's order. Many changes are of the same few fields."""
        names = tuple(sources)
        found = self._touched.get(names)
        if found is None:
            if len(self._touched) >= COMBINATIONS_KEPT:
                self._touched.clear()
            asked = frozenset(names)
            found = [(source, target) for source, target in self.targets.items() if source in asked]
            self._touched[names] = found
        return found

    def names_of(self, sources: Iterable[str]) -> frozenset[str]:
        """The Marketo fields of these Salesforce fields."""
        return frozenset(self.targets[source].name for source in sources if source in self.targets)

    def takes(self, marketo_field: str) -> bool:
        """Whether the Marketo object has this field."""
        return marketo_field in self.known


def wanted(obj: ObjectName, own: Mapping[str, str], *, lead_company: bool = False) -> dict[str, str]:
    """The built-in mapping of an object with the configuration's own fields over it, also where they go into the same."""
    taken = {target.lower() for target in own.values()}
    fields = {source: target for source, target in BUILT_IN[obj].items() if target.lower() not in taken}
    if obj == "Lead" and lead_company:
        fields["Company"] = "company"
    fields.update(own)
    return {source: target for source, target in fields.items() if target and target not in READ_ONLY}


def bind(
    obj: ObjectName,
    fields: Mapping[str, str],
    describe: Mapping[str, MarketoField],
    rules: Mapping[str, FieldRule] | None = None,
) -> ObjectMapping:
    """The mapping narrowed to what Marketo's describe knows and lets be written; the rest is in `missing`."""
    by_name = {name.lower(): found for name, found in describe.items()}
    targets: dict[str, Target] = {}
    missing: list[str] = []
    for source, wanted_name in fields.items():
        found = by_name.get(wanted_name.lower())
        # The describe calls a sales person's email not updateable; it is tried all the same (Adobe, MSI non-native).
        if (
            found is None
            or found.name.lower() in _READ_ONLY
            or not (found.updateable or (obj == "User" and found.name == "email"))
        ):
            missing.append(wanted_name)
            continue
        length = min(found.length or TEXT_LENGTH, LENGTHS.get((obj, found.name), found.length or TEXT_LENGTH))
        targets[source] = Target(found.name, found.data_type.lower(), length, (rules or {}).get(source))
    return ObjectMapping(targets, frozenset(describe), tuple(sorted(missing)))


EVERYTHING = RecordFilter()


@dataclass(frozen=True, slots=True)
class SourceFields:
    """The Salesforce side of the mapping: which fields of each object matter, known before Marketo has been asked.

    `filters` decide which records are synced; users have rules of their own.
    """

    by_object: Mapping[ObjectName, frozenset[str]]
    filters: Mapping[ObjectName, RecordFilter] = field(default_factory=dict)

    def of(self, obj: ObjectName) -> frozenset[str]:
        """All Salesforce fields of the object that are mapped, name a relation, or decide something; constants among them."""
        return self.by_object[obj]

    def constants(self, obj: ObjectName) -> Mapping[str, str]:
        """What every record of the object has, whatever Salesforce says."""
        return constants(self.by_object[obj])

    def filter_of(self, obj: ObjectName) -> RecordFilter:
        """The object's filter; users are judged when they are sent, by who they own something for."""
        return self.filters.get(obj, EVERYTHING) if obj != "User" else EVERYTHING

    def side(self, obj: ObjectName, told: Mapping[str, Any], untold: Collection[str] = (), *, whole: bool = False) -> Side:
        """What these fields say of the record's filter. A converted lead is none to be filtered: its person is the contact's.

        A contact role is outside, too, while what it cannot be without is: another opportunity or contact may let it in.
        """
        if obj == "Lead" and told.get("IsConverted") is True:
            return "in" if whole else "perhaps"
        found = self.filter_of(obj).side(told, untold, whole=whole)
        if whole:
            return found
        names = {"OpportunityId", "ContactId"} if obj == "OpportunityContactRole" and found == "same" else set()
        return found if names.isdisjoint(told) and names.isdisjoint(untold) else "perhaps"


def source_fields(obj: ObjectName, mapped: Mapping[str, str], extra: frozenset[str] | None = None) -> frozenset[str]:
    """The fields of one object that matter: mapped ones, relations, what decides something, and `extra` (its filter's)."""
    refs = {REF_FIELD[ref] for ref in REFS_OF[obj]}
    return frozenset(mapped) | refs | frozenset(CONTROL[obj]) | (extra or frozenset())


def ref_object(ref: Ref) -> ObjectName:
    """The object that a relation points to."""
    return REF_OBJECT[ref]


MOST_WHOLE = 2**63
NUMERIC = frozenset({"integer", "score"})
DECIMAL = frozenset({"float", "currency", "percent", "double"})
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})?")


def convert(value: Any, target: Target) -> Any:
    """A Salesforce value as Marketo takes it in this field; raises ValueRefusedError. None stays None."""
    if target.rule is not None:
        try:
            value = target.rule.apply(value)
        except ConversionError as error:
            raise ValueRefusedError(f"{target.name}: {error}") from error
    if value is None:
        return None
    if target.data_type == "boolean":
        return _boolean(value, target)
    if target.data_type in NUMERIC or target.data_type in DECIMAL:
        number = _number(value, target)
        return _whole(number, target) if target.data_type in NUMERIC else number
    if target.data_type == "date":
        return _date(value, target)
    if target.data_type == "datetime":
        return _datetime(value, target)
    return _text(value, target)


def _boolean(value: Any, target: Target) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise ValueRefusedError(f"{target.name} is a boolean in Marketo, the value in Salesforce is none")


def _number(value: Any, target: Target) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueRefusedError(f"{target.name} is a number in Marketo, the value in Salesforce is none")
    return number


def _whole(number: float, target: Target) -> int:
    if abs(number) >= MOST_WHOLE:
        raise ValueRefusedError(f"{target.name} is a whole number in Marketo, the value in Salesforce is too large for it")
    return round(number)


def _date(value: Any, target: Target) -> str:
    if isinstance(value, str) and re.match(r"\d{4}-\d{2}-\d{2}", value):
        return value[:10]
    raise ValueRefusedError(f"{target.name} is a date in Marketo, the value in Salesforce is none")


def _datetime(value: Any, target: Target) -> str:
    """`YYYY-MM-DDThh:mm:ss+00:00`, Adobe's own form, from either of Salesforce's two."""
    text = f"{value}T00:00:00Z" if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else value
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueRefusedError(f"{target.name} is a datetime in Marketo, the value in Salesforce is none")
    zone = found[2] or "Z"
    try:
        moment = datetime.fromisoformat(found[1] + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueRefusedError(
            f"{target.name} is a datetime in Marketo, the value in Salesforce is no moment there is"
        ) from error
    return moment.isoformat()


def _text(value: Any, target: Target) -> str:
    if isinstance(value, Mapping | list):
        raise ValueRefusedError(f"{target.name} is a text in Marketo, the value in Salesforce has parts")
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        text = str(int(value))
    else:
        text = str(value)
    if target.data_type == "email":
        if not text.isascii():
            raise ValueRefusedError(f"{target.name} has characters outside ASCII, which Marketo refuses")
        if len(text) > target.length:
            raise ValueRefusedError(f"{target.name} is longer than the {target.length} characters Marketo takes")
        return text
    return text[: target.length]
