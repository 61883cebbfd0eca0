"""What the simulated Salesforce refuses, in Salesforce's own codes and words."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A row was refused: `errorCode` (in collections `statusCode`), `message` and `fields`, as REST names them."""

    def __init__(self, code: str, message: str, fields: tuple[str, ...] = (), status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.status = status

    def body(self) -> list[dict[str, Any]]:
        """The body of a whole refused request; `fields` stands there only where it names some."""
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields:
            error["fields"] = list(self.fields)
        return [error]

    def row(self) -> dict[str, Any]:
        """The same refusal as one row of an sObject collection's answer."""
        error = {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}
        return {"success": False, "errors": [error]}


class Unreadable(Refused):
    """The request itself could not be read (a wrong JSON type, an unknown column): no row of it is tried."""


def unknown_field(obj: str, name: str) -> Unreadable:
    """A column that does not exist, or that this user may not see: Salesforce does not tell them apart."""
    return Unreadable("INVALID_FIELD", f"No such column '{name}' on sobject of type {obj}")


def entity_deleted() -> Refused:
    """The record lies in the recycle bin."""
    return Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)


def missing_record() -> Refused:
    """No record with that id (or none this user may see)."""
    return Refused("NOT_FOUND", "The requested resource does not exist", status=404)
