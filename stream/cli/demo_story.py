"""What the demo plays: a backlog, live changes, scores, an orderly restart, conversions, a kill; then it asks for the proof.

The quiet acts stand between the busy ones, so that Marketo's limit of calls in 20 seconds makes nobody wait for long.

changes ──▶ simulated Salesforce ──▶ the daemon (a process of its own) ──▶ simulated Marketo
                     └──────────────── looked at, compared ────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.faults import Fault
from sandbox.stage import Stage
from sandbox.stage_changes import Changes
from sandbox.stage_progress import Progress, Standing
from sandbox.stage_proofs import Facts, Restart
from stream.cli.demo_daemon import DaemonEnded, DaemonProcess
from stream.cli.demo_in_flight import under_way
from stream.clock import Clock

LATENCY_SECONDS = 0.12  # Marketo's own, so that something is always under way
CALLS_PER_20S, CONCURRENCY = 90, 5  # of the 100 and 10 that Marketo gives to an instance
LOOK_SECONDS = 0.25
PAUSE_SECONDS = 0.12  # between two live changes
SETTLED_SECONDS = 1.5  # both sides agree, and nothing was sent for so long
PATIENCE_SECONDS = 45.0


class Stuck(Exception):
    """The two systems do not agree after a long wait."""


class View(Protocol):
    """Where the story is told."""

    def say(self, sentence: str) -> None:
        """A step is done, or begins: one sentence that stays."""
        ...

    def show(self, standings: Sequence[Standing], story: Story) -> None:
        """How things stand now."""
        ...


def daemon_settings(people: int) -> dict[str, Any]:
    """The daemon's settings beside addresses and secrets: quick, and within Marketo's limits."""
    return {
        "marketo.calls_per_20s": CALLS_PER_20S,
        "marketo.concurrency": CONCURRENCY,
        "deliver.linger_seconds": 1.2,
        "deliver.settle_seconds": 2.0,
        "scores.interval_seconds": 4.0,
        "scores.sweep_interval_seconds": max(6.0, people / 100),
        "scores.daily_writes": max(10_000, 50 * people),
        "reconcile.poll_interval_seconds": 1.0,
    }


@dataclass(slots=True)
class Story:
    """One run. `facts` holds what the proof needs; `waiting_for` says what is happening, for the view."""

    stage: Stage
    daemon: DaemonProcess
    view: View
    clock: Clock
    people: int
    changes: Changes = field(init=False)
    progress: Progress = field(init=False)
    facts: Facts = field(init=False)
    began: float = field(init=False)
    act: str = ""
    _looks: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing has happened yet."""
        self.changes = Changes(self.stage)
        self.progress = Progress(self.changes)
        self.facts = Facts(self.stage, self.changes, CALLS_PER_20S, CONCURRENCY)
        self.began = self.clock.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.clock.monotonic() - self.began

    async def play(self) -> None:
        """All acts; what could not be played to its end stands in `facts.unfinished`."""
        self.stage.marketo.latency_seconds = LATENCY_SECONDS
        self._begin(self._watch())
        try:
            for act in (self._backlog, self._live, self._scores, self._restart, self._convert, self._kill, self._end):
                await act()
        except (Stuck, DaemonEnded) as error:
            self.facts.unfinished.append(f"while {self.act}: {error}")
            self.view.say(f"✗ {error}")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- the acts

    async def _backlog(self) -> None:
        self.act = "the backlog is delivered"
        self.stage.seed(self.people)
        records = sum(self.stage.org.count(name) for name in ("User", "Account", "Contact", "Lead", "Opportunity"))
        roles = self.stage.org.count("OpportunityContactRole")
        self.view.say(f"{records + roles:,} records and their events wait in Salesforce; the daemon starts")
        await self.daemon.start()
        await self._agree()
        self._done("the whole backlog is in Marketo")

    async def _live(self) -> None:
        self.act = "changes flow"
        before = self.changes.made.total()
        await self._flow(11)
        self.changes.busy_day(0.06)
        await self._flow(11)
        self.changes.nightly(0.06)
        await self._agree()
        self._done(f"{self.changes.made.total() - before} live changes arrived (edits, new ones, deletes, owners, stages)")

    async def _convert(self) -> None:
        self.act = "leads are converted"
        self.changes.convert_lead(into_account=False)
        self.changes.convert_lead(into_account=True)
        await self._agree()
        self._done("two leads were converted, and kept their Marketo ids")

    async def _restart(self) -> None:
        self.act = "the daemon is restarted"
        flow = self._begin(self._flow(6))
        await self._written()
        code = await self.daemon.stop()
        restart = Restart(start=0, events=0)
        self.facts.orderly = restart
        if code:
            self.facts.unfinished.append(f"the daemon ended with exit code {code} after SIGTERM")
        self.view.say("SIGTERM: the daemon has stopped, Salesforce goes on changing")
        await flow
        await self._flow(4)
        await self._start_again(restart)
        self._done("what changed meanwhile arrived, and nothing else was sent")

    async def _kill(self) -> None:
        self.act = "the daemon is killed"
        flow = self._begin(self._flow(8))
        faults = self.stage.marketo.faults
        faults.add(Fault("hang_after", path=r"^/rest/v1/leads\.json$", method="POST", body_matches='"leadSource":"Campaign'))
        self.changes.edit_many()
        await self._written("leadSource")
        await self.daemon.kill()
        faults.clear()
        restart = Restart(start=0, events=0)
        self.facts.killed = restart
        self.view.say("kill -9 while Marketo's answer is on its way, Salesforce goes on changing")
        self.changes.nightly(0.06)
        await flow
        await self._flow(6)
        await self._start_again(restart)
        self._done("nothing was lost, neither changes nor scores")

    async def _scores(self) -> None:
        self.act = "scores change"
        self.view.say(f"Marketo: {self.changes.busy_day(0.15)}, {self.changes.nightly(0.4)} at night")
        await self._agree()
        self._done("every score is back in Salesforce")

    async def _end(self) -> None:
        self.act = "the daemon stops"
        code = await self.daemon.stop()
        if code:
            raise DaemonEnded(f"the daemon ended with exit code {code} after SIGTERM")

    # ---- their parts

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def _flow(self, count: int) -> None:
        """So many changes, one after the other as people make them."""
        for _ in self.changes.steps(count):
            await self.clock.sleep(PAUSE_SECONDS)

    async def _start_again(self, restart: Restart) -> None:
        """Start the daemon, wait until all is as it ought to be and quiet, and note between which places that was.

        Marketo may still be at work on what a dead daemon sent: only when that is done is it known what was taken.
        """
        await self._until(lambda: not self.stage.marketo.limits.in_flight, step_seconds=0.01)
        restart.in_flight = await under_way(self.daemon.store, self.stage.instance)
        restart.start, restart.events = len(self.stage.instance.journal), self.stage.org.log.end
        await self.daemon.start()
        self.view.say("the daemon starts again")
        await self._agree(SETTLED_SECONDS)
        restart.until, restart.events_until = len(self.stage.instance.journal), self.stage.org.log.end

    async def _written(self, field_name: str = "") -> None:
        """Return when Marketo has just accepted a write (that sets this field)."""
        journal = self.stage.instance.journal
        place = len(journal)

        def accepted() -> bool:
            return any(not field_name or field_name in write.changed for write in journal[place:])

        await self._until(accepted, step_seconds=0.001)

    async def _agree(self, settled_seconds: float = 0.0) -> None:
        """Wait until both systems agree, and go on doing so without another write for a while."""
        journal = self.stage.instance.journal
        place, since = len(journal), self.clock.monotonic()
        seen = self._looks  # a look is made in one go: the next one sees every change made until now

        def agreed() -> bool:
            nonlocal place, since
            if self._looks == seen or not self.progress.report.ok:
                since = self.clock.monotonic()
                return False
            if settled_seconds and len(journal) != place:
                place, since = len(journal), self.clock.monotonic()
            return self.clock.monotonic() - since >= settled_seconds

        await self._until(agreed, step_seconds=0.05)

    async def _until(self, done: Callable[[], bool], *, step_seconds: float) -> None:
        deadline = self.clock.monotonic() + PATIENCE_SECONDS + self.people / 20
        while not done():
            self.daemon.check()
            for task in self._tasks:
                if task.done():
                    task.result()  # raises what it died of
            if self.clock.monotonic() > deadline:
                raise Stuck(f"the two systems still differ after {PATIENCE_SECONDS + self.people / 20:.0f} s")
            await self.clock.sleep(step_seconds)

    def _done(self, sentence: str) -> None:
        self.view.say(f"✓ {sentence}")

    async def _watch(self) -> None:
        """Look at both systems again and again, and show what is seen; a large org is looked at less often."""
        while True:
            began = self.clock.monotonic()
            standings = self.progress.look()
            self._looks += 1
            self.view.show(standings, self)
            spent = self.clock.monotonic() - began
            await self.clock.sleep(max(LOOK_SECONDS, 3 * spent))
