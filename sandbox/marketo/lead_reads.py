"""Reading leads: by filter, by id, and both describes."""

from __future__ import annotations

import zlib
from typing import Any, Final

from sandbox.marketo.answers import Page, Refused
from sandbox.marketo.instance import Instance
from sandbox.marketo.requests import Query, token_after
from sandbox.marketo.schema import LEAD
from sandbox.marketo.tables import Record
from sandbox.marketo.values import assorted

MATCHES_MAX: Final = 1000
DEFAULT_FIELDS: Final = ("id", "email", "updatedAt", "createdAt", "lastName", "firstName")
DATETIMES: Final = frozenset({"datetime"})


class LeadReads:
    """The read endpoints of leads. A field that is asked for and empty is answered as null."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def query(self, query: Query) -> Page:
        """Leads whose field has one of the values. Raises Refused: 1006, 1011 the field, 1003 more than 1,000 match."""
        described = self._instance.schemas[LEAD]
        if query.filter_type not in described.searchable_names():
            known = query.filter_type in described.fields
            raise Refused("1011" if known else "1006", f"Field '{query.filter_type}' not {'supported' if known else 'found'}")
        names = self._checked_names(query.fields)
        found = self._found(query)
        if len(found) > MATCHES_MAX:
            raise Refused("1003", "Too many results match the filter")
        shown = [self._shown(lead, names) for lead in found[query.offset : query.offset + query.size]]
        more = len(found) > query.offset + query.size
        return Page(shown, token_after(query.offset + query.size) if more else None, True if more else None)

    def by_id(self, lead_id: int, fields: tuple[str, ...]) -> Page:
        """One lead. Raises Refused 1004 when it is not there."""
        names = self._checked_names(fields)
        if lead_id not in self._instance.leads:
            raise Refused("1004", f"Lead '{lead_id}' not found")
        return Page([self._shown(self._instance.leads[lead_id], names)])

    def describe(self) -> Page:
        """What `leads/describe.json` answers."""
        fields = self._instance.schemas[LEAD].fields.values()
        shown: list[dict[str, Any]] = []
        for number, field in enumerate(fields, start=1):
            one: dict[str, Any] = {
                "id": number,
                "displayName": field.display_name or field.name,
                "dataType": field.data_type,
                "rest": {"name": field.name, "readOnly": not field.updateable},
                "soap": {"name": field.name, "readOnly": not field.updateable},
            }
            if field.length is not None:
                one["length"] = field.length
            shown.append(one)
        return Page(shown)

    def describe2(self) -> Page:
        """What `leads/describe2.json` answers."""
        described = self._instance.schemas[LEAD]
        fields = [field.described() for field in described.fields.values()]
        for one in fields:
            if one["name"] == "externalPersonId":
                one["updateable"] = self._instance.quirks.external_person_id_updateable
        return Page([{"name": described.name, "searchableFields": described.searchable, "fields": fields}])

    def partitions(self) -> Page:
        """What `leads/partitions.json` answers."""
        return Page([{"id": number, "name": name} for name, number in self._instance.partitions.items()])

    def _checked_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in self._instance.schemas[LEAD].fields:
                raise Refused("1006", f"Field '{name}' not found")
        return ("id", *(name for name in names if name != "id")) if names else DEFAULT_FIELDS

    def _found(self, query: Query) -> list[Record]:
        leads = self._instance.leads
        if query.filter_type == "id":
            ids = dict.fromkeys(int(value) for value in query.values if value.isdigit())
            return [leads[lead_id] for lead_id in ids if lead_id in leads]
        numeric = self._instance.schemas[LEAD].fields[query.filter_type].data_type == "integer"
        values = [int(value) if numeric and value.isdigit() else value for value in query.values]
        return leads.find_any(query.filter_type, values)

    def _shown(self, lead: Record, names: tuple[str, ...]) -> dict[str, Any]:
        full = self._instance.shown(lead)
        return {name: self._value(lead["id"], name, full.get(name)) for name in names}

    def _value(self, lead_id: int, name: str, value: Any) -> Any:
        field = self._instance.schemas[LEAD].fields[name]
        if value is None and field.data_type == "boolean":
            return False
        if field.data_type in DATETIMES and isinstance(value, str) and self._instance.quirks.assorted_datetimes:
            return assorted(value, lead_id + zlib.crc32(name.encode()))
        return value
