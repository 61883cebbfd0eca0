"""The scores of whoever comes to another Marketo person: that one's, soon, and of the former one none any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from store.model import Change, Key, Record
from store.rows import record_row
from store.scores import TOGETHER_MS, ScoreRow
from stream.budgets.budget import DailyBudget
from stream.delivery.exclusion import Exclusion
from stream.errors import BudgetSpent, Unreachable
from stream.marketo.answers import Page
from stream.retry import Backoff
from stream.salesforce.rest_answers import RowResult
from stream.score_diff import ScoreField
from stream.score_sweep import READ_MOST
from stream.scores import Scores
from tests.edge.conftest import FakeClock
from tests.store.outbox_steps import CONTACT, NOON, Outbox, event, sf_id

KEY: Key = ("Contact", CONTACT)
PRIORITY = ScoreField("priority", "Priority__c", "double", 18, 0)


@dataclass
class Marketo:
    """People's priorities by their ids; `meanwhile` happens while the next answer is on its way."""

    priorities: dict[str, int | None] = field(default_factory=dict)
    meanwhile: Callable[[], Awaitable[None]] | None = None
    feeds: int = 0
    server_clock: Any = field(default_factory=lambda: SimpleNamespace(now=lambda: 1.0))

    async def find(self, obj: str, name: str, values: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:  # noqa: ARG002 - the client's signature
        """Those whom Marketo has."""
        found = [{"id": int(each), "priority": self.priorities[each]} for each in values if each in self.priorities]
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found

    async def activity_types(self) -> dict[str, int]:
        """The usual ones."""
        return {}

    async def paging_token(self, since: Any) -> str:  # noqa: ARG002 - the client's signature
        """Some token."""
        return "token"

    async def activities(self, token: str, types: Sequence[int]) -> Page:  # noqa: ARG002 - the client's signature
        """Nothing has happened."""
        self.feeds += 1
        return Page([], "token", more=False)


@dataclass
class Salesforce:
    """Takes scores, unless it is away."""

    written: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False

    async def update(self, obj: str, rows: Sequence[dict[str, Any]]) -> list[RowResult]:  # noqa: ARG002 - the client's signature
        """Written."""
        if self.away:
            raise Unreachable("away", sent=False)
        self.written += rows
        return [RowResult(row["Id"], success=True) for row in rows]


@dataclass
class Sides:
    """The loop between them, on a real store."""

    outbox: Outbox
    budget: int = 10**6
    marketo: Marketo = field(default_factory=Marketo)
    salesforce: Salesforce = field(default_factory=Salesforce)
    clock: FakeClock = field(default_factory=FakeClock)
    scores: Scores = field(init=False)

    def __post_init__(self) -> None:
        self.clock.now = lambda: self.outbox.now_ms / 1000  # type: ignore[method-assign] # the outbox's time
        self.scores = Scores(
            store=self.outbox.store,
            salesforce=self.salesforce,  # type: ignore[arg-type] # as much of it as is asked
            marketo=self.marketo,  # type: ignore[arg-type] # likewise
            catalog=SimpleNamespace(),  # type: ignore[arg-type] # likewise
            clock=self.clock,
            writes_budget=DailyBudget("score writes", self.budget, self.clock.now),
            interval_seconds=300.0,
            sweep_interval_seconds=86_400.0,
            field_prefix="",
            relative_score_field="",
            max_attempts=8,
            backoff=Backoff(1.0, 60.0),
            holds=SimpleNamespace(held=lambda _: False),  # type: ignore[arg-type] # likewise
            exclusion=Exclusion(),
            suspicion=asyncio.Event(),
        )
        self.scores._fields = {"Contact": [PRIORITY], "Lead": [PRIORITY]}

    async def comes_to(self, person: str, record_id: str = CONTACT) -> None:
        """The contact stands behind this person from now on."""
        self.outbox.now_ms += 1
        await self.outbox.take(event("Contact", record_id, {"Title": person}, whole=True, commit_ms=self.outbox.now_ms))
        (claimed,) = [each for each in await self.outbox.claims("Contact") if each.entry.record_id == record_id]
        await self.outbox.ack(claimed, marketo_id=person)

    async def looks(self) -> None:
        """Whatever is due by the end of the stretch."""
        self.outbox.now_ms += 2 * TOGETHER_MS
        await self.scores._due()


@pytest.fixture
def sides(outbox: Outbox) -> Sides:
    """Both, and nobody there yet."""
    return Sides(outbox)


async def test_scores_that_were_read_of_the_former_person_are_not_written(sides: Sides) -> None:
    sides.marketo.priorities = {"5": None}
    await sides.comes_to("5")
    await sides.looks()

    async def meanwhile() -> None:
        await sides.comes_to("6")
        sides.outbox.now_ms += 2 * TOGETHER_MS  # the answer takes long

    sides.marketo.priorities, sides.marketo.meanwhile = {"5": 77, "6": 3}, meanwhile
    await sides.scores._refresh(["5"])
    assert sides.salesforce.written == []
    await sides.looks()
    assert sides.salesforce.written == [{"Id": CONTACT, "Priority__c": 3.0}]


async def test_what_a_sweep_kept_back_of_the_former_person_is_not_written(sides: Sides) -> None:
    others = [
        record_row(Record("Lead", sf_id("Lead", number), state="synced", marketo_id=f"7{number:03d}"))
        for number in range(READ_MOST)
    ]
    await sides.outbox.store.submit(lambda tx: tx.run_many("put_record", others))
    sides.marketo.priorities = {"5": None, "6": None}
    await sides.comes_to("5")
    await sides.looks()
    sides.marketo.priorities["5"] = 77
    await sides.scores.sweep.step()
    await sides.comes_to("6")
    await sides.looks()
    for _ in range(3):
        await sides.scores.sweep.step()
    assert sides.salesforce.written == []


async def test_a_call_that_failed_as_a_whole_is_made_again_without_a_sweep(sides: Sides) -> None:
    sides.marketo.priorities = {"5": None}
    await sides.comes_to("5")
    await sides.looks()
    sides.marketo.priorities, sides.salesforce.away = {"5": 77}, True
    with pytest.raises(Unreachable):
        await sides.scores._refresh(["5"])
    sides.salesforce.away = False
    await sides.looks()
    assert sides.salesforce.written == [{"Id": CONTACT, "Priority__c": 77.0}]
    assert await sides.outbox.store.next_score_due() is None


async def test_a_look_does_not_wait_for_what_was_due_later(sides: Sides) -> None:
    await sides.comes_to("5")
    await sides.looks()
    await sides.outbox.store.remember_scores([ScoreRow(KEY, None, due_ms=sides.outbox.now_ms + 3_600_000)])
    await sides.comes_to("6")
    due_ms = await sides.outbox.store.next_score_due()
    assert due_ms is not None
    assert due_ms <= sides.outbox.now_ms + TOGETHER_MS


async def test_who_comes_back_is_looked_at(sides: Sides) -> None:
    sides.marketo.priorities = {"5": None}
    await sides.comes_to("5")
    await sides.looks()
    sides.marketo.priorities = {"5": 8}
    sides.outbox.now_ms += 1
    await sides.outbox.take(event("Contact", CONTACT, kind="delete", commit_ms=sides.outbox.now_ms))
    await sides.outbox.ack(await sides.outbox.claim("Contact", "delete"), state="deleted")
    await sides.comes_to("5")
    await sides.looks()
    assert sides.salesforce.written == [{"Id": CONTACT, "Priority__c": 8.0}]


async def test_who_a_load_brought_is_left_to_the_sweep(outbox: Outbox) -> None:
    row = Change("Contact", CONTACT, fields={"LastName": "A"}, whole=True, read_s=NOON // 1000, loaded=True)
    await outbox.store.take_rows([row], outbox.now_ms)
    (claimed,) = await outbox.store.claim("Contact", "upsert", most=1, now_ms=outbox.now_ms, linger_ms=0, rank=1)
    await outbox.ack(claimed, marketo_id="5")
    assert await outbox.store.next_score_due() is None


async def test_the_feed_is_read_though_the_days_writes_are_spent(outbox: Outbox) -> None:
    sides = Sides(outbox, budget=2)
    for number in range(1, 5):
        await sides.comes_to(str(number), sf_id("Contact", number))
        sides.marketo.priorities[str(number)] = 5
    outbox.now_ms += 2 * TOGETHER_MS
    for turn in range(1, 4):
        with pytest.raises(BudgetSpent):
            await sides.scores._turn()
        assert sides.marketo.feeds == turn
        sides.clock.advance(301)


async def test_nothing_that_is_due_makes_the_loop_turn_where_no_field_is_there_to_be_written(sides: Sides) -> None:
    await sides.comes_to("5")
    sides.outbox.now_ms += 2 * TOGETHER_MS
    sides.scores._next_due = await sides.outbox.store.next_score_due()
    sides.scores._next_feed = sides.scores._next_sweep = sides.clock.monotonic() + 3600
    assert sides.scores._wait_seconds() <= 0
    sides.scores._fields = {}
    assert sides.scores._wait_seconds() == 3600
