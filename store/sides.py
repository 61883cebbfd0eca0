"""On which side of its filter a record is, and what a change makes of that. Pure: the filters themselves are not known here.

    in       ──▶ a record that was outside enters: it goes whole, and whoever names it goes again
    out      ──▶ one that Marketo has, or perhaps has, leaves: its delete setting decides; else it is noted, and costs nothing
    same     ──▶ it stays where it is; where it is outside and just being read, the read may say otherwise: it is read again
    perhaps  ──▶ one that is outside is read; one that is inside is so still, because what was told of it holds

Users have rules of their own: who owns something that is synced is always sent.
"""

from __future__ import annotations

from typing import Literal

from store.merge import Verdict
from store.model import Change, Entry, Key, Pending, Record

Turn = Literal["", "stays_out", "leaves", "enters"]


def turn(record: Record, change: Change, judged: Verdict) -> Turn:
    """What the change makes of the side; "" where it makes nothing of it, or the record has to be read first."""
    if record.object == "User" or record.state == "converted" or change.kind == "delete":
        return ""
    outside = record.state == "excluded"
    if outside and change.side in {"out", "same"}:
        return "stays_out"
    if judged != "apply":
        return ""
    if change.side == "out":
        return "leaves"
    return "enters" if outside and change.side == "in" and change.whole and not change.read else ""


def is_outside(record: Record, snapshot: Change) -> bool:
    """Whether a record that was read is outside of its filter."""
    return snapshot.side == "out" and record.object != "User" and record.state != "converted"


def leaving(change: Change) -> Pending:
    """The work of a record that leaves: what its delete setting asks for."""
    return Pending(kind="delete", left=True, first_commit_ms=change.commit_ms)


def perhaps_in_marketo(record: Record, entry: Entry | None) -> bool:
    """Whether Marketo has something of it, or may have."""
    under_way = entry is not None and (entry.state == "in_flight" or entry.later is not None or bool(entry.pending.doubt))
    return record.in_marketo or record.marketo_id is not None or under_way


def exclude(record: Record) -> None:
    """It is outside, and nothing of it is in Marketo. Changes `record` in place."""
    record.state, record.known = "excluded", {}


def admit(record: Record) -> None:
    """It was outside, and is not any more: it counts as not in Marketo yet. Changes `record` in place."""
    record.state, record.known = "seen", {}


def depends_on(child: Record, parent: Key) -> bool:
    """Whether the child is another in Marketo without this parent: a person keeps its company, null does not take it away."""
    return parent[0] != "Account" or child.object == "Opportunity"
