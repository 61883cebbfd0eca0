"""How a day's budget is shared out, as pure decisions: live changes first, and the rest for what can wait.

    left today ─┬─ what live changes will need until the reset, at their present rate and with a margin
                └─ the rest ──▶ first loads, re-reads, sweeps

The nearer the live changes come to using up the day, the longer a batch waits to fill: fewer calls carry the same changes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

LIVE_MARGIN = 1.25  # the next hours may be busier than the last one
LEAST_KEPT_SHARE = 0.1  # of the budget, for a whole day: a quiet hour says little of the next
AGAIN_SHARE, AGAIN_CALLS = 1.1, 20  # what waited begins again when there is so much more than has to be kept
AIM = 0.9  # the share of what is left that live changes may come to use before batches wait longer
LONGEST_STRETCH = 60.0
LONGEST_LINGER_SECONDS = 600.0
LEAST_LINGER_SECONDS = 1.0  # where batches do not wait at all, a stretched wait begins here
DAY_SECONDS = 86400.0


@dataclass(slots=True)
class Rate:
    """Calls an hour, from samples of a count that only grows, or begins anew at midnight. `span_seconds` is looked back over."""

    span_seconds: float = 3600.0
    count: int | None = None
    made: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, count: int, now: float) -> None:
        """A sample, at `now` (monotonic seconds)."""
        if self.count is not None and count != self.count:
            self.made.append((now, count - self.count if count > self.count else count))
        self.count = count
        self._forget(now)

    def in_span(self, now: float) -> int:
        """How many there were in the span before now."""
        self._forget(now)
        return sum(calls for _, calls in self.made)

    def _forget(self, now: float) -> None:
        while self.made and self.made[0][0] <= now - self.span_seconds:
            self.made.popleft()


@dataclass(frozen=True, slots=True)
class Standing:
    """One day's budget as it stands. Counts are calls (or writes, or events); rates are of an hour."""

    allowed: int
    used: int
    live_per_hour: float
    per_hour: float
    resets_in_seconds: float

    @property
    def left(self) -> int:
        """How many there are until the reset."""
        return max(self.allowed - self.used, 0)

    @property
    def live_need(self) -> float:
        """How many live changes will take until the reset, as they come at present."""
        return self.live_per_hour * self.resets_in_seconds / 3600

    @property
    def kept_for_live(self) -> float:
        """How many are not for what can wait."""
        least = LEAST_KEPT_SHARE * self.allowed * min(self.resets_in_seconds / DAY_SECONDS, 1.0)
        return max(self.live_need * LIVE_MARGIN, least)

    @property
    def tightness(self) -> float:
        """The share of what is left that live changes will take; above 1 the day is longer than the budget."""
        return self.live_need / self.left if self.left else (1.0 if self.live_need == 0 else LONGEST_STRETCH)

    @property
    def forecast(self) -> int:
        """How many will have been used at the reset, at the present rate."""
        return self.used + round(self.per_hour * self.resets_in_seconds / 3600)

    def runs_out_in_seconds(self, *, live: bool = False) -> float | None:
        """When nothing is left at the present rate, or at that of live changes alone; None where the reset comes before."""
        rate = self.live_per_hour if live else self.per_hour
        if self.left == 0:
            return 0.0
        if rate <= 0:
            return None
        seconds = self.left / rate * 3600
        return seconds if seconds < self.resets_in_seconds else None

    def may_go(self, *, waits: bool) -> bool:
        """Whether what can wait may go; what `waits` already begins again only when there is a good deal more."""
        return self.left > (self.kept_for_live * AGAIN_SHARE + AGAIN_CALLS if waits else self.kept_for_live)


@dataclass(slots=True)
class Stretch:
    """By how much the waits that save calls are lengthened: 1 where the budget suffices.

    The rate that is looked at was made under the last stretch, so each step multiplies it by what is missing.
    """

    factor: float = 1.0

    def step(self, tightness: float) -> float:
        """Adjust to what was seen since the last step; lengthened at once, shortened by half at most."""
        wanted = self.factor * max(tightness / AIM, 0.5)
        self.factor = min(max(wanted, 1.0), LONGEST_STRETCH)
        return self.factor

    def wait_seconds(self, seconds: float) -> float:
        """A wait, lengthened."""
        if self.factor == 1.0:
            return seconds
        longest = max(seconds, LONGEST_LINGER_SECONDS)
        return min(max(seconds, LEAST_LINGER_SECONDS) * self.factor, longest)
