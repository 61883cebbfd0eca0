"""A service's own time, learned from the `Date` of its answers: what is covered and what is asked for is told in it.

This machine's clock may be wrong, or be set while the daemon runs; between two answers only the monotonic clock is believed.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from stream.clock import Clock

WRONG_SECONDS = 5.0  # a `Date` has whole seconds, and may have been on its way for some


class ServerClock:
    """Seconds since the epoch by the service's clock; by this machine's until the first answer. A `Date` has whole seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset: float | None = None

    def note(self, date: str | None) -> None:
        """An answer came just now with this `Date`; one that is missing or illegible tells nothing."""
        try:
            self._offset = parsedate_to_datetime(date or "").timestamp() - self._clock.monotonic()
        except (TypeError, ValueError, OverflowError):
            return

    def at(self, monotonic: float) -> float:
        """The service's time at a moment of the monotonic clock."""
        offset = self._offset if self._offset is not None else self._clock.now() - self._clock.monotonic()
        return monotonic + offset

    def now(self) -> float:
        """The service's time now."""
        return self.at(self._clock.monotonic())

    def ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the service's (below zero: behind); None before the first answer."""
        return None if self._offset is None else self._clock.now() - self.now()

    def fine(self) -> float:
        """The time now, finer than whole seconds: by this machine's clock, unless that is seconds wrong."""
        ours, theirs = self._clock.now(), self.now()
        return theirs if abs(theirs - ours) > WRONG_SECONDS else ours
