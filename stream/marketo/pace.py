"""How much Marketo is given at a time: records in a call, and calls at once. Down by half, up again by small steps. Pure.

    604 to several records ──▶ fewer records in a call          606, 615, 604 to one ──▶ fewer calls at once
    answers that take longer than they did ──▶ fewer calls at once; where it is one already, fewer records in a call
    answers as ever ──▶ a step up, to somewhat below where it was too much; beyond that only as a probe, now and then

606 and 615 count the calls of every integration of the instance: giving way is all that helps, also where others cause them.
A new start begins with what is set: what was learnt is seldom true for longer than a restart takes, and learning it again costs
a handful of refused calls, each of which Marketo counts neither as a record's fault nor against the day.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

TIMEOUT_CODE = "604"
CROWDED_CODES = frozenset({"606", "615"})

STEP_SECONDS = 10.0  # between two steps up: calls in the state before have been answered by then
STEP_SHARE = 10  # a step is a tenth of what is set: from the bottom to the top in two minutes
BELOW_SHARE = 0.8  # so near it goes to where it was too much, without trying that again
PROBE_SECONDS = 60.0  # then it is tried again; twice as long after each probe that failed,
PROBE_SECONDS_MOST = 900.0  # at most: a refused call in a quarter of an hour is cheap, and hours of slowness are not
PROOFS = 3  # so many calls answered where it was too much before prove that it is no longer

SLOW_RATIO = 3.0  # twice as long happens with any other content; three times is no chance any more, where most calls say so
SLOW_CALLS = 9  # so many are judged, and most of them must be slow: one, or four, change nothing
SLOW_SECONDS_LEAST = 2.0  # nobody minds a call that is quicker, whatever it took before
LEARNING = 1 / 50  # how fast longer times become the usual ones: after some 50 calls nobody calls them slow any more
UNLEARNING = 1 / 20  # shorter ones become so sooner: they show what Marketo can do
OUTLIER_RATIO = 4.0  # whatever takes longer counts as if it had taken so much longer


@dataclass(slots=True)
class Dial:
    """One number: never more than `most`, never less than one. `refused_at`: where it was too much the last time.

    `probing`: it has gone there again, and it is not proven yet that this is well.
    """

    most: int
    value: int = 0
    refused_at: int | None = None
    probing: bool = False
    probe_seconds: float = PROBE_SECONDS
    proofs: int = 0
    changed_at: float = -math.inf
    lowered_at: float = -math.inf

    def __post_init__(self) -> None:
        """It begins with what is set."""
        self.value = self.value or self.most

    @property
    def step(self) -> int:
        """How much it goes up at a time."""
        return max(self.most // STEP_SHARE, 1)

    @property
    def below(self) -> int:
        """How far it goes without a probe."""
        return self.most if self.refused_at is None else max(int(self.refused_at * BELOW_SHARE), 1)

    @property
    def told(self) -> dict[str, int]:
        """For `status`: what goes now, and what is set."""
        return {"now": self.value, "set": self.most}

    def within(self, most: int) -> None:
        """Another setting."""
        self.value = most if self.value == self.most else min(self.value, most)
        self.most = most
        if self.refused_at is not None and self.refused_at > most:
            self.refused_at, self.probing = None, False

    def lower(self, at: int, now: float) -> None:
        """So much was too much. What was on its way before it came down says nothing new."""
        if at > self.value:
            return
        if self.probing:
            self.probe_seconds = min(2 * self.probe_seconds, PROBE_SECONDS_MOST)
        elif self.refused_at is None:
            self.probe_seconds = PROBE_SECONDS
        near = self.refused_at is not None and at <= self.refused_at + self.step
        self.refused_at = min(at, self.refused_at) if near and self.refused_at is not None else at
        self.probing, self.proofs = False, 0
        self.value, self.changed_at, self.lowered_at = max(at // 2, 1), now, now

    def passed(self, at: int) -> None:
        """So much was well."""
        if self.refused_at is not None and at >= self.refused_at:
            self.proofs += 1
            if self.proofs >= PROOFS:
                self.refused_at, self.probing, self.proofs = None, False, 0

    def rise(self, now: float) -> None:
        """All is well: a step up, where it is time for one."""
        if self.value >= self.most or now - self.changed_at < STEP_SECONDS:
            return
        beyond = self.refused_at is not None and self.below <= self.value < self.refused_at
        if beyond and now - self.lowered_at < self.probe_seconds:
            return
        if beyond:
            self.probing, self.value = True, self.refused_at or self.most
        else:
            free = self.refused_at is None or self.value >= self.refused_at
            self.value = min(self.value + self.step, self.most if free else self.below)
        self.changed_at = now


@dataclass(slots=True)
class Pace:
    """Both numbers, and what is known of how long calls take. Times are monotonic seconds."""

    batch_size: Dial
    concurrency: Dial
    _timed_out: str = ""
    _usual: dict[tuple[str, int], float] = field(default_factory=dict)
    _lately: deque[bool] = field(default_factory=lambda: deque(maxlen=SLOW_CALLS))

    @classmethod
    def full(cls, batch_size: int, concurrency: int) -> Pace:
        """As much as is set."""
        return cls(Dial(batch_size), Dial(concurrency))

    @property
    def is_full(self) -> bool:
        """Whether nothing is held back."""
        return self.now == (self.batch_size.most, self.concurrency.most)

    @property
    def now(self) -> tuple[int, int]:
        """Records in a call, calls at once."""
        return self.batch_size.value, self.concurrency.value

    def refused(self, code: str, call: str, *, records: int, began: float, now: float) -> None:
        """A call with so many records (0: it has none) was answered with a code; `call` names its kind."""
        if code == TIMEOUT_CODE and records > 1:
            self._timed_out = call
            self.batch_size.lower(records, now)
        elif code in CROWDED_CODES or code == TIMEOUT_CODE:
            self._fewer_at_once(began, now)

    def answered(self, call: str, *, records: int, at_once: int, began: float, now: float) -> bool:
        """A call was answered; `at_once` counts what was under way with it. True where most have become slow."""
        if call == self._timed_out:  # reading so many proves nothing for writing them
            self.batch_size.passed(records)
        self.concurrency.passed(at_once)
        if records:
            self._note(call, records, now - began, fresh=began >= self._lowered_at)
        slow = 2 * sum(self._lately) > len(self._lately)
        if slow and len(self._lately) == SLOW_CALLS:
            self._lately.clear()
            self._give_less(began, now)
            return True
        if not slow:
            self.batch_size.rise(now)
            self.concurrency.rise(now)
        return False

    @property
    def _lowered_at(self) -> float:
        return max(self.batch_size.lowered_at, self.concurrency.lowered_at)

    def _note(self, call: str, records: int, seconds: float, *, fresh: bool) -> None:
        """Hold its time for each record against what is usual for calls of its kind and about its size: any call takes some."""
        alike, each = (call, records.bit_length()), max(seconds, SLOW_SECONDS_LEAST / SLOW_RATIO) / records
        usual = self._usual.setdefault(alike, each)
        counted = min(each, OUTLIER_RATIO * usual)
        self._usual[alike] = usual + (counted - usual) * (UNLEARNING if counted < usual else LEARNING)
        if fresh:  # what was sent before it came down is as slow as it was
            self._lately.append(each >= SLOW_RATIO * usual)

    def _fewer_at_once(self, began: float, now: float) -> None:
        """Calls that were under way together are refused together, and are one piece of news."""
        if began >= self.concurrency.lowered_at:
            self.concurrency.lower(self.concurrency.value, now)

    def _give_less(self, began: float, now: float) -> None:
        if self.concurrency.value > 1:
            self._fewer_at_once(began, now)
        else:
            self.batch_size.lower(self.batch_size.value, now)
