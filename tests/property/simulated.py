"""The real daemon between both simulated services in virtual time: a history is played, things go wrong, all comes to rest."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from sandbox.marketo.instance import Instance
from sandbox.marketo.server import SimulatedMarketo
from sandbox.oracle import PLACES, compare
from sandbox.oracle_rules import FIELDS, Rules, empty
from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from store.model import OBJECTS, DeadLetter
from store.store import Store
from stream.config import load
from stream.config.model import Settings
from stream.config.template import template
from stream.daemon import Daemon
from stream.logs.repeats import Repeats
from tests.logged import captured
from tests.property.histories import History, Step, summary
from tests.property.machine import SCRATCH
from tests.property.virtual_time import EPOCH_S, VirtualClock, VirtualLoop, pull_the_plug, sqlite_in_this_thread
from tests.property.wires import LATE_SECONDS, MARKETO, SALESFORCE, Stream, Wires

REST_SECONDS = 2 * 3600.0  # the longest that anything waits is 900 s, and several waits may follow each other
LOOK_SECONDS = 15.0
Fate = Literal["delete", "keep"]


SELDOM = {
    "stream.watch.heartbeat.BEAT_SECONDS": 60.0,
    "stream.watch.heartbeat.LINE_SECONDS": 600.0,
    "stream.watch.supervision.LOOK_SECONDS": 60.0,
    "stream.watch.supervision.STATUS_SECONDS": 600.0,
    "stream.watch.clock_watch.LOOK_SECONDS": 60.0,
    "stream.holds.LOOK_SECONDS": 60.0,
    "stream.reconcile.LOOK_SECONDS": 60.0,
    "stream.scores.LOOK_SECONDS": 60.0,
}


@contextmanager
def seldom() -> Iterator[None]:
    """Looks that cost processor time, and neither a call nor an answer, are taken less often: for long stretches of quiet."""
    with ExitStack() as stack:
        for name, seconds in SELDOM.items():
            stack.enter_context(patch(name, seconds))
        yield


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a run goes: when the daemon starts, how it is set, what goes wrong, all drawn from one seed."""

    seed: int
    faulty: float = 0.0
    breaks: float = 0.0
    doubles: float = 0.0
    kills: int = 0
    outages: int = 0
    slow_seconds: float = 0.3
    starts_at: float = 0.0
    batch_size: int = 300
    concurrency: int = 5
    linger_seconds: float = 1.0
    first_load: bool = False
    expires: bool = False


CALM = Schedule(0)


@dataclass(frozen=True, slots=True)
class World:
    """What does not change between the runs of one history."""

    fate: Fate = "delete"
    merge_people: bool = True
    shared_email: Literal["share", "duplicate"] = "share"
    polled_roles: bool = False
    sweeps: bool = False

    @property
    def hopeless_seconds(self) -> float:
        """Nothing is left to be done for so long, and both sides do not agree: they never will."""
        return 1500.0 if self.sweeps else 300.0

    @property
    def people_meet(self) -> bool:
        """Whether it makes no difference when somebody gets another's email. Where people are not merged, it does."""
        return self.merge_people or self.shared_email == "duplicate"

    @property
    def deletes(self) -> dict[str, Fate]:
        """What becomes of deleted records: deals and roles always go, as they do by default."""
        return {
            "Account": self.fate,
            "Contact": self.fate,
            "Lead": self.fate,
            "Opportunity": "delete",
            "OpportunityContactRole": "delete",
        }

    @property
    def rules(self) -> Rules:
        """For the oracle."""
        return Rules(deletes=self.deletes, merge_people=self.merge_people, shared_email=self.shared_email)


@dataclass(slots=True)
class Run:
    """One history in one schedule. `problems` is what the oracle says in the end, `state` what is in Marketo then."""

    world: World
    history: Sequence[Step]
    schedule: Schedule
    problems: list[str] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    state: dict[str, str] = field(default_factory=dict)
    logs: list[Any] = field(default_factory=list)
    passed_over: int = 0
    kills: int = 0
    seconds: float = 0.0
    happened: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    def play(self) -> Run:
        """Play it, in no time at all."""
        with (
            sqlite_in_this_thread(),
            tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
            captured() as self.logs,
            asyncio.Runner(loop_factory=VirtualLoop) as runner,
        ):
            state = random.getstate()
            random.seed(self.schedule.seed)  # the backoffs' jitter
            try:
                runner.run(self._play(Path(folder)))
            finally:
                random.setstate(state)
        return self

    async def _play(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        stage = Stage(self.world, self.schedule, folder, VirtualClock(loop))
        try:
            await self._tell(stage)
            await stage.come_to_rest()
        finally:
            self.seconds = loop.passed
            self.happened = stage.wires.happened
            self.kills = stage.killed
            await stage.end(self)

    async def _tell(self, stage: Stage) -> None:
        """Steps, kills and outages, each at its time."""
        history = History(stage.org, meets=self.world.people_meet)
        at = 1.0
        moments: list[tuple[float, int, Any]] = []
        for number, step in enumerate(self.history):
            at += step.wait_s
            moments.append((at, number, step))
        chance = random.Random(self.schedule.seed ^ 0x5EED)  # noqa: S311 - a schedule, no secret
        moments.append((self.schedule.starts_at * at, -1, "start"))
        moments += [(chance.uniform(0, at + 60), -2, "kill") for _ in range(self.schedule.kills)]
        moments += [(chance.uniform(0, at + 60), -2, "outage") for _ in range(self.schedule.outages)]
        for moment, _, what in sorted(moments, key=lambda each: each[:2]):
            await stage.until(moment)
            if isinstance(what, Step):
                history.take(what)
            elif what == "start":
                await stage.start()
            elif what == "kill":
                await stage.kill(chance)
            else:
                stage.break_down(chance)
        self.passed_over = history.passed_over


class Stage:
    """Both services, the wires, and the daemon."""

    def __init__(self, world: World, schedule: Schedule, folder: Path, clock: VirtualClock) -> None:
        self.world, self.schedule, self.folder, self.clock = world, schedule, folder, clock
        org = Org(clock.now, entities_allowed=6, selected=OBJECTS)
        org.enable_person_accounts()
        self.salesforce = SimulatedSalesforce(org)
        self.marketo = SimulatedMarketo(instance=Instance(now=clock.now, sleep=clock.sleep))
        self.marketo.limits.calls_per_20s = 100_000
        apps = {SALESFORCE: self.salesforce.application(), MARKETO: self.marketo.application()}
        for app in apps.values():
            app.freeze()
        chance = random.Random(schedule.seed)  # noqa: S311 - a schedule, no secret
        self.wires = Wires(apps, clock, chance, schedule.faulty, schedule.slow_seconds)
        self.stream = Stream(org.log, clock, chance, schedule.breaks, org.delivered_events, schedule.doubles)
        self.org, self.instance = org, self.marketo.instance
        self.daemon: Daemon | None = None
        self.store: Store | None = None
        self.task: asyncio.Task[None] | None = None
        self.restart_at: float | None = None
        self.over: list[tuple[float, str]] = []
        self.killed = 0
        self.repeats: Repeats | None = None
        for user in (org.person_id, org.api_user_id):
            org.update("User", user, {"Title": "Administrator"})

    # ---- time

    async def until(self, moment: float) -> None:
        """Let the time pass; what is over is over, and a daemon that died in between starts again."""
        while (now := self.clock.monotonic()) < moment:
            ends = [at for at, _ in self.over] + ([self.restart_at] if self.restart_at is not None else [])
            await self._sleep(max(min([moment, *ends]) - now, 0.001))
            now = self.clock.monotonic()
            for at, what in [each for each in self.over if each[0] <= now]:
                self.over.remove((at, what))
                self._back(what)
            if self.restart_at is not None and self.restart_at <= now:
                self.restart_at = None
                await self.start()

    async def _sleep(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        await asyncio.wait({sleeping, *([self.task] if self.task is not None else [])}, return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        if self.task is not None and self.task.done():
            self.task.result()  # raises what it died of
            raise AssertionError("the daemon ended")

    # ---- the daemon

    async def start(self) -> None:
        """Start the daemon on the store as the last one left it."""
        if self.task is not None:
            return
        settings = self._settings()
        self.store = await Store.open(settings.store.path)
        wires: Any = self.wires  # a session without sockets
        self.daemon = Daemon(settings, self.store, wires, self.clock, repeats=self.repeats)
        self.daemon.capture.source = self.stream
        self.task = asyncio.create_task(self.daemon.run())

    def _settings(self) -> Settings:
        found = settings_of(self.world, self.schedule.first_load)
        deliver = {"batch_size": self.schedule.batch_size, "linger_seconds": self.schedule.linger_seconds}
        return found.model_copy(
            update={
                "store": found.store.model_copy(update={"path": self.folder / "store.db"}),
                "deliver": found.deliver.model_copy(update=deliver),
                "marketo": found.marketo.model_copy(update={"concurrency": self.schedule.concurrency}),
            }
        )

    async def kill(self, chance: random.Random) -> None:
        """SIGKILL, wherever it stands; after a while the daemon is started again."""
        if self.task is None or self.store is None or self.daemon is None:
            return
        self.killed += 1
        await self._die()
        if self.schedule.expires and chance.random() < 0.5:
            self.org.log.expire_all()
        self.restart_at = self.clock.monotonic() + chance.choice((0.5, 5.0, 100.0))

    async def _die(self) -> None:
        assert self.task is not None
        assert self.store is not None
        assert self.daemon is not None
        pull_the_plug(self.store.writer.connection)
        task, self.task = self.task, None
        task.cancel()
        self.store.committer.cancel()
        await asyncio.gather(task, self.store.committer, return_exceptions=True)
        if self.store.lock is not None:
            self.store.lock.release()
        self.daemon.memory.close()

    # ---- outages

    def break_down(self, chance: random.Random) -> None:
        """A service, or the stream, is away for a while."""
        what = chance.choice((SALESFORCE, MARKETO, "stream"))
        if what == "stream":
            self.stream.down = True
        else:
            self.wires.down.add(what)
        self.over.append((self.clock.monotonic() + chance.choice((2.0, 30.0, 300.0)), what))

    def _back(self, what: str) -> None:
        if what == "stream":
            self.stream.down = False
        else:
            self.wires.down.discard(what)

    # ---- the end

    async def come_to_rest(self) -> None:
        """Nothing goes wrong any more; wait until everything is quiet, and both sides agree or will never."""
        if self.restart_at is not None:
            await self.until(self.restart_at + 0.01)
        self.wires.faulty = self.stream.breaks = self.stream.doubles = 0.0
        for _, what in self.over:
            self._back(what)
        self.over.clear()
        await self.start()
        began = idle_since = now = self.clock.monotonic()
        quiet = 0
        while quiet < 3 and now - began < REST_SECONDS and now - idle_since < self.world.hopeless_seconds:
            await self.until(now + LOOK_SECONDS)
            now = self.clock.monotonic()
            if not await self._is_idle():
                idle_since, quiet = now, 0
            else:
                quiet = 0 if self.problems() else quiet + 1

    async def _is_idle(self) -> bool:
        assert self.store is not None
        assert self.daemon is not None
        taken = self.stream.given_out and not self.daemon.capture._taking
        return taken and self.daemon.load.now_loading is None and not sum((await self.store.backlog()).values())

    def problems(self) -> list[str]:
        """What the oracle says now; what a kept person of somebody who is gone had stays there with whoever adopts it."""
        found = compare(self.org, self.instance, self.world.rules).problems
        stays = ("not cleared", "wrong relation: Lead") if self.world.fate == "keep" else ()
        return [problem for problem in found if not problem.startswith(stays)] if stays else found

    async def end(self, run: Run) -> None:
        """Look at everything, and stop."""
        if self.task is None or self.store is None:
            return
        if not self.task.done() and not self.store.committer.done():
            run.problems = self.problems()
            run.letters = await self.store.dead_letters()
            backlog = await self.store.backlog()
            run.problems += [f"never done: {count} {obj}" for obj, count in backlog.items() if count]
            run.state = state_of(self.org, self.instance)
            run.codes = self.wires.codes
        await self._die()
        for task in list(self.wires.at_work):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self.wires.at_work, return_exceptions=True)


def state_of(org: Org, instance: Instance) -> dict[str, str]:
    """What Marketo has of the living records' filled fields, by keys that do not depend on the order in which it came there.

    Marketo may have more, and that depends on when it was sent: who left, and what is kept of the deleted.
    """
    found: dict[str, str] = {}
    for obj in ("Account", "Contact", "Lead", "Opportunity"):
        place, key = PLACES[obj]
        for row in [each for each in org.records(obj) if not each.get("IsConverted")]:
            names = {here for there, here in FIELDS[obj].items() if not empty(row.get(there))} - PATH_DEPENDENT
            names |= {"externalSalesPersonId"} if str(row["OwnerId"]).startswith("005") else set()
            names |= {"externalCompanyId"} if row.get("AccountId") is not None else set()
            for record in instance.tables[place].find(key, row["Id"]):
                found[f"{obj} {row['Id']}"] = summary({name: record.get(name) for name in names})
    named = {lead["id"]: lead.get("externalPersonId") for lead in instance.leads.values()}
    for role in instance.roles.values():
        found[f"role {role['externalOpportunityId']} {named.get(role['leadId'])} {role['role']}"] = str(role.get("isPrimary"))
    return found


PATH_DEPENDENT = frozenset({"unsubscribed"})  # never taken back, whoever once said it


@cache
def settings_of(world: World, first_load: bool) -> Settings:
    """The configuration, read once."""
    sign_in = SimulatedSalesforce(Org(lambda: EPOCH_S)).sign_in
    marketo = SimulatedMarketo(instance=Instance(now=lambda: EPOCH_S))
    values = {
        "salesforce.login_url": SALESFORCE,
        "salesforce.flow": "client_credentials",
        "salesforce.client_id": sign_in.client_id,
        "salesforce.client_secret": sign_in.client_secret,
        "salesforce.objects.OpportunityContactRole": "poll" if world.polled_roles else "stream",
        "marketo.base_url": MARKETO,
        "marketo.client_id": marketo.client_id,
        "marketo.client_secret": marketo.client_secret,
        "marketo.calls_per_20s": 100_000,
        "marketo.daily_calls": 10_000_000,
        "deliver.settle_seconds": LATE_SECONDS + 5,
        "deliver.shared_email": world.shared_email,
        "deliver.merge_people": world.merge_people,
        **{f"deliver.deletes.{obj}": fate for obj, fate in world.deletes.items()},
        "scores.interval_seconds": 30,
        "reconcile.interval_seconds": 600 if world.sweeps else 10**7,
        "reconcile.backfill_on_first_start": first_load,
        "reconcile.daily_calls": 10_000_000,
        "reconcile.poll_interval_seconds": 20,
        "store.path": "/store.db",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(template(values), encoding="utf-8")
        return load(path, {}).settings
