"""One record's whole story: how it stands, what it waits for, what arrived and what was sent, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.database import is_held
from store.history import WHOLE, Line
from store.model import PEOPLE
from store.tales import Link, Tale, tale
from stream.ids import widen
from stream.operating.dead import moment
from stream.operating.why_lines import told
from stream.operating.why_stands import Judgement, state_of, why_waiting

PREFIXES = {
    "005": "User",
    "001": "Account",
    "003": "Contact",
    "00Q": "Lead",
    "006": "Opportunity",
    "00K": "OpportunityContactRole",
}


@dataclass(frozen=True, slots=True)
class Story:
    """The contract's `why`. `stands` is one sentence of how the record stands, `cure` what to do about it, "" for nothing."""

    object: str
    id: str
    marketo_id: str | None
    state: str
    stands: str
    cure: str
    waits_for: Sequence[Mapping[str, Any]]
    history: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As `why --json` prints it."""
        return {
            "object": self.object,
            "id": self.id,
            "marketo_id": self.marketo_id,
            "state": self.state,
            "stands": self.stands,
            "cure": self.cure,
            "waits_for": list(self.waits_for),
            **self.facts,
            "history": list(self.history),
        }


async def why(path: Path, record_id: str, now_ms: int) -> Story:
    """The story of the record with this id. Raises ValueError for what is no Salesforce id, StoreError without a store."""
    wide = widen(record_id)
    found = await tale(path, wide)
    if found is None:
        return _unknown(wide)
    stands, cure = Judgement(found, now_ms, running=is_held(path)).sentence()
    return Story(
        object=found.record.object,
        id=wide,
        marketo_id=found.record.marketo_id,
        state=state_of(found.record, found.entry),
        stands=stands,
        cure=cure,
        waits_for=[_link_row(link) for link in found.waits_for],
        history=[_line_row(line) for line in found.lines],
        facts=_facts(found),
    )


def _unknown(record_id: str) -> Story:
    obj = PREFIXES.get(record_id[:3], "")
    stands = f"Nothing is known of {obj or 'a record'} {record_id}: no change of it has come, and no other record names it."
    cure = (
        "Change it in Salesforce, and look at [salesforce.objects] and the integration user's permissions."
        if obj
        else f"Ids that begin with {record_id[:3]} belong to no object that goes to Marketo."
    )
    return Story(obj, record_id, None, "unknown", stands, cure, [], [], {})


def _facts(found: Tale) -> dict[str, Any]:
    entry = found.entry
    return {
        "in_marketo": found.record.in_marketo,
        "entry": None
        if entry is None
        else {
            "entry": entry.entry_id,
            "kind": entry.pending.kind,
            "queued": moment(entry.queued_ms / 1000),
            "due": moment(entry.due_ms / 1000),
            "read": entry.pending.read,
            "attempts": entry.attempts,
            "tries": entry.tries,
            "code": entry.code,
            "cause": entry.cause,
            "cure": entry.cure,
        },
        "shares_with": [{"object": other.object, "id": other.record_id} for other in found.sharers],
        "scores": _scores(found),
    }


def _scores(found: Tale) -> str:
    """How the way back stands, for a person; "" for other records."""
    if found.record.object not in PEOPLE:
        return ""
    row, letter = found.scores, found.refused_scores
    if letter is not None:
        return f"refused by Salesforce ({letter.code}): {letter.cause}"
    if row is None or (row.written is None and not row.stopped):
        return "none written yet"
    return f"writing them has stopped: {row.stopped}" if row.stopped else "written"


def _link_row(link: Link) -> dict[str, Any]:
    entry = link.entry
    return {
        "object": link.key[0],
        "id": link.key[1],
        "state": state_of(link.record, entry),
        "why": why_waiting(link),
        "code": entry.code if entry is not None else "",
        "cure": entry.cure if entry is not None else "",
        "again": link.again,
        "waits_for": [_link_row(inner) for inner in link.waits_for],
    }


def _line_row(line: Line) -> dict[str, Any]:
    return {
        "at": moment(line.at_ms / 1000),
        "what": line.what,
        "source": line.source,
        "fields": None if line.fields == WHOLE else line.fields.split(",") if line.fields else [],
        "transaction": line.transaction,
        "code": line.code,
        "cause": line.cause,
        "marketo_id": line.marketo_id,
        "batch": line.together,
        "told": told(line),
    }
