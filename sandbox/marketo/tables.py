"""Records in memory, found by key or by an indexed field; text compares without regard to case, as Marketo does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Record = dict[str, Any]


def folded(value: Any) -> Any:
    """A value or a compound key as it is compared."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, tuple):
        return tuple(folded(part) for part in value)
    return value


class Table(Mapping[Any, Record]):
    """The living records of one object by key. Read it like a mapping; change it with put, change and remove only."""

    def __init__(self, *indexed: str) -> None:
        self._rows: dict[Any, Record] = {}
        self._index: dict[str, dict[Any, dict[Any, None]]] = {name: {} for name in indexed}

    def __getitem__(self, key: Any) -> Record:
        """The record with this key."""
        return self._rows[folded(key)]

    def __contains__(self, key: object) -> bool:
        """Whether a living record has this key."""
        return folded(key) in self._rows

    def __iter__(self) -> Iterator[Any]:
        """The keys (text ones in lower case), oldest first."""
        return iter(self._rows)

    def __len__(self) -> int:
        """How many records live."""
        return len(self._rows)

    def put(self, key: Any, record: Record) -> None:
        """Add a record."""
        key = folded(key)
        self._rows[key] = record
        for name, index in self._index.items():
            self._enter(index, record.get(name), key)

    def change(self, key: Any, changes: Mapping[str, Any]) -> Record:
        """Set fields of a record, and return it."""
        key = folded(key)
        record = self._rows[key]
        for name, index in self._index.items():
            if name in changes and folded(changes[name]) != folded(record.get(name)):
                self._leave(index, record.get(name), key)
                self._enter(index, changes[name], key)
        record.update(changes)
        return record

    def remove(self, key: Any) -> Record:
        """Take a record out, and return it."""
        key = folded(key)
        record = self._rows.pop(key)
        for name, index in self._index.items():
            self._leave(index, record.get(name), key)
        return record

    def find(self, field: str, value: Any) -> list[Record]:
        """All records whose field has this value, oldest first."""
        if value is None:
            return []
        index = self._index.get(field)
        if index is not None:
            return [self._rows[key] for key in index.get(folded(value), ())]
        wanted = folded(value)
        return [record for record in self._rows.values() if folded(record.get(field)) == wanted]

    def find_any(self, field: str, values: Iterable[Any]) -> list[Record]:
        """All records whose field has one of these values, each once."""
        values = list(dict.fromkeys(folded(value) for value in values))
        if field in self._index:
            return [record for value in values for record in self.find(field, value)]
        wanted = set(values)
        return [record for record in self._rows.values() if folded(record.get(field)) in wanted]

    @staticmethod
    def _enter(index: dict[Any, dict[Any, None]], value: Any, key: Any) -> None:
        if value is not None:
            index.setdefault(folded(value), {})[key] = None

    @staticmethod
    def _leave(index: dict[Any, dict[Any, None]], value: Any, key: Any) -> None:
        keys = index.get(folded(value))
        if value is not None and keys is not None:
            keys.pop(key, None)
            if not keys:
                del index[folded(value)]
