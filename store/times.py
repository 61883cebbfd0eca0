"""The store's times when the clock is set: all of them move with it, so that nobody waits longer, or less long, than was meant.

Times that Salesforce or Marketo gave (commits, SystemModstamps, the activity feed's moments) are theirs, and stay.
"""

from __future__ import annotations

from typing import Any

import orjson

from store.model import WAITS_FOR_ROOM
from store.writer import Transaction

HOUR_MS = 3_600_000
DAY_MS = 25 * HOUR_MS  # the longest


async def shift(tx: Transaction, ms: int, note: str, value: Any) -> None:
    """Move every time by so much, and write down in the same transaction that it was done."""
    for table in ("entries", "scores", "replays"):
        await tx.run(f"shift_{table}", ms)
    await tx.run("shift_sweep", ms / 1000)
    await tx.run("shift_swept_until", ms / 1000)
    await tx.run("put_note", note, orjson.dumps(value).decode())


async def bring_near(tx: Transaction, latest_ms: int, due_ms: int) -> int:
    """What is due later than `latest_ms` becomes due at `due_ms`.

    Who waits for another day may wait a day longer; a person whom Marketo does not have is asked for again only in an hour.
    """
    entries = await tx.run("bring_entries_near", latest_ms, due_ms, WAITS_FOR_ROOM, latest_ms + DAY_MS)
    return entries + await tx.run("bring_scores_near", latest_ms + HOUR_MS, due_ms)
