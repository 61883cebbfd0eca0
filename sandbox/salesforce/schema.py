"""The objects and fields of the simulated org: those of a standard org that Marketo cares for, and the MSI fields.

A field's `in_events` is false where Change Data Capture never carries it (SystemModstamp, IsDeleted, MasterRecordId and values
that are reckoned when read, such as Fiscal): whoever needs it has to read the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

FieldType = Literal[
    "id", "reference", "string", "textarea", "email", "phone", "url", "picklist", "boolean", "int", "double", "currency",
    "percent", "date", "datetime", "address",
]  # fmt: skip
TEXT_TYPES = frozenset({"string", "textarea", "email", "phone", "url", "picklist"})
NUMBER_TYPES = frozenset({"double", "currency", "percent"})
LONG_TEXT = 255


@dataclass(frozen=True, slots=True)
class Field:
    """One field as describe shows it, with what the simulator needs to know about it."""

    name: str
    type: FieldType
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    writable: bool = True
    creatable: bool = True
    nillable: bool = True
    in_events: bool = True
    compound: str = ""
    refers_to: tuple[str, ...] = ()
    relationship: str = ""
    default: str | bool | None = None
    mirrors: str = ""  # on a person account: the contact's field that it shows

    @property
    def event_path(self) -> str:
        """How changedFields spells it: dotted and short inside a compound (`Name.FirstName`, `MailingAddress.City`)."""
        return f"{self.compound}.{self.part}" if self.compound else self.name

    @property
    def part(self) -> str:
        """Its short name inside its compound: MailingCity is `City` of MailingAddress."""
        lead = self.compound.removesuffix("Address") if self.compound.endswith("Address") else ""
        return self.name.removeprefix(lead)

    @property
    def filterable(self) -> bool:
        """Whether WHERE and ORDER BY may name it: long text and compounds may not be."""
        return self.type != "address" and not (self.type == "textarea" and self.length > LONG_TEXT)


@dataclass(frozen=True, slots=True)
class ObjectType:
    """One object: its fields by name, and whether Change Data Capture can be asked for it."""

    name: str
    label: str
    fields: dict[str, Field] = field(default_factory=dict)
    capturable: bool = True
    deletable: bool = True
    compounds: tuple[str, ...] = ()

    def find(self, name: str) -> Field | None:
        """A field by its name, case aside, as SOQL and REST find it."""
        if name in self.fields:
            return self.fields[name]
        lower = name.lower()
        return next((f for f in self.fields.values() if f.name.lower() == lower), None)


def _text(name: str, length: int, **more: bool | str) -> Field:
    return replace(Field(name, "string", length=length), **more)  # type: ignore[arg-type]


def _ref(name: str, to: str | tuple[str, ...], relationship: str = "", **more: bool) -> Field:
    targets = (to,) if isinstance(to, str) else to
    relation = relationship or name.removesuffix("Id")
    return replace(Field(name, "reference", length=18, refers_to=targets, relationship=relation), **more)  # type: ignore[arg-type]


def _flag(name: str, *, writable: bool = True) -> Field:
    return Field(name, "boolean", default=False, nillable=False, writable=writable, creatable=writable)


def _fixed(name: str, kind: FieldType, **more: bool | int) -> Field:
    return replace(Field(name, kind, writable=False, creatable=False), **more)  # type: ignore[arg-type]


def _address(prefix: str) -> list[Field]:
    compound = f"{prefix}Address"
    parts = [("Street", "textarea", 255), ("City", "string", 40), ("State", "string", 80), ("PostalCode", "string", 20)]
    fields = [Field(f"{prefix}{part}", kind, length=size, compound=compound) for part, kind, size in parts]  # type: ignore[arg-type]
    fields.append(Field(f"{prefix}Country", "string", length=80, compound=compound))
    return [*fields, _fixed(compound, "address", in_events=False)]


def _person_name(*, salutation: bool = True, required: bool = True) -> list[Field]:
    parts = [Field("Salutation", "picklist", length=40, compound="Name")] if salutation else []
    return [
        *parts,
        _text("FirstName", 40, compound="Name"),
        _text("MiddleName", 40, compound="Name"),
        _text("LastName", 80, compound="Name", required=required, nillable=False),
        replace(_fixed("Name", "string", in_events=False), length=121),
    ]


def _audit(*, deletable: bool = True) -> list[Field]:
    fields = [
        Field("Id", "id", length=18, writable=False, creatable=False, nillable=False, in_events=False),
        _fixed("CreatedDate", "datetime", nillable=False),
        _ref("CreatedById", "User", writable=False, creatable=False, nillable=False),
        _fixed("LastModifiedDate", "datetime", nillable=False),
        _ref("LastModifiedById", "User", writable=False, creatable=False, nillable=False),
        _fixed("SystemModstamp", "datetime", nillable=False, in_events=False),
    ]
    if deletable:
        fields.append(replace(_fixed("IsDeleted", "boolean", nillable=False, in_events=False), default=False))
    return fields


def _master(obj: str) -> Field:
    return _ref("MasterRecordId", obj, writable=False, creatable=False, in_events=False)


def msi_fields(prefix: str) -> list[Field]:
    """The seven Marketo Sales Insight fields, with the namespace of the package (`mkto_si__`) or without one."""
    return [
        _text(f"{prefix}Last_Interesting_Moment_Type__c", 100),
        Field(f"{prefix}Last_Interesting_Moment_Date__c", "datetime"),
        Field(f"{prefix}Last_Interesting_Moment_Desc__c", "textarea", length=255),
        _text(f"{prefix}Last_Interesting_Moment_Source__c", 100),
        Field(f"{prefix}Priority__c", "double", precision=18, scale=0),
        Field(f"{prefix}Urgency_Value__c", "double", precision=4, scale=0),
        Field(f"{prefix}Relative_Score_Value__c", "double", precision=4, scale=0),
    ]


def _object(name: str, label: str, fields: Iterable[Field], *, capturable: bool = True, deletable: bool = True) -> ObjectType:
    by_name = {f.name: f for f in [*_audit(deletable=deletable), *fields]}
    compounds = tuple(dict.fromkeys(f.compound for f in by_name.values() if f.compound))
    return ObjectType(name, label, by_name, capturable=capturable, deletable=deletable, compounds=compounds)


def _user() -> ObjectType:
    return _object(
        "User",
        "User",
        [
            _text("Username", 80, required=True, nillable=False),
            *_person_name(salutation=False),
            Field("Email", "email", length=128, required=True, nillable=False),
            Field("Phone", "phone", length=40),
            Field("MobilePhone", "phone", length=40),
            _text("Title", 80),
            _text("Department", 80),
            replace(_flag("IsActive"), default=True),
            replace(_fixed("UserType", "picklist"), length=40, default="Standard"),
            *_address(""),
        ],
        deletable=False,
    )


def _account() -> ObjectType:
    return _object(
        "Account",
        "Account",
        [
            _master("Account"),
            _text("Name", 255, required=True, nillable=False),
            _ref("OwnerId", "User", nillable=False),
            _ref("ParentId", "Account"),
            Field("Type", "picklist", length=255),
            _text("Site", 80),
            Field("Website", "url", length=255),
            Field("Phone", "phone", length=40),
            Field("Fax", "phone", length=40),
            Field("AnnualRevenue", "currency", precision=18, scale=0),
            Field("Industry", "picklist", length=255),
            Field("NumberOfEmployees", "int", precision=8),
            _text("Sic", 20),
            Field("Description", "textarea", length=32000),
            _fixed("LastActivityDate", "date", in_events=False),
            *_address("Billing"),
            *_address("Shipping"),
        ],
    )


def _person(prefix: str) -> list[Field]:
    return [
        *_person_name(),
        _text("Title", 128),
        Field("Email", "email", length=80),
        Field("Phone", "phone", length=40),
        Field("MobilePhone", "phone", length=40),
        Field("Fax", "phone", length=40),
        _flag("HasOptedOutOfEmail"),
        _flag("DoNotCall"),
        Field("LeadSource", "picklist", length=255),
        Field("Description", "textarea", length=32000),
        _fixed("LastActivityDate", "date", in_events=False),
        _flag("Sync_to_Marketo__c"),
        _text("Region__c", 40),
        *msi_fields(prefix),
    ]


def _contact(prefix: str) -> ObjectType:
    fields = [
        _master("Contact"),
        _ref("OwnerId", "User", nillable=False),
        _ref("AccountId", "Account"),
        *_person(prefix),
        Field("Birthdate", "date"),
        _text("Department", 80),
        *_address("Mailing"),
        *_address("Other"),
    ]
    return _object("Contact", "Contact", fields)


def _lead(prefix: str) -> ObjectType:
    fields = [
        _master("Lead"),
        _ref("OwnerId", ("Group", "User"), nillable=False),
        *_person(prefix),
        _text("Company", 255, required=True, nillable=False),
        replace(Field("Status", "picklist", length=255, nillable=False), default="Open - Not Contacted"),
        Field("Rating", "picklist", length=255),
        Field("Industry", "picklist", length=255),
        Field("Website", "url", length=255),
        *_address(""),
        _flag("IsConverted", writable=False),
        _fixed("ConvertedDate", "date"),
        _ref("ConvertedAccountId", "Account", writable=False, creatable=False),
        _ref("ConvertedContactId", "Contact", writable=False, creatable=False),
        _ref("ConvertedOpportunityId", "Opportunity", writable=False, creatable=False),
    ]
    return _object("Lead", "Lead", fields)


def _opportunity() -> ObjectType:
    fields = [
        _ref("OwnerId", "User", nillable=False),
        _ref("AccountId", "Account"),
        _text("Name", 120, required=True, nillable=False),
        Field("Description", "textarea", length=32000),
        Field("Type", "picklist", length=255),
        Field("StageName", "picklist", length=255, required=True, nillable=False),
        Field("Amount", "currency", precision=18, scale=2),
        Field("Probability", "percent", precision=3, scale=0),
        _fixed("ExpectedRevenue", "currency", precision=18, scale=2),
        Field("TotalOpportunityQuantity", "double", precision=18, scale=2),
        Field("CloseDate", "date", required=True, nillable=False),
        _text("NextStep", 255),
        Field("LeadSource", "picklist", length=255),
        replace(_fixed("IsClosed", "boolean", nillable=False), default=False),
        replace(_fixed("IsWon", "boolean", nillable=False), default=False),
        _fixed("ForecastCategory", "picklist", length=40, nillable=False),
        Field("ForecastCategoryName", "picklist", length=255),
        _fixed("Fiscal", "string", length=6, in_events=False),
        _fixed("FiscalYear", "int", precision=4, in_events=False),
        _fixed("FiscalQuarter", "int", precision=4, in_events=False),
        _fixed("LastActivityDate", "date", in_events=False),
    ]
    return _object("Opportunity", "Opportunity", fields)


def _role() -> ObjectType:
    fields = [
        replace(_ref("OpportunityId", "Opportunity", nillable=False), required=True, writable=False),
        replace(_ref("ContactId", "Contact", nillable=False), required=True),
        Field("Role", "picklist", length=40),
        _flag("IsPrimary"),
    ]
    return _object("OpportunityContactRole", "Opportunity Contact Role", fields)


def _group() -> ObjectType:
    fields = [
        _text("Name", 40, required=True, nillable=False),
        _text("DeveloperName", 80),
        Field("Type", "picklist", length=40, default="Queue"),
        Field("Email", "email", length=255),
    ]
    return _object("Group", "Group", fields, capturable=False, deletable=False)


def standard_schema(msi_prefix: str = "mkto_si__") -> dict[str, ObjectType]:
    """All objects of a fresh org, by name."""
    objects = [_user(), _account(), _contact(msi_prefix), _lead(msi_prefix), _opportunity(), _role(), _group()]
    return {obj.name: obj for obj in objects}
