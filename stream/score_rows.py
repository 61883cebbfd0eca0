"""What to do when Salesforce refuses one row of a score write. Pure; a table.

Source: Salesforce, "Status Codes and Error Messages" of the REST and SOAP APIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RowAction = Literal["retry", "stop", "dead"]


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What becomes of a refused row. `counted`: it was the row's own fault, which counts as an attempt."""

    action: RowAction
    cause: str
    cure: str = ""
    counted: bool = False


_GONE = RowOutcome("stop", "the record is gone from Salesforce")
_BUSY = RowOutcome("retry", "the record is locked by another change", "it goes on by itself")
_DENIED = RowOutcome(
    "dead",
    "the integration user may not write this record or one of its MSI fields",
    "give the integration user edit access to the record and its MSI fields, then retry the dead letter",
    counted=True,
)

ROWS: Mapping[str, RowOutcome] = {
    "ENTITY_IS_DELETED": _GONE,
    "INVALID_CROSS_REFERENCE_KEY": _GONE,
    "NOT_FOUND": _GONE,
    "CANNOT_UPDATE_CONVERTED_LEAD": RowOutcome("stop", "the lead is converted; its contact gets the scores"),
    "UNABLE_TO_LOCK_ROW": _BUSY,
    "REQUEST_LIMIT_EXCEEDED": _BUSY,
    "SERVER_UNAVAILABLE": _BUSY,
    "QUERY_TIMEOUT": _BUSY,
    "INSUFFICIENT_ACCESS_OR_READONLY": _DENIED,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _DENIED,
    "INVALID_FIELD_FOR_INSERT_UPDATE": _DENIED,
}

_REFUSED_CAUSE = "Salesforce refuses the write"
_REFUSED_CURE = (
    "look at validation rules, triggers and flows on the object; mend what refuses the write, then retry the dead letter"
)


def judge_row(code: str, *, attempt: int, max_attempts: int) -> RowOutcome:
    """What to do with a refused row; `attempt` counts this refusal in. An unknown code is tried a bounded number of times."""
    known = ROWS.get(code)
    if known is not None:
        return known
    action: RowAction = "dead" if attempt >= max_attempts else "retry"
    return RowOutcome(action, _REFUSED_CAUSE, _REFUSED_CURE, counted=True)
