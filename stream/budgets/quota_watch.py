"""The watch over the daily budgets: reads what others use, lets what can wait wait, and makes batches wait longer in time.

    calls made ──every minute──▶ Standing ─┬─▶ may loads and sweeps go?      ──▶ load, reconcile, scores, deliver
    usage.json, /limits ─every half hour──▶ └─▶ how long does a batch wait?  ──▶ deliver, reading, reconcile
    Sforce-Limit-Info ──with every answer─▶

Nothing that waits is lost: it is in the outbox, or in the intervals that are not proven complete, and goes on by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from stream.budgets.budget import DailyBudget
from stream.budgets.quota import LIVE_MARGIN, Rate, Standing, Stretch
from stream.clock import Clock
from stream.config.model import Settings
from stream.errors import MarketoError, StreamError
from stream.marketo.client import MarketoClient
from stream.marketo.codes import rule_of
from stream.salesforce.rest import SalesforceClient
from stream.watch import pulse

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
ASK_SECONDS = 1800.0  # 48 calls a day to each service
TOLD_SECONDS = 2 * ASK_SECONDS
STEP_SECONDS = 600.0  # over which the rate is taken that the waits follow
EVENTS = "DailyDeliveredPlatformEvents"  # change events count in it, by subscriber (Salesforce, Change Data Capture allocations)
OTHERS = "other integrations have used so much of the instance's daily quota"
EVENTS_USED = "so few of Salesforce's daily delivered events are left, and each write comes back as one"


@dataclass(slots=True)
class Watched:
    """One budget, how fast it goes, and whether what can wait waits for it."""

    name: str
    budget: DailyBudget
    hour: Rate = field(default_factory=Rate)
    background_hour: Rate = field(default_factory=Rate)
    lately: Rate = field(default_factory=lambda: Rate(STEP_SECONDS))
    background_lately: Rate = field(default_factory=lambda: Rate(STEP_SECONDS))
    stretch: Stretch = field(default_factory=Stretch)
    waits: bool = False

    def sample(self, now: float) -> None:
        """Look at the counts, at `now` (monotonic seconds)."""
        used, in_background = self.budget.count(), self.budget.in_background
        for rate in (self.hour, self.lately):
            rate.add(used, now)
        for rate in (self.background_hour, self.background_lately):
            rate.add(in_background, now)

    def standing(self, now: float) -> Standing:
        """As it stands by the last hour."""
        made = self.hour.in_span(now)
        live = max(made - self.background_hour.in_span(now), 0)
        return self._standing(live, made)

    def step(self, now: float) -> float:
        """Adjust the waits to what was called for lately; returns the factor."""
        live = max(self.lately.in_span(now) - self.background_lately.in_span(now), 0) * 3600 / STEP_SECONDS
        return self.stretch.step(self._standing(live, live).tightness)

    def _standing(self, live_per_hour: float, per_hour: float) -> Standing:
        resets_in_seconds, used = self.budget.resets_in_seconds(), self.budget.count()
        return Standing(self.budget.allowed, used, live_per_hour, per_hour, resets_in_seconds)


@dataclass(slots=True)
class QuotaWatch:
    """The loop. `lengthen` is given the factors by which the waits for Marketo and for Salesforce are lengthened."""

    clock: Clock
    marketo: MarketoClient
    salesforce: SalesforceClient
    settings: Callable[[], Settings]
    budgets: Mapping[str, DailyBudget]
    events: Callable[[], int]
    lengthen: Callable[[Stretch, Stretch], None]
    _watched: dict[str, Watched] = field(init=False)
    _incoming: Rate = field(default_factory=Rate)
    _next_step: float = 0.0
    _ask_at: dict[str, float] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Each budget is watched for itself."""
        self._watched = {name: Watched(name, budget) for name, budget in self.budgets.items()}
        self._next_step = self.clock.monotonic() + STEP_SECONDS

    def waits(self, *names: str) -> bool:
        """Whether what can wait, and takes from these budgets, waits."""
        return any(self._watched[name].waits for name in names)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            pulse.attempted(LOOK_SECONDS)
            await self.clock.sleep(LOOK_SECONDS)
            await self._ask()

    def sample(self) -> None:
        """Look at the counts."""
        now = self.clock.monotonic()
        self._incoming.add(self.events(), now)
        for each in self._watched.values():
            each.sample(now)

    def look(self) -> None:
        """Judge how it stands, and say what changes."""
        self.sample()
        now = self.clock.monotonic()
        for each in self._watched.values():
            self._judge(each, each.standing(now))
        if now >= self._next_step:
            self._next_step = now + STEP_SECONDS
            self._step(now)

    def told(self, name: str) -> dict[str, Any]:
        """One budget, as the heartbeat notes it."""
        each = self._watched[name]
        standing = each.standing(self.clock.monotonic())
        return {
            "used": standing.used,
            "budget": standing.allowed,
            "cut_short": each.budget.cut_short,
            "day": each.budget.day,
            "last_hour": standing.per_hour,
            "live_last_hour": standing.live_per_hour,
            "waits": each.waits,
            "stretch": round(each.stretch.factor, 2),
        }

    def _judge(self, each: Watched, standing: Standing) -> None:
        may_go = standing.may_go(waits=each.waits)
        if may_go != each.waits:
            return
        each.waits = not may_go
        left, kept = standing.left, round(standing.kept_for_live)
        if may_go:
            log.info("background_goes_on", service=each.name, left=left, kept=kept)
        else:
            live, hours = round(standing.live_per_hour), round(standing.resets_in_seconds / 3600, 1)
            log.warning("background_waits", service=each.name, left=left, kept=kept, live_per_hour=live, resets_in_hours=hours)

    def _step(self, now: float) -> None:
        for name in ("marketo", "salesforce"):
            each = self._watched[name]
            before, factor = each.stretch.factor, each.step(now)
            if factor > 1.0 and before == 1.0:
                wait_seconds = each.stretch.wait_seconds(self.settings().deliver.linger_seconds)
                log.warning("budget_tight", service=name, linger_seconds=round(wait_seconds, 1), left=each.budget.left())
            elif factor == 1.0 and before > 1.0:
                log.info("budget_eased", service=name)
        self.lengthen_waits()

    def lengthen_waits(self) -> None:
        """Let everybody wait as long as the budgets ask for, by the settings as they are now."""
        self.lengthen(self._watched["marketo"].stretch, self._watched["salesforce"].stretch)

    # ── what others use

    async def _ask(self) -> None:
        """Ask whom it is time to ask; what passes by itself is tried again by the next look."""
        for service, ask in (("marketo", self._ask_marketo), ("salesforce", self._ask_salesforce)):
            if self.clock.monotonic() < self._ask_at.get(service, -math.inf):
                continue
            try:
                await ask()
                self._unknown.discard(service)
            except StreamError as error:
                if _passes(error):
                    continue
                if service not in self._unknown:
                    self._unknown.add(service)
                    log.warning("usage_unknown", service=service, cause=error.message, cure=error.hint)
            self._ask_at[service] = self.clock.monotonic() + ASK_SECONDS

    async def _ask_marketo(self) -> None:
        """What is left of the quota beside what is reserved for others, less what they have used of their reserve already."""
        limits, budget = self.settings().marketo, self.budgets["marketo"]
        used = await self.marketo.usage_today()
        others = max(used - budget.count(), 0)
        budget.told(limits.daily_calls - used - max(limits.reserve_calls - others, 0), OTHERS, for_seconds=TOLD_SECONDS)

    async def _ask_salesforce(self) -> None:
        """As many score writes as events are left beside those that come of themselves; of calls each answer tells."""
        events = (await self.salesforce.limits()).get(EVENTS)
        if events is None:
            return
        writes = self.budgets["score_writes"]
        hours = writes.resets_in_seconds() / 3600
        coming = self._incoming.in_span(self.clock.monotonic()) * hours * LIVE_MARGIN
        writes.told(events.remaining - round(coming), EVENTS_USED, for_seconds=TOLD_SECONDS)


def _passes(error: StreamError) -> bool:
    """Whether it is over by the next time, without anybody's help."""
    return rule_of(error.code).together == "retry" if isinstance(error, MarketoError) else error.heals_itself
