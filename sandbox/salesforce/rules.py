"""The rules of single objects: required fields, what is reckoned from other fields, converted leads, scripted refusals."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.values import Row, Value

MESSAGES = {
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of this org refuses the record",
    "DUPLICATES_DETECTED": "Use one of these records?",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What a sales stage means for an opportunity."""

    probability: float
    forecast: str
    forecast_name: str
    closed: bool = False
    won: bool = False


STAGES = {
    "Prospecting": Stage(10.0, "Pipeline", "Pipeline"),
    "Qualification": Stage(10.0, "Pipeline", "Pipeline"),
    "Needs Analysis": Stage(20.0, "Pipeline", "Pipeline"),
    "Value Proposition": Stage(50.0, "Pipeline", "Pipeline"),
    "Proposal/Price Quote": Stage(75.0, "BestCase", "Best Case"),
    "Negotiation/Review": Stage(90.0, "Forecast", "Commit"),
    "Closed Won": Stage(100.0, "Closed", "Closed", closed=True, won=True),
    "Closed Lost": Stage(0.0, "Omitted", "Omitted", closed=True),
}


def missing_required(kind: ObjectType, row: Row) -> None:
    """Refuse a row that lacks a required field."""
    person = kind.name == "Account" and (row.get("LastName") is not None or row.get("IsPersonAccount"))
    required = [f.name for f in kind.fields.values() if f.required]
    if person:
        required[required.index("Name")] = "LastName"
    missing = tuple(name for name in required if row.get(name) is None)
    if missing:
        raise Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)


def check_lead(kind: ObjectType, row: Row, by: Caller | None) -> None:
    """A converted lead takes no more updates from the API."""
    if kind.name == "Lead" and row.get("IsConverted") and by is not None:
        raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")


def derived(kind: ObjectType, row: Row, given: Row) -> Row:
    """The row with everything Salesforce reckons when it is saved."""
    if kind.name == "Opportunity":
        return row | _opportunity(row, given)
    return row


def _opportunity(row: Row, given: Row) -> Row:
    stage = STAGES.get(str(row["StageName"]), STAGES["Prospecting"])
    made: Row = {"IsClosed": stage.closed, "IsWon": stage.won, "ForecastCategory": stage.forecast}
    if "StageName" in given or row.get("Probability") is None:
        made["Probability"] = given.get("Probability", stage.probability)
        made["ForecastCategoryName"] = given.get("ForecastCategoryName", stage.forecast_name)
    amount, probability = row.get("Amount"), made.get("Probability", row.get("Probability"))
    if isinstance(amount, float) and isinstance(probability, float):
        made["ExpectedRevenue"] = round(amount * probability / 100, 2)
    else:
        made["ExpectedRevenue"] = None
    close = row["CloseDate"]
    if isinstance(close, dt.date):
        quarter = (close.month + 2) // 3
        made |= {"Fiscal": f"{close.year} {quarter}", "FiscalYear": close.year, "FiscalQuarter": quarter}
    return made


def shown_value(kind: ObjectType, row: Row, field: Field) -> Value | dict[str, Any]:
    """A field's value as queries show it; names and addresses are put together from their parts."""
    if field.type == "address":
        return _address(kind, row, field.name)
    if field.name == "Name" and row.get("LastName") is not None:
        return " ".join(str(row[part]) for part in ("FirstName", "MiddleName", "LastName") if row.get(part)) or None
    return row.get(field.name)


def _address(kind: ObjectType, row: Row, compound: str) -> dict[str, Any] | None:
    parts = {f.part: row.get(f.name) for f in kind.fields.values() if f.compound == compound}
    if not any(parts.values()):
        return None
    lower: dict[str, Any] = {name[0].lower() + name[1:]: value for name, value in parts.items()}
    return lower | {"geocodeAccuracy": None, "latitude": None, "longitude": None}


@dataclass(slots=True)
class _RowFault:
    refusal: Refused
    left: int | None


class RowFaults:
    """Refusals scripted for single records."""

    def __init__(self) -> None:
        self._faults: dict[str, list[_RowFault]] = {}

    def add(
        self,
        record_id: str,
        code: str,
        message: str = "",
        fields: tuple[str, ...] = (),
        times: int | None = 1,
    ) -> None:
        """Refuse the next `times` API writes of this record (None: all of them) with this code."""
        refusal = Refused(code, message or MESSAGES.get(code, code), fields)
        self._faults.setdefault(record_id, []).append(_RowFault(refusal, times))

    def clear(self) -> None:
        """Forget all of them."""
        self._faults.clear()

    def check(self, record_id: str, by: Caller | None) -> None:
        """Raise what is scripted for this record; only API writes meet it."""
        if by is None:
            return
        for fault in self._faults.get(record_id, []):
            if fault.left == 0 or (fault.refusal.code == "DUPLICATES_DETECTED" and by.allow_duplicates):
                continue
            if fault.left is not None:
                fault.left -= 1
            refusal = fault.refusal
            raise Refused(refusal.code, refusal.message, refusal.fields, refusal.status)
