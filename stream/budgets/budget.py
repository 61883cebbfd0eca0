"""Daily call budgets: how many calls this daemon may still make today, as a pure decision before each call.

The configuration sets the limit; where the service tells what everybody used, less where less is left beside the reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from stream.errors import BudgetSpent

CENTRAL = ZoneInfo("America/Chicago")  # Marketo's daily quota is reset at midnight US Central time (Adobe, rate limits)


def day_in(zone: ZoneInfo | None, now: float) -> tuple[str, float]:
    """The day `now` falls in (YYYY-MM-DD) and the seconds until that day ends there; UTC where `zone` is None."""
    moment = datetime.fromtimestamp(now, zone or UTC)
    midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return moment.strftime("%Y-%m-%d"), max(midnight.timestamp() - now, 1.0)


_background: ContextVar[bool] = ContextVar("background", default=False)


@contextmanager
def background() -> Iterator[None]:
    """Calls that this task makes in here can wait for a better day: they are counted apart from those for live changes."""
    token = _background.set(True)
    try:
        yield
    finally:
        _background.reset(token)


class Ledger(Protocol):
    """Where all processes on one store count their calls of the day together."""

    def take(self, name: str, day: str, calls: int, limit: int, known: int) -> int | None:
        """Count so many more, unless there would be more than the limit (None); returns how many were made by all."""
        ...

    def used(self, name: str, day: str) -> int:
        """How many were made by all."""
        ...

    def rename(self, name: str, day: str, to: str) -> None:
        """What was counted for this day, or a later one, counts for another from now on; what is older is over."""
        ...


@dataclass(slots=True)
class DailyBudget:
    """Calls used today against a limit. `used` and `day` are restored from, and written to, the store by the daemon.

    With a `ledger`, `used` is what all processes used together when it was last looked at, and `own` what this one did. Only a
    later day begins anew: a clock that is set back over midnight must not give the same day's calls twice. `in_background` are
    those of `own` that could have waited. `ceiling`: the `used` at which the service has no more for us today, if it told.
    """

    name: str
    limit: int
    now: Callable[[], float]
    zone: ZoneInfo | None = None
    day: str = ""
    used: int = 0
    own: int = 0
    ledger: Ledger | None = None
    in_background: int = 0
    ceiling: int | None = None
    ceiling_until: float = 0.0
    why: str = ""

    @property
    def allowed(self) -> int:
        """How many calls this daemon may make in the day: its limit, or less where others take more than their share."""
        told = self.ceiling is not None and self.now() < self.ceiling_until
        return min(self.limit, self.ceiling) if told and self.ceiling is not None else self.limit

    @property
    def cut_short(self) -> str:
        """Why there is less today than the limit; nothing where there is not."""
        return self.why if self.allowed < self.limit else ""

    def told(self, left: int, why: str, *, for_seconds: float) -> None:
        """The service has so many more for us today, others considered; `why` is said where that is less than the limit.

        That holds for so long: what is not asked for again does not tell, either, that there is more by now.
        """
        self.ceiling, self.why = self.count() + max(left, 0), why
        self.ceiling_until = self.now() + for_seconds

    def take(self, calls: int = 1) -> None:
        """Count so many calls as made; raises BudgetSpent, and counts nothing, where the limit would be passed."""
        resets_in_seconds = self._turn_day()
        taken = self._taken(calls)
        if taken is None:
            raise BudgetSpent(
                self._spent(),
                resets_in_seconds=resets_in_seconds,
                hint="it goes on by itself at the reset; raise the limit in the configuration if the instance allows more",
            )
        self.used = taken
        self.own += calls
        self.in_background += calls if _background.get() else 0

    def resets_in_seconds(self) -> float:
        """When the day ends."""
        return self._turn_day()

    def _taken(self, calls: int) -> int | None:
        if self.ledger is not None:
            return self.ledger.take(self.name, self.day, calls, self.allowed, self.used)
        return self.used + calls if self.used + calls <= self.allowed else None

    def _spent(self) -> str:
        if self.cut_short:
            return f"no more {self.name} are left for today after {self.used} of {self.limit}: {self.cut_short}"
        return f"the daily budget of {self.limit} {self.name} is used up"

    def count(self) -> int:
        """How many calls were made today, by all."""
        self._turn_day()
        if self.ledger is not None:
            self.used = max(self.used, self.ledger.used(self.name, self.day))
        return self.used

    def left(self) -> int:
        """How many calls may still be made today."""
        used = self.count()  # a new day has an allowance of its own
        return max(self.allowed - used, 0)

    def restore(self, day: str, used: int) -> None:
        """Take over what an earlier run had used, unless another day has begun since."""
        self._turn_day()
        if day >= self.day:
            self.used = max(self.used, used)

    def carry_over(self, then: float, now: float) -> None:
        """The clock was set from then to now: whatever day it shows, nobody knows of another allowance."""
        before, self.day = day_in(self.zone, then)[0], day_in(self.zone, now)[0]
        self.ceiling = None
        if self.ledger is not None:
            self.ledger.rename(self.name, before, self.day)

    def _turn_day(self) -> float:
        day, resets_in_seconds = day_in(self.zone, self.now())
        if day > self.day:
            self.day, self.used, self.ceiling = day, 0, None
        return resets_in_seconds
