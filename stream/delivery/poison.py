"""When so many records are refused that it cannot be the records: the flow is poisoned and asks for help. Pure.

    verdicts ──▶ the last 1,000 ──▶ more than the share were refused for themselves ──┐
                      └──▶ nothing else for half as many in a row ─────────────────────┴─▶ stopped, until a person says otherwise

The share is one of 1,000 records however few have been judged so far: a handful of bad ones never stops the flow, and a mapping
that went wrong does before everything has become a dead letter.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

WINDOW = 1000
ROW_LEAST = 20  # so many in a row may always be refused: a list of bad addresses, say


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the flow was stopped: how many of how many records were refused, and the commonest code."""

    refused: int
    judged: int
    code: str


@dataclass(slots=True)
class Poison:
    """The window. `share` is that of refused records above which the flow stops; 1 means never."""

    share: float
    diagnosis: Diagnosis | None = None
    _codes: deque[str] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _refused: Counter[str] = field(default_factory=Counter)
    _row: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the flow stands still because of this."""
        return self.diagnosis is not None

    def note(self, code: str = "") -> None:
        """One more record was judged: refused for itself with this code, or accepted. Nothing counts once it is stopped."""
        if self.diagnosis is not None:
            return
        if len(self._codes) == WINDOW and self._codes[0]:
            self._refused[self._codes[0]] -= 1
        self._codes.append(code)
        self._row = self._row + 1 if code else 0
        if code:
            self._refused[code] += 1
            self._judge()

    def stop(self, diagnosis: Diagnosis) -> None:
        """It was stopped by an earlier run, and nobody has ended that."""
        self.diagnosis = diagnosis

    def clear(self) -> None:
        """A person lets it go on: what was judged so far counts no more."""
        self.diagnosis = None
        self._codes.clear()
        self._refused.clear()
        self._row = 0

    def _judge(self) -> None:
        most = round(self.share * WINDOW, 6)
        refused = self._refused.total()
        in_a_row = most < WINDOW and self._row > max(most / 2, ROW_LEAST)
        if refused > most or in_a_row:
            self.diagnosis = Diagnosis(refused, len(self._codes), self._refused.most_common(1)[0][0])
