"""What the integration user may do, and what the org's setup shows of it and of Change Data Capture, by SOQL.

    UserPermissionAccess                         its own permissions, for everybody
    PermissionSetAssignment, ObjectPermissions   View All of each object; needs View Setup and Configuration
    PlatformEventChannel, …Member (Tooling)      what is selected on which channel; needs it too

Without the permission these objects do not exist for the user, as for any other hidden object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sandbox.salesforce.errors import Refused
from sandbox.salesforce.ids import mint_id
from sandbox.salesforce.publisher import STANDARD, Publisher
from sandbox.salesforce.soql import Comparison, Condition, Junction, Query, malformed

Row = dict[str, Any]
KNOWN = ("ApiEnabled", "ViewSetup", "ViewAllData", "ViewAllUsers", "AllowViewEditConvertedLeads", "ModifyAllData")
"""Permissions that this org knows of; a query for another one is INVALID_FIELD."""

GRANTED = ("ApiEnabled", "ViewSetup", "ViewAllUsers", "AllowViewEditConvertedLeads")
SET_ID = mint_id("0PS", 1)


@dataclass(slots=True)
class Access:
    """The user's permissions, and the objects of which it sees all records. Tests change both at any time."""

    permissions: set[str] = field(
        default_factory=lambda: {"ApiEnabled", "ViewSetup", "ViewAllUsers", "AllowViewEditConvertedLeads"}
    )
    view_all: set[str] = field(default_factory=lambda: {"Account", "Contact", "Lead", "Opportunity"})

    def hears_of(self, obj: str) -> bool:
        """Whether change events of the object come to the user."""
        if obj == "User":
            return "ViewAllUsers" in self.permissions
        return "ViewAllData" in self.permissions or obj in self.view_all


class SetupTables:
    """The objects of the setup as tables."""

    def __init__(self, access: Access, publisher: Publisher, user_id: str) -> None:
        self._access = access
        self._publisher = publisher
        self._user_id = user_id
        self._data: dict[str, Callable[[], list[Row]]] = {
            "UserPermissionAccess": self._own_permissions,
            "PermissionSetAssignment": self._assignments,
            "ObjectPermissions": self._object_permissions,
        }
        self._tooling: dict[str, Callable[[], list[Row]]] = {
            "PlatformEventChannel": self._channels,
            "PlatformEventChannelMember": self._members,
        }

    def has(self, obj: str) -> bool:
        """Whether the object is one of these."""
        return obj in self._data

    def run(self, query: Query, version: str) -> list[Row]:
        """The rows of a query of the data API."""
        return self._run(self._data, query, version)

    def run_tooling(self, query: Query, version: str) -> list[Row]:
        """The rows of a query of the Tooling API."""
        return self._run(self._tooling, query, version)

    def _run(self, tables: dict[str, Callable[[], list[Row]]], query: Query, version: str) -> list[Row]:
        if query.obj not in tables or (query.obj != "UserPermissionAccess" and "ViewSetup" not in self._access.permissions):
            raise Refused("INVALID_TYPE", f"sObject type '{query.obj}' is not supported.")
        rows = tables[query.obj]()
        names = [column.field for column in query.columns]
        for name in names:
            if name not in _columns(query.obj):
                raise Refused("INVALID_FIELD", f"No such column '{name}' on entity '{query.obj}'.")
        kept = [row for row in rows if query.where is None or _holds(query.where, row)]
        url = f"/services/data/v{version}/sobjects/{query.obj}"
        return [{"attributes": {"type": query.obj, "url": url}, **{name: row.get(name) for name in names}} for row in kept]

    def _own_permissions(self) -> list[Row]:
        return [{f"Permissions{name}": name in self._access.permissions for name in KNOWN}]

    def _assignments(self) -> list[Row]:
        return [{"Id": mint_id("0Pa", 1), "AssigneeId": self._user_id, "PermissionSetId": SET_ID}]

    def _object_permissions(self) -> list[Row]:
        seen = sorted({"Account", "Contact", "Lead", "Opportunity"} | self._access.view_all)
        return [
            {
                "Id": mint_id("110", number),
                "ParentId": SET_ID,
                "SobjectType": obj,
                "PermissionsRead": True,
                "PermissionsViewAllRecords": obj in self._access.view_all,
            }
            for number, obj in enumerate(seen, start=1)
        ]

    def _channels(self) -> list[Row]:
        return [
            {"Id": _channel_id(number), "DeveloperName": name.removesuffix("__chn"), "ChannelType": "data", "MasterLabel": name}
            for number, name in enumerate(self._publisher.channels, start=1)
        ]

    def _members(self) -> list[Row]:
        rows = [_member(STANDARD, STANDARD, obj, None) for obj in self._publisher.selected]
        for number, (name, members) in enumerate(self._publisher.channels.items(), start=1):
            rows += [_member(name, _channel_id(number), obj, text or None) for obj, text in members.items()]
        return rows


def _channel_id(number: int) -> str:
    return mint_id("0YL", number)


def _member(name: str, channel: str, obj: str, text: str | None) -> Row:
    return {
        "Id": mint_id("0v8", 1),
        "DeveloperName": f"{name.replace('__', '_')}_{obj}ChangeEvent",
        "EventChannel": channel,
        "SelectedEntity": f"{obj}ChangeEvent",
        "FilterExpression": text,
    }


def _columns(obj: str) -> Iterable[str]:
    return {
        "UserPermissionAccess": [f"Permissions{name}" for name in KNOWN],
        "PermissionSetAssignment": ["Id", "AssigneeId", "PermissionSetId"],
        "ObjectPermissions": ["Id", "ParentId", "SobjectType", "PermissionsRead", "PermissionsViewAllRecords"],
        "PlatformEventChannel": ["Id", "DeveloperName", "ChannelType", "MasterLabel"],
        "PlatformEventChannelMember": ["Id", "DeveloperName", "EventChannel", "SelectedEntity", "FilterExpression"],
    }[obj]


def _holds(condition: Condition, row: Row) -> bool:
    if isinstance(condition, Junction) and condition.op == "AND":
        return all(_holds(part, row) for part in condition.parts)
    if not isinstance(condition, Comparison) or condition.op not in {"=", "IN"}:
        _refuse()
    wanted = {literal.text.strip("'") for literal in condition.values}
    return str(row.get(condition.field)) in wanted


def _refuse() -> NoReturn:
    raise malformed("the setup is asked with = and IN, joined by AND")
