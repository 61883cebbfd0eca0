"""Marketo's limits, shared by everyone who calls the instance: calls in 20 seconds, calls at once, calls a day."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sandbox.marketo.answers import Refused

CENTRAL = ZoneInfo("America/Chicago")
UNCOUNTED = frozenset({"601", "602", "604", "605", "608", "611"})
"""Codes that Adobe's table marks as counted neither against the quota nor the rate."""


@dataclass(slots=True)
class Ticket:
    """One call under way: when it came, who made it, and how much there was then, itself included."""

    at: float
    user: str
    in_20s: int
    at_once: int
    today: int


@dataclass(slots=True)
class Limits:
    """Decides on each call, and remembers the most that was ever seen. All numbers may be changed at any time."""

    now: Callable[[], float]
    calls_per_20s: int = 100
    concurrency: int = 10
    daily_calls: int = 50000
    highest_calls_in_20s: int = 0
    highest_concurrency: int = 0
    calls: int = 0
    in_flight: int = 0
    users_today: Counter[str] = field(default_factory=Counter)
    _recent: deque[float] = field(default_factory=deque)
    _day: str = ""

    def arrive(self, user: str = "msi-stream@api.example") -> Ticket:
        """A call comes in."""
        now = self.now()
        self._turn_day()
        self._forget(now)
        self._recent.append(now)
        self.calls += 1
        self.in_flight += 1
        self.users_today[user] += 1
        self.highest_calls_in_20s = max(self.highest_calls_in_20s, len(self._recent))
        self.highest_concurrency = max(self.highest_concurrency, self.in_flight)
        return Ticket(now, user, len(self._recent), self.in_flight, self.used_today)

    def leave(self, ticket: Ticket, code: str | None) -> None:
        """A call is answered, with this code if it was refused; some codes do not count."""
        self.in_flight -= 1
        if code in UNCOUNTED:
            self.users_today[ticket.user] -= 1
            if ticket.at in self._recent:
                self._recent.remove(ticket.at)

    def check(self, ticket: Ticket) -> None:
        """Raises Refused by what there was on arrival: 607 daily quota, 606 rate, 615 concurrency."""
        if ticket.today > self.daily_calls:
            raise Refused("607", f"Daily API Request Limit '{self.daily_calls}' reached")
        if ticket.in_20s > self.calls_per_20s:
            raise Refused("606", f"Max rate limit '{self.calls_per_20s}' exceeded with in '20' secs")
        if ticket.at_once > self.concurrency:
            raise Refused("615", "Concurrent access limit reached")

    @property
    def calls_in_20s(self) -> int:
        """Calls of everyone in the last 20 seconds."""
        self._forget(self.now())
        return len(self._recent)

    @property
    def used_today(self) -> int:
        """Calls of everyone since midnight, US Central time."""
        self._turn_day()
        return sum(self.users_today.values())

    @property
    def today(self) -> str:
        """The day of the quota, `YYYY-MM-DD`."""
        return self._central().date().isoformat()

    def spend(self, calls: int, user: str = "other@api.example") -> None:
        """Another integration uses up some of today's calls."""
        self._turn_day()
        self.users_today[user] += calls

    def seconds_to_reset(self) -> float:
        """Until midnight, US Central time."""
        here = self._central()
        midnight = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), CENTRAL)
        return midnight.timestamp() - here.timestamp()

    def usage(self) -> list[dict[str, object]]:
        """What `stats/usage.json` answers."""
        users = [{"userId": user, "count": count} for user, count in self.users_today.items()]
        return [{"date": self.today, "total": self.used_today, "users": users}]

    def _central(self) -> datetime:
        return datetime.fromtimestamp(self.now(), CENTRAL)

    def _turn_day(self) -> None:
        if self.today != self._day:
            self._day = self.today
            self.users_today.clear()

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - 20.0:
            self._recent.popleft()
