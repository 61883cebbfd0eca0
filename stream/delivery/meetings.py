"""People whose emails become equal later: whose Marketo people are to become one, and which of them stays. Pure.

own person's record ── has the email, in Salesforce, of the first record behind another person ──▶ one of both is merged away
                    └─ does not, or is not the first behind its own person itself ──────────────▶ nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.model import Key, Record
from store.scores import primary_order

MOST_MET = 24  # Marketo merges at most 25 people into one


@dataclass(frozen=True, slots=True)
class Meeting:
    """Marketo people that are to become one."""

    winner: str
    losers: tuple[str, ...]


def order_of(record: Record) -> tuple[int, str, str]:
    """Who carries a shared person: the lowest."""
    return primary_order(record.object, record.created, record.record_id)


def meeting(
    record: Record, own: str, candidates: Sequence[str], behind: Mapping[str, Sequence[Record]], emails: Mapping[Key, str]
) -> Meeting | None:
    """What is to be merged, now that Marketo has other people (`candidates`) with the email that this record's person gets.

    `behind` are the living records behind Marketo people, `emails` what Salesforce says of them at this moment: an event may be
    older, and a merge cannot be taken back.
    """
    email = emails.get(record.key)
    if not email or any(order_of(other) < order_of(record) for other in behind.get(own, ())):
        return None
    firsts = {own: record}
    for candidate in candidates:
        first = min(behind.get(candidate, ()), key=order_of, default=None)
        if first is not None and first.key != record.key and emails.get(first.key) == email:
            firsts[candidate] = first
    winner = min(firsts, key=lambda person: order_of(firsts[person]))
    losers = tuple(sorted(firsts.keys() - {winner}, key=int))[:MOST_MET]
    return Meeting(winner, losers) if losers else None
