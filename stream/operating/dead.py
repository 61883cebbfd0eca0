"""Dead letters in the operator's hands: chosen by number, Salesforce id, object or code; shown, tried again, given up.

Choosing and doing are one transaction: a letter that the daemon takes up again in between is not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from store import admin, view
from store.model import DeadLetter
from store.store import Store
from store.writer import Transaction
from stream.ids import widen


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters. Numbers and ids add up; object and code narrow; without any of them, all."""

    entries: frozenset[int] = frozenset()
    ids: frozenset[str] = frozenset()
    object: str = ""
    code: str = ""

    @classmethod
    def of(cls, targets: Sequence[str], obj: str | None = None, code: str | None = None) -> Selection:
        """From what was typed: 15 or 18 characters are a Salesforce id, others an entry number. Raises ValueError."""
        ids = frozenset(widen(target) for target in targets if len(target) in {15, 18})
        numbers = [target for target in targets if len(target) not in {15, 18}]
        for number in numbers:
            if not (number.isascii() and number.isdigit()):
                raise ValueError(f"{number[:40]!r} is neither an entry number nor a Salesforce id of 15 or 18 characters")
        return cls(frozenset(map(int, numbers)), ids, obj or "", code or "")

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is chosen."""
        named = not (self.entries or self.ids) or letter.entry in self.entries or letter.id in self.ids
        return named and self.object in {"", letter.object} and self.code.upper() in {"", letter.code.upper()}

    def unknown(self, letters: Sequence[DeadLetter]) -> list[str]:
        """The numbers and ids that name no dead letter."""
        entries = self.entries - {letter.entry for letter in letters}
        return [*map(str, sorted(entries)), *sorted(self.ids - {letter.id for letter in letters})]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the chosen: those acted on, those that cannot be tried again, and names of no dead letter."""

    letters: Sequence[DeadLetter]
    kept: Sequence[DeadLetter]
    unknown: Sequence[str]


async def listed(path: Path, selection: Selection) -> list[DeadLetter]:
    """The chosen dead letters, oldest first."""
    return [letter for letter in await view.dead_letters(path) if selection.takes(letter)]


async def shown(path: Path, selection: Selection) -> tuple[list[dict[str, Any]], list[str]]:
    """The chosen dead letters with what they hold (personal data), and the names of none."""
    async with view.reading(path) as tx:
        letters = await admin.dead_letters(tx)
        chosen = [letter for letter in letters if selection.takes(letter)]
        found = [{**row(letter), "content": await admin.content(tx, letter.entry)} for letter in chosen]
    return found, selection.unknown(letters)


async def retry(path: Path, selection: Selection, now_ms: int) -> Done:
    """Put the chosen back into their flows. Events that nobody could read stay: there is nothing to send."""
    return await _act(path, selection, lambda tx, letters: admin.retry(tx, letters, now_ms), unfit="capture")


async def drop(path: Path, selection: Selection, now_ms: int) -> Done:
    """Give the chosen up: what waited for them goes on without that relation."""
    return await _act(path, selection, lambda tx, letters: admin.drop(tx, letters, now_ms))


async def _act(
    path: Path, selection: Selection, act: Callable[[Transaction, Sequence[DeadLetter]], Awaitable[int]], unfit: str = ""
) -> Done:
    async def work(tx: Transaction) -> Done:
        letters = await admin.dead_letters(tx)
        chosen = [letter for letter in letters if selection.takes(letter)]
        fit = [letter for letter in chosen if letter.flow != unfit]
        await act(tx, fit)
        return Done(fit, [letter for letter in chosen if letter.flow == unfit], selection.unknown(letters))

    store = await Store.open(path, create=False, exclusive=False)
    try:
        return await store.submit(work)
    finally:
        await store.close()


def row(letter: DeadLetter) -> dict[str, Any]:
    """One dead letter as the contract's JSON has it."""
    return {
        "entry": letter.entry,
        "object": letter.object,
        "id": letter.id,
        "code": letter.code,
        "cause": letter.cause,
        "cure": letter.cure,
        "attempts": letter.attempts,
        "since": moment(letter.since),
        "flow": letter.flow,
        "holds": letter.holds,
    }


def moment(seconds: float) -> str:
    """Seconds since the epoch as UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
