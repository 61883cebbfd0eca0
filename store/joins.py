"""Marketo people that became one: somebody there has merged them, or the daemon has, because their records have one email now.

intend ──▶ merged in Marketo ──▶ met                     the records stand behind the winner, as long as their emails are one
                └─ answer lost, or killed ──▶ merged ──▶ the same, once the activity feed tells of it
"""

from __future__ import annotations

from collections.abc import Sequence

from store import role_keys
from store.intake import send_again
from store.model import Record
from store.outbox import move_people, try_now
from store.rows import list_json, read_records, record_row
from store.scores import primary_order
from store.writer import Transaction


def _note(loser: str) -> str:
    return f"met:{loser}"


async def intend(tx: Transaction, winner: str, losers: Sequence[str]) -> None:
    """These people are about to be merged by us."""
    await tx.run_many("put_note", [(_note(loser), winner) for loser in losers])
    await role_keys.foresee(tx, winner, losers)


async def met(tx: Transaction, winner: str, losers: Sequence[str], now_ms: int) -> int:
    """They are one in Marketo: who stood behind the losers stands behind the winner, and is read; returns how many.

    The first of all of them answers for what was filled, and is sent whole. Whose email is another one parts when it is read.
    """
    await role_keys.moved(tx, winner, losers)
    people = await _behind(tx, losers)
    for record in people:
        record.joined = winner if record.joined in losers else record.joined
    await move_people(tx, people, winner, now_ms, "it has one email with another record: their people are one in Marketo now")
    if people:
        first = min(await _behind(tx, [winner]), key=lambda each: primary_order(each.object, each.created, each.record_id))
        await send_again(tx, [first.key], "others were merged into its Marketo person", now_ms)
    await try_now(tx, people, now_ms)
    await tx.run_many("delete_note", [(_note(loser),) for loser in losers])
    return len(people)


async def merged(tx: Transaction, winner: str, losers: Sequence[str], now_ms: int) -> int:
    """People were merged in Marketo: whoever stood behind the losers stands behind the winner; returns how many.

    Unless the daemon did it, they are one there from now on, whatever their emails in Salesforce.
    """
    ours = [loser for loser in losers if await tx.value("get_note", _note(loser)) == winner]
    others = [loser for loser in losers if loser not in ours]
    moved = await met(tx, winner, ours, now_ms) if ours else 0
    await role_keys.moved(tx, winner, others)
    people = await _behind(tx, others)
    there = await _behind(tx, [winner]) if people else []
    for record in (*people, *there):
        record.joined = winner
    await tx.run_many("put_record", [record_row(record) for record in there])
    await move_people(tx, people, winner, now_ms, "merged in Marketo")
    await try_now(tx, people, now_ms)
    return moved + len(people)


async def _behind(tx: Transaction, marketo_ids: Sequence[str]) -> list[Record]:
    return await read_records(tx, "people_by_marketo_id", list_json(marketo_ids)) if marketo_ids else []
