"""Each record's story: a line for what arrived, was read, was sent, and became of it; names of fields, never their values.

    record ──story──▶ last line ──before──▶ line ──before──▶ …          new lines only ever go to the table's end

Lines are written in the transaction of what they tell, before the record's row, which then names the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import orjson

from store.model import Key, Record
from store.rows import list_json
from store.writer import Transaction

What = Literal[
    "arrived",  # a change was taken
    "passed_over",  # an event that told nothing new, or was older than what is known
    "asked",  # somebody here wants it read: a child, a merge, the operator
    "read",  # read whole from Salesforce
    "gone",  # Salesforce has deleted it
    "left",  # it lives, and has left its filter
    "unseen",  # Salesforce does not show it
    "unclear",  # what Salesforce tells of it cannot be understood, and why
    "created",
    "updated",
    "deleted",
    "merged",  # its Marketo person has become another's
    "shared",  # another record of the same Marketo person sends its fields
    "nothing",  # there was nothing to send, and why
    "retry",
    "dead",
    "put_back",  # by the operator, out of the dead letters
    "dropped",  # by the operator
    "moved",  # it stands behind another Marketo person
    "interrupted",  # the daemon ended while it was in flight
]

WHOLE = "*"  # in place of names: all that the record has
LINES_MOST = 50
"""Lines kept of one record; some more until the next look."""
KEPT_MS = 30 * 86_400_000
LOOK_EVERY = 32  # a record is looked at when the number of its line is a multiple of this
PRUNED_MOST = 1000  # old lines that one step takes away
LOOKED_MOST = 50_000  # new lines among which one step looks for long stories


@dataclass(slots=True)
class Lines:
    """The lines of one transaction, in their order. `write` comes before the records' rows."""

    now_ms: int
    _told: list[tuple[Record, str]] = field(default_factory=list)

    def add(
        self,
        record: Record,
        what: What,
        *,
        source: str = "",
        fields: str = "",
        txn: str = "",
        code: str = "",
        cause: str = "",
        marketo_id: str | None = None,
        together: int = 0,
    ) -> None:
        """One more line of this record."""
        line = told(what, source=source, fields=fields, txn=txn, code=code, cause=cause, marketo_id=marketo_id, together=together)
        self._told.append((record, line))

    async def write(self, tx: Transaction) -> None:
        """Put the lines at the table's end, and name the last of each record in it."""
        if not self._told:
            return
        seq = await tx.value("last_line") or 0
        rows = []
        for record, line in self._told:
            seq += 1
            rows.append((seq, record.story, record.record_id, self.now_ms, line))
            record.story = seq
        self._told.clear()
        await tx.run("put_lines", list_json(rows))


def told(
    what: What,
    *,
    source: str = "",
    fields: str = "",
    txn: str = "",
    code: str = "",
    cause: str = "",
    marketo_id: str | None = None,
    together: int = 0,
) -> str:
    """What a line tells, as it is kept."""
    return orjson.dumps((what, source, fields, txn, code, cause, marketo_id, together)).decode()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story, as it is read back. `fields` are names with commas between, or WHOLE."""

    at_ms: int
    what: What
    source: str
    fields: str
    transaction: str
    code: str
    cause: str
    marketo_id: str | None
    together: int


def names(fields: Iterable[str]) -> str:
    """Names of fields in one text."""
    return ",".join(sorted(fields))


async def story(tx: Transaction, key: Key) -> list[Line]:
    """What is still known of the record's story, oldest first."""
    rows = await tx.rows("story", *key, LINES_MOST)
    return [Line(row["at_ms"], *orjson.loads(row["told"])) for row in reversed(rows)]


async def prune(tx: Transaction, looked_to: int, now_ms: int) -> int:
    """One small step: old lines go, and of records with many new ones the oldest; returns up to where it has looked.

    `looked_to` is what the last step returned; -1 begins with what is new from now on.
    """
    newest = await tx.value("last_line") or 0
    await tx.run("forget_old_lines", PRUNED_MOST, now_ms - KEPT_MS)
    if looked_to < 0:
        return int(newest)
    up_to = min(int(newest), looked_to + LOOKED_MOST)
    rows = await tx.rows("lines_between", looked_to, up_to, LOOK_EVERY)
    if rows:
        await tx.run("shorten_stories", list_json({row["record_id"] for row in rows}), LINES_MOST)
    return up_to
