"""Never two requests at once for one Marketo person or role: keys are held while a batch works on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from stream.watch import pulse

T = TypeVar("T")


class Exclusion:
    """Keys in use (`id:…`, `email:…`, `ext:…`, `role:…`). All keys of a batch are taken at once, so none can deadlock."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, keys: Iterable[str]) -> AsyncIterator[set[str]]:
        """Wait until all the keys are free, and hold them. Keys added to the yielded set by `extend` are freed with them."""
        mine = set(keys)
        async with self._freed:
            with pulse.aside():
                await self._freed.wait_for(lambda: not (mine & self._held))
            self._held |= mine
        try:
            yield mine
        finally:
            self._held -= mine
            async with self._freed:
                self._freed.notify_all()

    def extend(self, mine: set[str], key: str) -> bool:
        """Take one more key at once if it is free; False where another batch holds it, or this one does already."""
        if key in self._held:
            return False
        self._held.add(key)
        mine.add(key)
        return True

    def is_held(self, key: str) -> bool:
        """Whether some batch holds the key."""
        return key in self._held


def rounds(items: Sequence[T], keys_of: Callable[[T], Collection[str]]) -> list[list[T]]:
    """The items in as few rounds as their order allows, no two of one round sharing a key, the order kept for shared keys."""
    if len(set[str]().union(*map(keys_of, items))) == sum(len(set(keys_of(item))) for item in items):
        return [list(items)] if items else []  # nobody shares anything, as almost always
    result: list[tuple[list[T], set[str]]] = []
    for item in items:
        keys = set(keys_of(item))
        place = len(result)
        while place > 0 and not (keys & result[place - 1][1]):
            place -= 1
        if place == len(result):
            result.append(([], set()))
        result[place][0].append(item)
        result[place][1].update(keys)
    return [members for members, _ in result]
