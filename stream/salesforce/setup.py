"""What the org's setup says, as far as the signed-in user may look at it: its permissions, and what Change Data Capture selects.

Sources: Object Reference (UserPermissionAccess, PermissionSetAssignment, ObjectPermissions), Tooling API (PlatformEventChannel,
PlatformEventChannelMember: a custom channel's members name it by its id, the standard one's by `ChangeEvents`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.errors import Unreachable
from stream.salesforce.rest import CallRefused, SalesforceClient
from stream.salesforce.rest_answers import page_of
from stream.salesforce.soql import check_id, in_list, select

STANDARD = "ChangeEvents"
EVENT = "ChangeEvent"
PERMISSIONS = ("ApiEnabled", "ViewSetup", "ViewAllData", "ViewAllUsers", "AllowViewEditConvertedLeads")
MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class Member:
    """An object that Change Data Capture is selected for, on which channel, and the channel's filter for it."""

    object: str
    channel: str
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Everything selected in the org, and the names of its own channels (`Name__chn`)."""

    members: Sequence[Member]
    channels: frozenset[str]


async def user_id(client: SalesforceClient) -> str:
    """The signed-in user, from the address that the API's root names it by. Raises what the call raises."""
    body = await client.call("GET", client.base)
    last = str(body.get("identity", "") if isinstance(body, dict) else "").rpartition("/")[2]
    try:
        return check_id(last)
    except ValueError as error:
        raise Unreachable(f"GET {client.base}: the answer does not say who is signed in") from error


async def permissions(client: SalesforceClient) -> Mapping[str, bool]:
    """What the user may do; one that this org's edition does not know is left out."""
    names = [f"Permissions{name}" for name in PERMISSIONS]
    try:
        rows = await _rows(client, "query", select(names, "UserPermissionAccess"))
    except CallRefused as error:
        if error.code != "INVALID_FIELD":
            raise
        rows = [await _one_by_one(client, names)]
    held = rows[0] if rows else {}
    return {name: held[f"Permissions{name}"] is True for name in PERMISSIONS if f"Permissions{name}" in held}


async def _one_by_one(client: SalesforceClient, names: Sequence[str]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name in names:
        try:
            held |= next(iter(await _rows(client, "query", select([name], "UserPermissionAccess"))), {})
        except CallRefused as error:
            if error.code != "INVALID_FIELD":
                raise
    return held


async def seen_whole(client: SalesforceClient, user: str) -> frozenset[str]:
    """The objects all of whose records the user may see, whoever owns them (View All). Needs View Setup and Configuration."""
    granted = await _rows(client, "query", select(["PermissionSetId"], "PermissionSetAssignment", in_list("AssigneeId", [user])))
    sets = sorted({str(row["PermissionSetId"]) for row in granted if row.get("PermissionSetId")})
    if not sets:
        return frozenset()
    fields = ["SobjectType", "PermissionsViewAllRecords"]
    rows = await _rows(client, "query", select(fields, "ObjectPermissions", in_list("ParentId", sets)))
    return frozenset(str(row["SobjectType"]) for row in rows if row.get("PermissionsViewAllRecords") is True)


async def selection(client: SalesforceClient) -> Selection:
    """What Change Data Capture is selected for, on all channels of the org. Needs View Setup and Configuration."""
    channels = await _rows(client, "tooling/query", select(["Id", "DeveloperName"], "PlatformEventChannel"))
    names = {str(row.get("Id"))[:15]: f"{row['DeveloperName']}__chn" for row in channels if row.get("DeveloperName")}
    fields = ["EventChannel", "SelectedEntity", "FilterExpression"]
    found = []
    for row in await _rows(client, "tooling/query", select(fields, "PlatformEventChannelMember")):
        channel, entity = str(row.get("EventChannel") or ""), str(row.get("SelectedEntity") or "")
        if entity.endswith(EVENT):
            named = names.get(channel[:15], channel)
            found.append(Member(entity.removesuffix(EVENT), named, " ".join(str(row.get("FilterExpression") or "").split())))
    return Selection(found, frozenset(names.values()))


async def _rows(client: SalesforceClient, verb: str, soql: str) -> list[dict[str, Any]]:
    path = f"{client.base}/{verb}"
    rows, following = page_of(path, await client.call("GET", path, params={"q": soql}))
    for _ in range(MOST_PAGES):
        if not following:
            return rows
        more, following = page_of(path, await client.call("GET", following))
        rows += more
    raise Unreachable(f"{path}: the pages do not end")
