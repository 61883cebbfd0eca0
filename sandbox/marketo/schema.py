"""What the simulated Marketo's objects look like: fields with their types, and the keys they are found by.

Names, lengths and key fields follow Adobe's describe examples and its list of standard fields; the seven fields of Marketo Sales
Insight are read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

SALES_PERSON: Final = "salesperson"
COMPANY: Final = "company"
LEAD: Final = "lead"
OPPORTUNITY: Final = "opportunity"
ROLE: Final = "role"

NUMBERS: Final = frozenset({"integer", "float", "currency", "percent", "score"})
TEXTS: Final = frozenset({"string", "text", "email", "phone", "url", "reference"})

COMPANY_FIELDS: Final = (
    "company",
    "site",
    "website",
    "mainPhone",
    "annualRevenue",
    "industry",
    "numberOfEmployees",
    "sicCode",
    "billingStreet",
    "billingCity",
    "billingState",
    "billingPostalCode",
    "billingCountry",
)
RELATIVE_SCORES: Final = ("relativeScore", "relativeScoring")
MSI_FIELDS: Final = (
    "msiLastInterestingMomentType",
    "msiLastInterestingMomentDate",
    "msiLastInterestingMomentDesc",
    "msiLastInterestingMomentSource",
    "priority",
    "relativeUrgency",
    "relativeScore",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a describe. `updateable` False means that the API does not set it, except where it is a dedupe field."""

    name: str
    data_type: str = "string"
    length: int | None = None
    updateable: bool = True
    display_name: str = ""

    def described(self) -> dict[str, Any]:
        """The field as `describe.json` shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "displayName": self.display_name or self.name,
            "dataType": self.data_type,
            "updateable": self.updateable,
            "crmManaged": False,
        }
        if self.length is not None:
            shown["length"] = self.length
        return shown


@dataclass(slots=True)
class Schema:
    """One object: its fields by name, the key fields of an upsert, and what may be a `filterType`."""

    name: str
    display_name: str
    id_field: str
    dedupe_fields: tuple[str, ...]
    searchable: list[list[str]]
    fields: dict[str, Field] = field(default_factory=dict)
    relationships: list[dict[str, Any]] = field(default_factory=list)

    def add(self, *fields: Field) -> None:
        """Add fields, or put others in the place of those with the same name."""
        for one in fields:
            self.fields[one.name] = one

    def is_key(self, name: str) -> bool:
        """Whether the field belongs to the object's own key."""
        return name in self.dedupe_fields or name == self.id_field

    def searchable_names(self) -> set[str]:
        """The fields that may be a `filterType` by themselves."""
        return {names[0] for names in self.searchable if len(names) == 1}


def texts(*names: str, length: int = 255, data_type: str = "string") -> list[Field]:
    """Several text fields of one length."""
    return [Field(name, data_type, length) for name in names]


def fixed(name: str, data_type: str, length: int | None = None) -> Field:
    """A field that the API shows and does not set."""
    return Field(name, data_type, length, updateable=False)


STAMPS: Final = (fixed("createdAt", "datetime"), fixed("updatedAt", "datetime"))


def company_fields() -> list[Field]:
    """The fields of a company, which every lead of that company shows too."""
    return [
        *texts("company", "site", "mainPhone", "industry", "billingStreet", "billingCity", "billingState"),
        *texts("billingPostalCode", "billingCountry"),
        Field("sicCode", "string", 40),
        Field("website", "url", 255),
        Field("annualRevenue", "currency"),
        Field("numberOfEmployees", "integer"),
    ]


def sales_person() -> Schema:
    """Sales persons; the describe calls their email not updateable."""
    schema = Schema(
        "SalesPerson",
        "Sales Person",
        "id",
        ("externalSalesPersonId",),
        [["externalSalesPersonId"], ["id"], ["email"]],
    )
    schema.add(
        fixed("id", "integer"),
        *STAMPS,
        fixed("externalSalesPersonId", "string", 255),
        fixed("email", "string", 255),
        *texts("firstName", "lastName", "title", "department"),
        *texts("phone", "mobilePhone", "fax", data_type="phone"),
    )
    return schema


def company() -> Schema:
    """Companies, keyed by externalCompanyId."""
    schema = Schema("Company", "Company", "id", ("externalCompanyId",), [["externalCompanyId"], ["id"], ["company"]])
    schema.add(fixed("id", "integer"), *STAMPS, fixed("externalCompanyId", "string", 100))
    schema.add(Field("externalSalesPersonId", "string", 255), *company_fields())
    schema.relationships.append(_relation("externalSalesPersonId", "SalesPerson"))
    return schema


def opportunity() -> Schema:
    """Opportunities, keyed by externalOpportunityId; `name` may not be null."""
    schema = Schema(
        "opportunity",
        "Opportunity",
        "marketoGUID",
        ("externalOpportunityId",),
        [["externalOpportunityId"], ["marketoGUID"]],
    )
    schema.add(fixed("marketoGUID", "string", 36), *STAMPS, fixed("externalOpportunityId", "string", 50))
    schema.add(Field("externalCompanyId", "string", 100), Field("externalSalesPersonId", "string", 255))
    schema.add(*texts("name", "type", "stage", "nextStep", "forecastCategory", "forecastCategoryName", "fiscal", "leadSource"))
    schema.add(Field("description", "string", 2000), Field("source", "string", 255))
    schema.add(Field("amount", "currency"), Field("expectedRevenue", "currency"))
    schema.add(Field("probability", "percent"), Field("quantity", "float"))
    schema.add(Field("fiscalYear", "integer"), Field("fiscalQuarter", "integer"))
    schema.add(Field("isClosed", "boolean"), Field("isWon", "boolean"))
    schema.add(Field("closeDate", "date"), Field("lastActivityDate", "date"), Field("externalCreatedDate", "datetime"))
    schema.relationships.append(_relation("externalCompanyId", "Company"))
    schema.relationships.append(_relation("externalSalesPersonId", "SalesPerson"))
    return schema


def role() -> Schema:
    """Opportunity roles, keyed by opportunity, lead and role together."""
    schema = Schema(
        "opportunityRole",
        "Opportunity Role",
        "marketoGUID",
        ("externalOpportunityId", "leadId", "role"),
        [["externalOpportunityId", "leadId", "role"], ["marketoGUID"], ["leadId"], ["externalOpportunityId"]],
    )
    schema.add(fixed("marketoGUID", "string", 36), *STAMPS)
    schema.add(fixed("externalOpportunityId", "string", 50), fixed("leadId", "integer"), fixed("role", "string", 50))
    schema.add(Field("isPrimary", "boolean"), Field("externalCreatedDate", "datetime"))
    schema.relationships.append(_relation("externalOpportunityId", "Opportunity"))
    schema.relationships.append(_relation("leadId", "Lead", "id"))
    return schema


def lead() -> Schema:
    """Leads (people). The seven MSI fields and what Marketo itself keeps are read-only."""
    schema = Schema("API Lead", "Lead", "id", (), [["id"], ["email"], ["externalPersonId"], ["externalSalesPersonId"]])
    schema.searchable += [["externalCompanyId"], ["leadPartitionId"]]
    schema.add(fixed("id", "integer"), *STAMPS, fixed("leadPartitionId", "integer"))
    schema.add(Field("email", "email", 255, display_name="Email Address"))
    schema.add(*texts("externalPersonId", "externalSalesPersonId"), Field("externalCompanyId", "string", 100))
    schema.add(*texts("salutation", "firstName", "middleName", "lastName", "title", "department"))
    schema.add(*texts("phone", "mobilePhone", "fax", data_type="phone"))
    schema.add(*texts("address", data_type="text", length=2000), *texts("city", "state", "postalCode", "country"))
    schema.add(*texts("leadSource", "leadStatus", "rating", "leadRole"))
    schema.add(Field("mktoPersonNotes", "text", 30000), Field("dateOfBirth", "date"))
    schema.add(Field("unsubscribed", "boolean"), Field("doNotCall", "boolean"), Field("leadScore", "score"))
    schema.add(*company_fields())
    schema.add(*msi_fields(), fixed("urgency", "float"))
    return schema


def msi_fields() -> list[Field]:
    """The seven Marketo Sales Insight fields."""
    return [
        fixed("msiLastInterestingMomentType", "string", 255),
        fixed("msiLastInterestingMomentDate", "datetime"),
        fixed("msiLastInterestingMomentDesc", "text", 2000),
        fixed("msiLastInterestingMomentSource", "string", 255),
        Field("priority", "integer", updateable=False, display_name="Engagement"),
        fixed("relativeUrgency", "float"),
        fixed("relativeScore", "float"),
    ]


def _relation(name: str, to: str, field_there: str | None = None) -> dict[str, Any]:
    return {"field": name, "type": "child", "relatedTo": {"name": to, "field": field_there or name}}
