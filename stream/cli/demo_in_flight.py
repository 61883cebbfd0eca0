"""What was under way to Marketo when the daemon died: read from the store it left behind, in Marketo's own keys."""

from __future__ import annotations

from pathlib import Path

from sandbox.marketo import Instance
from sandbox.oracle import PLACES
from sandbox.stage_proofs import MarketoKey
from store.model import PEOPLE, Record
from store.view import in_flight
from stream.plan import role_key


async def under_way(store: Path, instance: Instance) -> dict[MarketoKey, float]:
    """Each record's object and key in Marketo, with the time (seconds since the epoch) its entry was queued."""
    return {key: queued_ms / 1000 for record, queued_ms in await in_flight(store) for key in _keys(record, instance)}


def _keys(record: Record, instance: Instance) -> list[MarketoKey]:
    """A person's key is its Marketo id, known or not: Marketo may have created it, and the daemon never heard."""
    place, _ = PLACES[record.object]
    if record.object in PEOPLE:
        return [(place, lead["id"]) for lead in instance.leads_of(record.record_id)]
    if record.object == "OpportunityContactRole":
        return [(place, tuple(role_key(record.sent_key).values()))] if record.sent_key else []
    return [(place, record.record_id)]
