"""What Marketo should hold of a record as Salesforce has it: the daemon's own plan for it, sent whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from store.merge import note
from store.model import REF_OBJECT, REFS, Change, Claimed, Entry, Key, Pending, Record, Ref
from stream.mapping import ObjectMapping
from stream.plan import Plan, Rules, plan

LOST_TO_MARKETO = frozenset({"deleted", "dropped"})
"""And what is outside of its filter (a user that is, is sent once it owns something)."""


def as_read(known: Record | None, snapshot: Change) -> Record:
    """What would be known of the record had it just been read; `known` is left as it is."""
    record = replace(known) if known is not None else Record(*snapshot.key)
    note(record, snapshot)
    return record


def parents_by_ref(record: Record, known: Mapping[Key, Record]) -> dict[Ref, Record]:
    """The record's parents as they are once all of them have gone to Marketo: one nobody has heard of will have been read."""
    found: dict[Ref, Record] = {}
    for ref in REFS:
        parent_id = record.ref(ref)
        if parent_id is None:
            continue
        parent = known.get((REF_OBJECT[ref], parent_id)) or Record(REF_OBJECT[ref], parent_id)
        outside = parent.state == "excluded" and not parent.holds_up
        found[ref] = parent if outside or parent.state in LOST_TO_MARKETO else replace(parent, state="synced")
    return found


def expected(
    record: Record, snapshot: Change, parents: Mapping[Ref, Record], mapping: ObjectMapping, rules: Rules, *, referenced: bool
) -> Plan:
    """The plan for the whole record."""
    pending = Pending(fields=dict(snapshot.fields), whole=True)
    entry = Entry(0, record.object, record.record_id, pending)
    return plan(Claimed(entry, record, parents, referenced=referenced), mapping, rules)
