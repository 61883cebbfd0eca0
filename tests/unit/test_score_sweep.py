"""The sweep over scores: a call for 300 people, one for 200 differences; nobody is left out, nothing newer written over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store.model import Key, ObjectName, Record
from store.rows import record_row
from store.scores import ScoreRow
from store.store import Store
from stream.errors import Unreachable
from stream.score_sweep import KEPT_SECONDS_MOST, READ_MOST, Sweep, Write
from tests.edge.marketo_edge import JumpingClock

DAY = 86_400.0


@dataclass
class Sides:
    """Who differs in Marketo, and what was written to Salesforce, call by call."""

    store: Store
    clock: JumpingClock
    differ: set[str] = field(default_factory=set)
    objects: dict[str, ObjectName] = field(default_factory=dict)
    reads: list[list[str]] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    away: bool = False

    def sweep(self, interval_seconds: float = DAY) -> Sweep:
        """A sweep as after a start."""
        return Sweep(self.store, self.clock, interval_seconds, self.find, self.put)

    def key(self, marketo_id: str) -> Key:
        """The one record behind a person."""
        return self.objects.get(marketo_id, "Contact"), f"003{marketo_id}"

    async def find(self, ids: Sequence[str]) -> list[Write]:
        """Read a page."""
        self.reads.append(list(ids))
        keys = {each: self.key(each) for each in ids if each in self.differ}
        rows = await self.store.last_written(list(keys.values()))
        found = []
        for key in keys.values():
            row = rows.get(key, ScoreRow(key))
            if (row.written or {}).get("Priority__c") != 7:
                found.append(Write(row, {"Priority__c": 7}, {"Priority__c": 7}, "1"))
        return found

    async def put(self, writes: Sequence[Write]) -> None:
        """Write a call's worth."""
        if self.away:
            raise Unreachable("away", sent=False)
        assert len(writes) <= 200
        if writes:
            self.calls.append([write.row.key[1] for write in writes])
        await self.store.remember_scores([ScoreRow(write.row.key, write.after) for write in writes])

    async def once(self, sweep: Sweep, steps: int = 1000) -> None:
        """Step until a sweep has ended, or so often."""
        before = sweep.swept_until
        for _ in range(steps):
            self.clock.at += await sweep.step()
            if sweep.swept_until != before:
                return


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    """Nobody yet."""
    store = await Store.open(tmp_path / "store.db")
    yield Sides(store, JumpingClock())
    await store.close()


async def people(sides: Sides, count: int, leads: int = 0) -> list[str]:
    """So many people whom Marketo has; their Marketo ids, in the order of the sweep."""
    ids = [f"{number:06d}" for number in range(count)]
    sides.objects = dict.fromkeys(ids[:leads], "Lead")
    rows = [record_row(Record(*sides.key(each), state="synced", marketo_id=each)) for each in ids]
    await sides.store.submit(lambda tx: tx.run_many("put_record", rows))
    return ids


@pytest.mark.parametrize("count", [0, 1, 299, 300, 301, 3000])
async def test_everybody_is_read_once_and_thin_differences_share_a_call(sides: Sides, count: int) -> None:
    ids = await people(sides, count)
    sides.differ = set(ids[::READ_MOST])
    await sides.once(sides.sweep())
    assert [each for page in sides.reads for each in page] == ids
    assert len([page for page in sides.reads if page]) == -(-count // READ_MOST)
    assert sides.calls == ([[f"003{each}" for each in ids[::READ_MOST]]] if ids else [])


async def test_all_differ_and_every_call_is_full(sides: Sides) -> None:
    ids = await people(sides, 2150, leads=1000)
    sides.differ = set(ids)
    await sides.once(sides.sweep())
    assert sorted(len(call) for call in sides.calls) == [150, *[200] * 10]
    assert sorted(each for call in sides.calls for each in call) == sorted(f"003{each}" for each in ids)


async def test_after_a_restart_nobody_is_left_out(sides: Sides) -> None:
    ids = await people(sides, 3000)
    sides.differ = set(ids[::100])
    for steps in (4, 3, 1, 1000):
        await sides.once(sides.sweep(), steps)  # what was kept back is forgotten, and its page read again
    assert sorted(each for call in sides.calls for each in call) == [f"003{each}" for each in ids[::100]]


async def test_what_cannot_be_written_waits_and_is_not_read_again_and_again(sides: Sides) -> None:
    ids = await people(sides, 900)
    sides.differ, sides.away = set(ids), True
    sweep = sides.sweep()
    for _ in range(5):
        with pytest.raises(Unreachable):
            await sweep.step()
    assert len(sides.reads) == 1
    sides.away = False
    await sides.once(sweep)
    assert [each for page in sides.reads for each in page] == ids
    assert sum(map(len, sides.calls)) == 900


async def test_what_was_written_meanwhile_is_newer(sides: Sides) -> None:
    ids = await people(sides, 900)
    sides.differ = {ids[0], ids[1]}
    sweep = sides.sweep()
    await sweep.step()
    await sides.store.remember_scores([ScoreRow(("Contact", f"003{ids[0]}"), {"Priority__c": 9})])  # the feed was faster
    await sides.once(sweep)
    assert sides.calls == [[f"003{ids[1]}"]]
    rows = await sides.store.last_written([("Contact", f"003{ids[0]}")])
    assert rows["Contact", f"003{ids[0]}"].written == {"Priority__c": 9}


async def test_no_difference_is_kept_back_for_long(sides: Sides) -> None:
    ids = await people(sides, 900)
    sides.differ = {ids[0]}
    sweep = sides.sweep()
    await sweep.step()
    assert sides.calls == []
    sides.clock.at += KEPT_SECONDS_MOST
    await sweep.step()
    assert sides.calls == [[f"003{ids[0]}"]]


async def test_the_next_sweep_begins_an_interval_after_this_one_began(sides: Sides) -> None:
    await people(sides, 900)
    began = sides.clock.now()
    sweep = sides.sweep()
    await sides.once(sweep)
    assert sweep.swept_until == began
    assert sides.clock.now() == pytest.approx(began + DAY, abs=1)
    reads = len(sides.reads)
    await sides.once(sweep)
    assert len(sides.reads) == 2 * reads


async def test_a_sweep_of_many_in_a_short_time_is_as_fast_as_that_takes(sides: Sides) -> None:
    ids = await people(sides, 3000)
    began, sweep = sides.clock.now(), sides.sweep(10.0)
    for _ in range(11):
        sides.clock.at += await sweep.step()
    assert [each for page in sides.reads for each in page] == ids
    assert sides.clock.now() <= began + 10


async def test_nobody_is_counted_at_a_start(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as there are people, and everything else would wait for it."""
    counted: list[float] = []

    async def count(_: Store) -> int:
        counted.append(sides.clock.now())
        return 900

    monkeypatch.setattr(Store, "count_people", count)
    await people(sides, 900)
    began, sweep = sides.clock.now(), sides.sweep()
    await sides.once(sweep)
    assert counted == []
    sides.clock.at = began + 1.5 * DAY
    await sides.once(sweep, 3)
    assert len(counted) == 1, "a sweep that has gone on for long goes by how many there are"
