"""A daily allocation: API calls, delivered events."""

from __future__ import annotations

from collections.abc import Callable

DAY_SECONDS = 86_400


class Quota:
    """Counts what is used in a UTC day; `limit=None` sets none."""

    def __init__(self, now: Callable[[], float], limit: int | None) -> None:
        self.limit = limit
        self._now = now
        self._day = -1
        self._used = 0

    @property
    def used(self) -> int:
        """Used today."""
        self._turn()
        return self._used

    @property
    def left(self) -> int | None:
        """Left today, or None without a limit."""
        return None if self.limit is None else max(self.limit - self.used, 0)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left today."""
        return self.left == 0

    def use(self, count: int = 1) -> None:
        """Count some more."""
        self._turn()
        self._used += count

    def _turn(self) -> None:
        day = int(self._now() // DAY_SECONDS)
        if day != self._day:
            self._day, self._used = day, 0
