"""The activity log: what happened to leads, read page by page from a paging token.

A token stands for a place (time, then id). Each call looks through a stretch of the log of any type, so a page may be short or
empty with more to follow. An activity that becomes visible late, dated before a token's place, is not seen from there any more.
"""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.marketo.answers import Page, Refused
from sandbox.marketo.values import stamp

NEW_LEAD: Final = 12
CHANGE_VALUE: Final = 13
CHANGE_SCORE: Final = 22
MERGE: Final = 32
DELETE: Final = 37
INTERESTING_MOMENT: Final = 46

TYPES: Final = {
    1: ("Visit Webpage", "Webpage ID", ("Client IP Address", "User Agent")),
    2: ("Fill Out Form", "Webform ID", ("Client IP Address", "Form Fields")),
    NEW_LEAD: ("New Lead", "Source Type", ("Source Type", "Created Date")),
    CHANGE_VALUE: ("Change Data Value", "Attribute Name", ("New Value", "Old Value", "Reason", "Source")),
    CHANGE_SCORE: (
        "Change Score",
        "Score Name",
        ("Change Value", "New Value", "Old Value", "Priority", "Relative Score", "Urgency"),
    ),
    MERGE: ("Merge Leads", "Lead ID", ("Master Updated", "Merge IDs", "Merge Source", "Merged in Sales")),
    DELETE: ("Delete Lead", "Lead Name", ("Campaign", "Remove from CRM")),
    INTERESTING_MOMENT: ("Interesting Moment", "Milestone", ("Date", "Description", "Source", "User ID")),
}
DELETED_LEADS_KEPT_SECONDS: Final = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity; it can be read from `visible_at` on."""

    date: float
    id: int
    type: int
    lead_id: int
    primary: str
    attributes: Mapping[str, Any]
    visible_at: float

    @property
    def place(self) -> tuple[float, int]:
        """Where it stands in the log."""
        return (self.date, self.id)

    def shown(self) -> dict[str, Any]:
        """The activity as the API answers it."""
        return {
            "id": self.id,
            "marketoGUID": str(self.id),
            "leadId": self.lead_id,
            "activityDate": stamp(self.date),
            "activityTypeId": self.type,
            "primaryAttributeValue": self.primary,
            "primaryAttributeValueId": self.lead_id,
            "attributes": [{"name": name, "value": value} for name, value in self.attributes.items()],
        }


@dataclass(slots=True)
class ActivityLog:
    """All activities, oldest first. `late_seconds` is how long a new one stays unseen unless `add` says otherwise."""

    now: Callable[[], float]
    late_seconds: float = 0.0
    _log: list[Activity] = field(default_factory=list)
    _last_id: int = 100000

    def __len__(self) -> int:
        """How many activities there are."""
        return len(self._log)

    def add(
        self,
        kind: int,
        lead_id: int,
        primary: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        date: float | None = None,
        late_seconds: float | None = None,
    ) -> Activity:
        """Log an activity. With `late_seconds` it can be read only so much later, though dated now."""
        self._last_id += 1
        now = self.now()
        visible = now + (self.late_seconds if late_seconds is None else late_seconds)
        dated = now if date is None else date
        activity = Activity(dated, self._last_id, kind, lead_id, primary, dict(attributes or {}), visible)
        bisect.insort(self._log, activity, key=lambda one: one.place)
        return activity

    def page(
        self, token: str, wanted: Collection[int], *, leads: Collection[int], size: int, scan: int, since: float = 0.0
    ) -> Page:
        """The activities of the wanted types after the token's place, up to `size` of those found in `scan` looked through."""
        place = placed(token)
        now = self.now()
        found: list[dict[str, Any]] = []
        at = bisect.bisect_right(self._log, place, key=lambda one: one.place)
        looked = 0
        while at < len(self._log) and looked < scan and len(found) < size:
            activity = self._log[at]
            at += 1
            looked += 1
            place = activity.place
            if activity.visible_at > now or activity.type not in wanted or activity.date < since:
                continue
            if not leads or activity.lead_id in leads:
                found.append(activity.shown())
        return Page(found, token_at(*place), more=at < len(self._log))


def token_at(date: float, last_id: int = 0) -> str:
    """A paging token for the place after this one; opaque to clients."""
    return base64.b32encode(f"{date!r}:{last_id}".encode()).decode()


def placed(token: str) -> tuple[float, int]:
    """The place a token stands for. Raises Refused 1003 when it is none of ours."""
    try:
        date, _, last_id = base64.b32decode(token.encode()).decode().partition(":")
        return (float(date), int(last_id))
    except (ValueError, binascii.Error):
        raise Refused("1003", "Invalid nextPageToken") from None


def described_types() -> list[dict[str, Any]]:
    """What `activities/types.json` answers."""
    return [
        {
            "id": number,
            "name": name,
            "description": name,
            "primaryAttribute": {"name": primary, "dataType": "string"},
            "attributes": [{"name": attribute, "dataType": "string"} for attribute in attributes],
        }
        for number, (name, primary, attributes) in TYPES.items()
    ]
