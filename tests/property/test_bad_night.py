"""A bad night, in virtual time, and what an operator finds in the log the next morning: each thing once, and that it is over.

Marketo is away for hours, then the stream until the stored replay id has expired, then a mapping goes wrong. The log is the real
one.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from store.model import OBJECTS
from stream import deliver, holds, load, reading, reconcile, scores
from stream.logs.events import REGISTRY
from stream.logs.lines import same_as
from stream.logs.repeats import Repeats
from stream.watch import clock_watch, heartbeat, supervision
from tests.flow.log_file import Line, lines_of, told_into
from tests.flow.scenes import contact_of, lead_of
from tests.property.machine import SCRATCH
from tests.property.simulated import CALM, Stage, World
from tests.property.virtual_time import VirtualClock, VirtualLoop, sqlite_in_this_thread
from tests.property.wires import MARKETO

HOUR = 3600.0
AWAY_HOURS = 2.5
LEADS = 300
LOUD = ("warning", "error")
LOOK_SECONDS = 20.0


@dataclass(slots=True)
class Night:
    """The stage of it, and when what began (seconds from the start)."""

    stage: Stage
    contact: str = ""
    at: dict[str, float] = field(default_factory=dict)

    async def hours(self, count: float) -> None:
        """So long somebody edits something every ten minutes."""
        clock = self.stage.clock
        end = clock.monotonic() + count * HOUR
        while (now := clock.monotonic()) < end:
            self.stage.org.update("Contact", self.contact, {"Title": f"at {now:.0f}"})
            await self.stage.until(min(now + 600.0, end))

    def mark(self, what: str) -> None:
        """This begins now."""
        self.at[what] = self.stage.clock.now()


async def marketo_away(night: Night) -> None:
    """Marketo answers nobody."""
    night.mark("marketo away")
    night.stage.wires.down.add(MARKETO)
    await night.hours(AWAY_HOURS)
    night.stage.wires.down.discard(MARKETO)
    night.mark("marketo back")
    await night.hours(0.5)


async def stream_away(night: Night) -> None:
    """The stream is away until Salesforce has forgotten where it was."""
    night.mark("stream away")
    night.stage.stream.down = True
    await night.hours(0.5)
    night.stage.org.log.expire_all()
    night.stage.stream.down = False
    night.mark("stream back")
    await night.hours(0.5)


async def mapping_wrong(night: Night) -> None:
    """Marketo refuses every new lead for the same reason; somebody mends that, and tries the dead letters again."""
    stage = night.stage
    night.mark("mapping wrong")
    stage.instance.refuse_batch_containing("lead", bool, "1006")
    for number in range(LEADS):
        stage.org.create("Lead", lead_of(f"Night{number}"))
    await night.hours(0.5)
    stage.instance.refusals.clear()
    night.mark("mapping mended")
    assert stage.store is not None
    await stage.store.retry_dead(await stage.store.dead_letters(), int(stage.clock.now() * 1000))
    await night.hours(0.5)


async def play(folder: Path, log: Path) -> Night:
    """The whole night."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    clock = VirtualClock(loop)
    stage = Stage(World(), CALM, folder, clock)
    stage.repeats = Repeats(clock.monotonic)
    stage.stream.pauses = (10.0,)
    account = stage.org.create("Account", {"Name": "Acme"})
    night = Night(stage, stage.org.create("Contact", contact_of(account, "Kim")))
    with told_into(log, stage.repeats, clock):
        await stage.start()
        await night.hours(0.5)
        for trouble in (marketo_away, stream_away, mapping_wrong):
            await trouble(night)
        await stage.come_to_rest()
        assert stage.problems() == []
        await stage._die()
    return night


@pytest.fixture(scope="module")
def told() -> tuple[Night, list[Line]]:
    """The night, played once, and its log."""
    with (
        sqlite_in_this_thread(),
        tempfile.TemporaryDirectory(dir=SCRATCH) as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(heartbeat, "BEAT_SECONDS", LOOK_SECONDS)  # nobody looks each second: these hours are to cost seconds
        for module in (holds, clock_watch, deliver, load, reading, reconcile, scores, supervision):
            patch.setattr(module, "LOOK_SECONDS", LOOK_SECONDS)
        log = Path(folder) / "log"
        night = runner.run(play(Path(folder), log))
        return night, lines_of(log)


def seconds_of(line: Line) -> float:
    """When it was said."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def of(lines: Sequence[Line], event: str, **keys: object) -> list[Line]:
    """The lines of an event with these values."""
    return [line for line in lines if line["event"] == event and all(line.get(key) == value for key, value in keys.items())]


def within(night: Night, lines: Sequence[Line], begin: str, end: str) -> list[Line]:
    """Those that were said between the two."""
    return [line for line in lines if night.at[begin] <= seconds_of(line) <= night.at[end]]


def test_a_night_is_a_page_or_two_to_read(told: tuple[Night, list[Line]]) -> None:
    _, lines = told
    loud = [line for line in lines if line["level"] in LOUD]
    assert len(loud) <= 50, Counter(line["event"] for line in loud)
    quiet = [line for line in lines if line["level"] == "info" and line["event"] not in {"heartbeat", "batch_delivered"}]
    assert len(quiet) <= 25, Counter(line["event"] for line in quiet)


def test_no_loud_thing_is_said_twice_in_a_minute(told: tuple[Night, list[Line]]) -> None:
    _, lines = told
    before: dict[tuple[str, ...], float] = {}
    said: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        event = REGISTRY[line["event"]]
        if line["level"] not in LOUD or event.same is None:
            continue
        key = same_as(event, line)
        said[key] += 1
        if said[key] > event.first:
            assert seconds_of(line) - before[key] >= 55, line
            assert line["repeated"] >= 1
        before[key] = seconds_of(line)


def test_an_outage_of_hours_is_said_at_once_then_ever_more_seldom_and_its_end_once(told: tuple[Night, list[Line]]) -> None:
    night, lines = told
    away = within(night, lines, "marketo away", "marketo back")
    paused = of(away, "deliver_paused", code="unreachable")
    assert 0 <= seconds_of(paused[0]) - night.at["marketo away"] <= 700, "with the first change that could not go out"
    gaps = [seconds_of(later) - seconds_of(one) for one, later in pairwise(paused)]
    assert len(paused) <= 5
    assert gaps == sorted(gaps)
    [resumed] = of(lines, "deliver_resumed", code="unreachable")
    assert 0 <= seconds_of(resumed) - night.at["marketo back"] <= 400
    assert resumed["lasted_seconds"] == pytest.approx(AWAY_HOURS * HOUR, abs=1000)
    assert resumed["repeated"] > sum(line.get("repeated", 0) for line in paused), "how often it was tried in all"
    [scores] = of(lines, "scores_resumed")
    assert scores["lasted_seconds"] == pytest.approx(AWAY_HOURS * HOUR, abs=1000)
    beats = of(away, "heartbeat")[5:]
    assert {(line["state"], line["paused"]) for line in beats} == {("failing", "unreachable")}
    assert beats[-1]["freshness_oldest_seconds"] > (AWAY_HOURS - 1) * HOUR


def test_a_lost_position_is_said_once_with_what_is_read_again_for_it(told: tuple[Night, list[Line]]) -> None:
    night, lines = told
    assert of(within(night, lines, "stream away", "stream back"), "stream_lost")
    [refused] = of(lines, "replay_id_refused")
    assert refused["level"] == "error"
    afterwards = within(night, lines, "stream back", "mapping wrong")
    [subscribed] = of(afterwards, "stream_subscribed")
    assert subscribed["replay_from"] == -2
    assert subscribed["lasted_seconds"] == pytest.approx(0.5 * HOUR, abs=120)
    why = "the stored replay id had expired"
    assert len(of(afterwards, "load_started", why=why)) == len(of(afterwards, "load_finished", why=why)) == len(OBJECTS)
    assert [line for line in afterwards if line["level"] in LOUD and seconds_of(line) > seconds_of(refused)] == []


def test_a_wrong_mapping_calls_for_help_once_and_counts_what_it_refused(told: tuple[Night, list[Line]]) -> None:
    night, lines = told
    [poisoned] = of(lines, "deliver_poisoned")
    assert (poisoned["level"], poisoned["code"]) == ("error", "1006")
    assert "msi-stream dead list --code 1006" in poisoned["cure"]
    wrong = within(night, lines, "mapping wrong", "mapping mended")
    letters = of(wrong, "dead_letter", object="Lead")
    assert len([line for line in letters if "repeated" not in line]) == 10
    given_up = sum(line.get("repeated", 1) for line in letters)
    assert given_up == poisoned["refused"] - len(of(wrong, "dead_letter", object="Contact"))
    assert max(line["dead"] for line in of(wrong, "heartbeat")) == poisoned["refused"] < LEADS
    assert len(of(lines, "deliver_resumed", code="poisoned")) == 1


def test_in_the_morning_all_is_well_and_says_so(told: tuple[Night, list[Line]]) -> None:
    _, lines = told
    last = of(lines, "heartbeat")[-1]
    assert (last["state"], last["backlog"], last["dead"], last["held"], last["failing"]) == ("ok", {}, 0, [], [])
