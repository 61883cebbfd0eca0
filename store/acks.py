"""Plain acknowledgements, all of a batch at once: most of what is sent is accepted, and nothing else has happened meanwhile.

outcomes ──split──▶ plain: accepted, nothing arrived in flight ──write──▶ a statement for all lines, records, entries
             └────▶ the others, record by record (`store/outbox.py`)

Both ways leave the same in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from store import history, waits
from store.model import PEOPLE, Ack, Key, Outcome, RecordState
from store.rows import list_json
from store.values import value
from store.writer import Transaction

_STANDING = ("entry_id", "rank", "state", "marketo_id", "filled", "story")


@value
class Plain:
    """A plain acknowledgement, the rank of its entry, and how its record stands."""

    ack: Ack
    rank: int
    state: RecordState
    marketo_id: str | None
    filled: str
    story: int


async def split(tx: Transaction, outcomes: Sequence[Outcome]) -> tuple[list[Plain], list[Outcome]]:
    """The plain ones among the outcomes, and the others."""
    accepted = [outcome.entry_id for outcome in outcomes if _is_accepted(outcome)]
    standing = {row[0]: row for row in await tx.lists("acked", _STANDING, list_json(accepted))} if accepted else {}
    plain, others = list[Plain](), list[Outcome]()
    for outcome in outcomes:
        if isinstance(outcome, Ack) and outcome.entry_id in standing:
            plain.append(Plain(outcome, *standing[outcome.entry_id][1:]))
        else:
            others.append(outcome)
    return plain, others


def _is_accepted(outcome: Outcome) -> bool:
    """Whether Marketo has it now, and that is all: a role's key changes with it."""
    return (
        isinstance(outcome, Ack)
        and outcome.state == "synced"
        and outcome.sent_key is None
        and not (outcome.forget_marketo_id or outcome.removed)
    )


@dataclass(slots=True)
class Came:
    """Who came to a Marketo person that was there before. `looked_at`: whose scores are looked at for it.

    Those of a load are left to the sweep: they may be as many as there are people.
    """

    people: list[Key] = field(default_factory=list)
    looked_at: list[Key] = field(default_factory=list)

    def note(self, ack: Ack, state: RecordState, marketo_id: str | None, rank: int) -> None:
        """An acknowledgement of a record that stood so until now."""
        if ack.state != "synced" or ack.key[0] not in PEOPLE or ack.did == "created":
            return
        comes = ack.marketo_id not in {None, marketo_id}
        if comes:
            self.people.append(ack.key)
        if (comes or state != "synced") and rank == 0:
            self.looked_at.append(ack.key)


async def write(tx: Transaction, plain: Sequence[Plain], now_ms: int, came: Came) -> None:
    """Tell it in the stories, remember it in the records; the entries are done. Who came to a Marketo person is noted."""
    if not plain:
        return
    newest = await tx.value("last_line") or 0
    lines, known, found = list[Any](), list[Any](), list[Any]()
    for seq, each in enumerate(plain, newest + 1):
        ack = each.ack
        obj, record_id = ack.key
        marketo_id = ack.marketo_id or each.marketo_id
        told = history.told(ack.did, fields=ack.sent, cause=ack.why, marketo_id=marketo_id, together=ack.together)
        lines.append((seq, each.story, record_id, now_ms, told))
        filled = _filled(each.filled, frozenset(ack.emptied), frozenset(ack.filled))
        if each.state == "synced" and marketo_id == each.marketo_id:  # its place in the indexes, one page each, is as it was
            known.append((obj, record_id, filled, seq))
        else:
            found.append((obj, record_id, filled, seq, marketo_id))
            came.note(ack, each.state, each.marketo_id, each.rank)
    await tx.run("put_lines", list_json(lines))
    if known:
        await tx.run("accept", list_json(known))
    if found:
        await tx.run("accept_as", list_json(found))
    await waits.end(tx, [each.ack.entry_id for each in plain])


@lru_cache(1024)
def _filled(text: str, emptied: frozenset[str], filled: frozenset[str]) -> str:
    """The column of filled fields after these were emptied and those filled; most of a batch have the same."""
    return list_json(sorted((frozenset[str](orjson.loads(text)) - emptied) | filled))
