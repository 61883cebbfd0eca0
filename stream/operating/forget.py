"""One person's traces, erased from the store as the operator asks: what was erased, what was not and why, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store import erase
from store.database import is_held
from store.erase import Erased
from store.errors import StoreBlocked
from store.model import Key
from store.store import Store
from store.writer import Transaction
from stream.ids import widen


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `forget` has done. `rewritten`: the file holds no trace in its free pages either; `unfinished`: why it still may."""

    id: str
    erased: Erased
    rewritten: bool = False
    unfinished: str = ""

    @property
    def known(self) -> bool:
        """Whether the store knew anything of it."""
        return bool(self.erased.keys or self.erased.events)

    @property
    def whole(self) -> bool:
        """Whether there was something, if only the rest of an earlier time, and nothing of it is left."""
        return (self.known or self.rewritten) and self.erased.held is None and not self.unfinished

    def as_json(self) -> dict[str, Any]:
        """As `forget --json` prints it."""
        held = self.erased.held
        return {
            "id": self.id,
            "erased": held is None and self.known,
            "records": _named(self.erased.keys),
            "held_by": None if held is None else {"object": held.key[0], "id": held.key[1], "why": held.why},
            "given_up": self.erased.given_up,
            "dead_letters": self.erased.letters,
            "events": self.erased.events,
            "rewritten": self.rewritten,
            "unfinished": self.unfinished,
            "shared_with": _named(self.erased.sharers),
            "unreadable_events_left": self.erased.events_left,
        }


async def forget(path: Path, record_id: str, now_ms: int, *, give_up: bool) -> Forgotten:
    """Erase a person's traces, and write the file anew. Raises ValueError where the id is none, StoreError without a store."""
    wide = widen(record_id)
    running = is_held(path)

    async def work(tx: Transaction) -> tuple[Erased, bool]:
        return await erase.erase(tx, wide, now_ms, running=running, give_up=give_up), await erase.unfinished(tx)

    store = await Store.open(path, create=False, exclusive=False)
    try:
        erased, due = await store.submit(work)
    finally:
        await store.close()
    if not due:
        return Forgotten(wide, erased)
    try:
        await erase.rewrite(path)
    except StoreBlocked as error:
        return Forgotten(wide, erased, unfinished=str(error))
    return Forgotten(wide, erased, rewritten=True)


def _named(keys: Sequence[Key]) -> list[dict[str, str]]:
    return [{"object": obj, "id": record_id} for obj, record_id in keys]
