"""A month in virtual time, on the smallest plans: what an org costs in calls, events and writes, day by day.

    python -m bench.month [--people N] [--days N] [--seed N]

The real daemon runs between both simulated services, which enforce the plans' limits: Marketo 10,000 calls a day, Salesforce
15,000 calls and 10,000 delivered events. All counts are the services' own. Looks that cost processor time and no call are taken
less often than in a real daemon (`seldom`): a month has 2.6 million seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.oracle import compare
from sandbox.salesforce.seed import seed_org
from stream.config.model import Settings
from tests.logged import captured
from tests.property.machine import SCRATCH
from tests.property.simulated import Run, Schedule, Stage, World, seldom
from tests.property.virtual_time import VirtualClock, VirtualLoop, sqlite_in_this_thread

MARKETO_CALLS, SALESFORCE_CALLS, DELIVERED_EVENTS = 10_000, 15_000, 10_000
OTHERS_A_DAY = 800  # Marketo calls of other integrations
STREAM_PAUSES = (5.0, 10.0, 20.0)
DAY, HOUR = 86400.0, 3600.0
OPENS, CLOSES = 8, 18  # office hours, UTC
EDITED = {"Contact": 0.012, "Lead": 0.012, "Account": 0.01, "Opportunity": 0.05}  # share of the records changed on a working day
NEW_LEADS, WEEKEND = 300, 0.1
ACTIVE, RECALCULATED = 0.04, 0.01  # share of the people with an activity in a day, and of those recalculated in a night


@dataclass(frozen=True, slots=True)
class Count:
    """What one day took, as the services counted it, from midnight to midnight UTC."""

    day: int
    changes: int
    marketo_calls: int
    salesforce_calls: int
    delivered_events: int
    score_writes: int
    longest_linger_seconds: float
    refused: dict[str, int]


class Month(Stage):
    """An org with so many people on the smallest plans."""

    def __init__(self, folder: Path, clock: VirtualClock, people: int, seed: int) -> None:
        schedule = Schedule(seed, linger_seconds=10.0, first_load=True)
        super().__init__(World(polled_roles=True, sweeps=True), schedule, folder, clock)
        self.chance = random.Random(seed)
        self.stream.pauses = STREAM_PAUSES
        self.org.api_calls.limit, self.org.delivered_events.limit = SALESFORCE_CALLS, DELIVERED_EVENTS
        self.marketo.limits.daily_calls, self.marketo.limits.calls_per_20s = MARKETO_CALLS, 100
        size = people // 10
        seed_org(
            self.org,
            users=max(people // 500, 3),
            accounts=max(size, 2),
            contacts=4 * size,
            leads=6 * size,
            opportunities=max(size // 2, 1),
            roles=max(size // 2, 1),
            publish=False,
        )
        self.ids = {obj: [row["Id"] for row in self.org.records(obj)] for obj in EDITED}
        self.made = 0
        self.linger = 0.0

    def _settings(self) -> Settings:
        found = super()._settings()
        return found.model_copy(
            update={
                "marketo": found.marketo.model_copy(
                    update={"daily_calls": MARKETO_CALLS, "reserve_calls": 1000, "calls_per_20s": 50}
                ),
                "reconcile": found.reconcile.model_copy(
                    update={"daily_calls": 10_000, "interval_seconds": 3600.0, "poll_interval_seconds": 60.0}
                ),
                "deliver": found.deliver.model_copy(update={"max_new_people_a_day": 200_000}),
                "scores": found.scores.model_copy(
                    update={"interval_seconds": 300.0, "sweep_interval_seconds": DAY, "daily_writes": 10_000}
                ),
            }
        )

    async def live(self, day: int) -> Count:
        """One day's traffic, from midnight UTC."""
        began = self.clock.monotonic()
        limits = self.marketo.limits
        calls, writes = limits.calls, self.org_writes()
        quiet = 1.0 if day % 7 < 5 else WEEKEND
        moments = self._moments(quiet)
        self.instance.scores.recalculate(RECALCULATED, seed=day)
        self.linger = 0.0
        for at, change in moments:
            await self.until(began + at)
            change()
            self._look()
        await self.until(began + DAY - 1)
        self._look()
        salesforce_used, events_used = self.org.api_calls.used, self.org.delivered_events.used
        await self.until(began + DAY)
        limits.spend(OTHERS_A_DAY)
        refused = dict(self.wires.codes)
        self.wires.codes.clear()
        return Count(
            day,
            len(moments),
            limits.calls - calls,
            salesforce_used,
            events_used,
            self.org_writes() - writes,
            round(self.linger, 1),
            refused,
        )

    def _look(self) -> None:
        assert self.daemon is not None
        self.linger = max(self.linger, self.daemon.deliver.linger_seconds)

    def org_writes(self) -> int:
        """Score writes that the daemon counted since its start."""
        assert self.daemon is not None
        return self.daemon.scores.written

    def _moments(self, quiet: float) -> list[tuple[float, Any]]:
        """What happens, each at its second of the day."""
        chance = self.chance
        found: list[tuple[float, Any]] = []
        for obj, share in EDITED.items():
            edited = chance.choices(self.ids[obj], k=int(len(self.ids[obj]) * share * quiet))
            found += [(self._office(), partial(self._edit, obj, record_id)) for record_id in edited]
        found += [(self._office(), self._new_lead) for _ in range(int(NEW_LEADS * quiet * len(self.ids["Lead"]) / 60_000))]
        people = list(self.instance.leads)
        active = chance.sample(people, int(len(people) * ACTIVE * quiet))
        found += [(chance.uniform(0, DAY - 60), partial(self._act, person)) for person in active]
        return sorted(found, key=lambda each: each[0])

    def _office(self) -> float:
        return self.chance.uniform(OPENS * HOUR, CLOSES * HOUR)

    def _edit(self, obj: str, record_id: str) -> None:
        self.made += 1
        self.org.update(obj, record_id, {"Description": f"Noted {self.made}"})

    def _new_lead(self) -> None:
        self.made += 1
        row = {"LastName": f"New {self.made}", "Company": "Initech", "Email": f"new{self.made}@msi.example"}
        self.ids["Lead"].append(self.org.create("Lead", row))

    def _act(self, person: int) -> None:
        if person in self.instance.leads:
            self.instance.scores.change_score(person, self.chance.randint(0, 100))


async def month(folder: Path, people: int, days: int, seed: int) -> list[Count]:
    """The days, as they were."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    stage = Month(folder, VirtualClock(loop), people, seed)
    await stage.start()
    midnight = (int(stage.clock.now() // DAY) + 1) * DAY - stage.clock.now()
    counts = []
    await stage.until(midnight)
    print(f"first load: {stage.marketo.limits.calls:,} Marketo calls, {len(stage.instance.leads):,} people", flush=True)
    for day in range(days):
        counts.append(await stage.live(day))
        print(json.dumps(asdict(counts[-1])), flush=True)
    await stage.until(stage.clock.monotonic() + 6 * HOUR)
    problems = compare(stage.org, stage.instance, stage.world.rules).problems
    assert stage.store is not None
    print(f"at the end: {len(problems)} differences {problems[:5]}, dead {len(await stage.store.dead_letters())}", flush=True)
    await stage.end(Run(stage.world, (), stage.schedule))
    return counts


def main() -> None:
    """Live through it, and print what each day took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with (
        sqlite_in_this_thread(),
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        captured(),
        seldom(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        counts = runner.run(month(Path(folder), asked.people, asked.days, asked.seed))
    print(table(counts))


def table(counts: list[Count]) -> str:
    """The most that any day took, beside the plans."""
    rows = [
        ("Marketo calls", max(count.marketo_calls for count in counts), MARKETO_CALLS - OTHERS_A_DAY),
        ("Salesforce calls", max(count.salesforce_calls for count in counts), SALESFORCE_CALLS),
        ("delivered events", max(count.delivered_events for count in counts), DELIVERED_EVENTS),
        ("refused by Marketo", sum(sum(count.refused.values()) for count in counts), 0),
    ]
    lines = [f"| {what} | {most:,} | {allowed:,} |" for what, most, allowed in rows]
    return "\n".join(["| in the busiest day | used | allowed |", "|---|---|---|", *lines])


if __name__ == "__main__":
    main()
