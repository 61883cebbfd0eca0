"""Fields that are filled only where Marketo has nothing in them: what is there is read just before, a call for each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.model import PEOPLE, ObjectName
from stream.comparing.same import is_empty
from stream.delivery.batch import Item
from stream.mapping import EXTERNAL_ID
from stream.marketo.client import MarketoClient
from stream.plan import Upsert, role_key

Row = Mapping[str, Any]


def asks(item: Item) -> bool:
    """Whether the item carries such a field."""
    return isinstance(item.plan, Upsert) and not item.plan.if_empty.isdisjoint(item.body)


def spare(item: Item, row: Row) -> None:
    """Leave out of the item what is filled in Marketo already."""
    if isinstance(item.plan, Upsert):
        for name in item.plan.if_empty & item.body.keys():
            if not is_empty(row.get(name)):
                del item.body[name]


async def held_by(marketo: MarketoClient, obj: ObjectName, items: Sequence[Item]) -> dict[int, Row]:
    """What Marketo holds of those that carry such fields, by entry number; raises what the call raises."""
    asking = [item for item in items if asks(item)]
    if not asking:
        return {}
    names = {name for item in asking if isinstance(item.plan, Upsert) for name in item.plan.if_empty}
    if obj == "OpportunityContactRole":
        return await _roles(marketo, asking, names)
    key, kind = ("id", "leads") if obj in PEOPLE else (EXTERNAL_ID[obj], _PLACES[obj])
    values = list(dict.fromkeys(str(item.body[key]) for item in asking))
    rows = await marketo.find(kind, key, values, sorted({key, *names}))  # type: ignore[arg-type] # one of Marketo's objects
    by_key = {str(row.get(key)).casefold(): row for row in rows}
    return {item.entry_id: by_key.get(str(item.body[key]).casefold(), {}) for item in asking}


_PLACES: Mapping[ObjectName, str] = {"User": "salespersons", "Account": "companies", "Opportunity": "opportunities"}


async def _roles(marketo: MarketoClient, asking: Sequence[Item], names: set[str]) -> dict[int, Row]:
    keys = {item.entry_id: role_key(item.plan.key) for item in asking if isinstance(item.plan, Upsert)}
    fields = sorted({"externalOpportunityId", "leadId", "role", *names})
    rows = {_folded(row): row for row in await marketo.find_roles(list(keys.values()), fields)}
    return {entry_id: rows.get(_folded(key), {}) for entry_id, key in keys.items()}


def _folded(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(name)).strip().casefold() for name in ("externalOpportunityId", "leadId", "role"))
