"""What the records' stories cost: changes taken and delivered with them and without, turn by turn in one run.

    python bench/history_cost.py [RECORDS] [TURNS]

Times are the process's own seconds of work (all threads), so that other work on the machine does not count.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store import history, intake
from store.model import Ack, Change, Record, Replay
from store.rows import list_json, record_row
from store.store import Store
from stream.ids import widen

CHANGES = 500
NOW_MS = 1_790_000_000_000


@dataclass(slots=True)
class Switch:
    """Puts the stories on and off: off, no line is even put together."""

    on: bool = True
    seconds: dict[tuple[str, bool], float] = field(default_factory=dict)

    def install(self) -> None:
        """Stand before what tells and what writes."""
        self._guard(history.Lines, "add")
        self._guard(intake, "_tell")

    def _guard(self, place: Any, name: str) -> None:
        told: Callable[..., Any] = getattr(place, name)

        def guarded(*args: Any, **named: Any) -> Any:
            return told(*args, **named) if self.on else None

        setattr(place, name, guarded)

    def note(self, what: str, began: float) -> None:
        """Some work is done."""
        self.seconds[what, self.on] = self.seconds.get((what, self.on), 0.0) + time.process_time() - began


async def prepared(store: Store, ids: list[str]) -> None:
    """Everybody is in Marketo, and has a story already."""
    for start in range(0, len(ids), 5000):
        known = [
            Record("Contact", record_id, state="synced", marketo_id=str(start + n), transaction="t" * 36, story=10_000_000)
            for n, record_id in enumerate(ids[start : start + 5000])
        ]
        rows = [record_row(record) for record in known]
        await store.submit(lambda tx, rows=rows: tx.run_many("put_record", rows))  # type: ignore[misc] # a default binds it
    await store.submit(lambda tx: tx.run("put_lines", list_json([(15_000_000, 0, "", NOW_MS, "[]")])))


async def turn(store: Store, ids: list[str], number: int, switch: Switch) -> None:
    """Five hundred edits are taken, and go out."""
    now_ms = NOW_MS + number * 1000
    fields = {"Title": f"x{number}", "Phone": "1"}
    edited = [random.choice(ids) for _ in range(CHANGES)]
    changes = [
        Change(
            "Contact", record_id, fields=fields, commit_ms=now_ms + n, transaction=f"{number:036d}", sequence=n, source="UPDATE"
        )
        for n, record_id in enumerate(edited)
    ]
    began = time.process_time()
    await store.take(changes, Replay("/data/ChangeEvents", number, now_ms, now_ms), now_ms)
    switch.note("capture", began)
    began = time.process_time()
    while claimed := await store.claim("Contact", "upsert", most=300, now_ms=now_ms + CHANGES, linger_ms=0):
        told = {"did": "updated", "sent": "phone,title", "together": 300}
        acks = [
            Ack(each.entry.entry_id, each.entry.key, marketo_id=each.record.marketo_id, sent_key=f"k{number:04d}", **told)  # type: ignore[arg-type] # words of an Ack
            for each in claimed
        ]
        await store.finish(acks, now_ms)
    switch.note("deliver", began)


async def main(records: int, turns: int) -> None:
    """Print the ratio."""
    random.seed(1)
    ids = [widen(f"003{number:012d}") for number in range(records)]
    switch = Switch()
    switch.install()
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "store.db")
        await prepared(store, ids)
        for number in range(turns):
            switch.on = number % 2 == 0
            await turn(store, ids, number + 1, switch)
        await store.close()
    for what in ("capture", "deliver"):
        on, off = switch.seconds[what, True], switch.seconds[what, False]
        per_change = 1e6 * 2 / (turns * CHANGES)
        print(f"{what}: {off * per_change:.0f} µs a change without, {on * per_change:.0f} µs with: {100 * (on / off - 1):+.1f} %")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(numbers + [100_000, 80][len(numbers) :])))
