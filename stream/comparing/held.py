"""What Marketo holds of records, read by their external ids, people also by their Marketo ids, roles by their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.model import PEOPLE, ObjectName
from stream.comparing.asking import Asking
from stream.delivery.dispatch import MARKETO_OBJECT
from stream.delivery.people import NO_FILTER_CODE
from stream.errors import MarketoError
from stream.mapping import EXTERNAL_ID, ObjectMapping
from stream.marketo.client import MOST_RECORDS
from stream.plan import role_key

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is looked for: its Salesforce id (people: unless another record carries their person), or a role's key."""

    record_id: str
    marketo_id: str | None = None
    key: str = ""
    carried: bool = False


@dataclass(slots=True)
class Held:
    """Reads Marketo. `mark`: the field that marks people whose record is gone, if there is one."""

    asking: Asking
    mark: str = ""

    def fields(self, obj: ObjectName, mapping: ObjectMapping) -> list[str]:
        """The fields to ask for: all that the daemon may fill, and the keys."""
        keys = {*EXTERNAL_ID.values(), "leadId", "role", self.mark}
        own = {target.name for target in mapping.targets.values()}
        return sorted({"id", *own, *(keys & mapping.known)} if obj in PEOPLE else own | (keys & mapping.known))

    async def rows(self, obj: ObjectName, places: Sequence[Place], mapping: ObjectMapping) -> dict[str, list[Row]]:
        """Record id → the rows that stand for it in Marketo: none, one, or several with the same external id."""
        fields = self.fields(obj, mapping)
        if obj == "OpportunityContactRole":
            return await self._roles(places, fields)
        if obj in PEOPLE:
            return await self._people(places, fields)
        found = await self._find(obj, EXTERNAL_ID[obj], [place.record_id for place in places], fields)
        return {place.record_id: found.get(place.record_id.lower(), []) for place in places}

    async def _people(self, places: Sequence[Place], fields: Sequence[str]) -> dict[str, list[Row]]:
        own = [place.record_id for place in places if not place.carried]
        try:
            named = await self._find("Lead", "externalPersonId", own, fields)
        except MarketoError as error:
            if error.code != NO_FILTER_CODE:
                raise
            named = {}
        found = {place.record_id: named.get(place.record_id.lower(), []) if not place.carried else [] for place in places}
        rest = [place for place in places if not found[place.record_id] and place.marketo_id]
        by_id = await self._find("Lead", "id", [place.marketo_id or "" for place in rest], fields)
        return found | {place.record_id: by_id.get(place.marketo_id or "", []) for place in rest}

    async def _find(self, obj: ObjectName, name: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for part in _parts(list(dict.fromkeys(values))):
            for row in await self.asking.patiently(
                lambda part=part: self.asking.edge.marketo.find(MARKETO_OBJECT[obj], name, part, fields)  # type: ignore[misc] # bound
            ):
                found.setdefault(str(row.get(name) or "").lower(), []).append(row)
        return found

    async def _roles(self, places: Sequence[Place], fields: Sequence[str]) -> dict[str, list[Row]]:
        keys = {place.record_id: place.key for place in places if place.key}
        found: dict[tuple[str, str, str], list[Row]] = {}
        for part in _parts(list(dict.fromkeys(keys.values()))):
            asked = [role_key(key) for key in part]
            for row in await self.asking.patiently(lambda asked=asked: self.asking.edge.marketo.find_roles(asked, fields)):  # type: ignore[misc] # bound
                found.setdefault(_folded(row), []).append(row)
        return {place.record_id: found.get(_folded(role_key(place.key)), []) if place.key else [] for place in places}


def _folded(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """A role's key as Marketo compares it."""
    return (
        str(row.get("externalOpportunityId")).casefold(),
        str(row.get("leadId")),
        str(row.get("role")).strip().casefold(),
    )


def _parts(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + MOST_RECORDS] for start in range(0, len(values), MOST_RECORDS))
