"""The daemon's time: steady under a clock that is set, the services' own where it is wrong, one allowance a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from stream.budgets.budget import CENTRAL, DailyBudget
from stream.budgets.call_memory import CallMemory
from stream.clock import SteadyClock, SystemClock
from stream.delivery.new_people import NewPeople
from stream.errors import BudgetSpent
from stream.server_clock import ServerClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@dataclass
class Machine:
    """A clock in a test's hand."""

    shows: float = NOON
    runs: float = 1000.0

    def now(self) -> float:
        """What it shows."""
        return self.shows

    def monotonic(self) -> float:
        """Seconds since the boot."""
        return self.runs

    def uptime(self) -> tuple[str, float]:
        """One boot."""
        return "boot", self.runs

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.shows += seconds
        self.runs += seconds


@pytest.mark.parametrize("jump", [-3 * 86400.0, -3600.0, 3600.0, 3 * 86400.0])
def test_time_goes_on_evenly_until_a_jump_is_taken_over(jump: float) -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    machine.pass_by(10)
    machine.shows += jump
    machine.pass_by(10)
    assert clock.now() == NOON + 20
    assert clock.ahead_seconds() == jump
    clock.take_over(jump)
    assert clock.now() == NOON + 20 + jump
    assert clock.ahead_seconds() == 0


def test_the_machines_own_uptime_goes_on_and_names_its_boot() -> None:
    clock = SystemClock()
    (boot, before), (again, after) = clock.uptime(), SystemClock().uptime()
    assert boot == again
    assert before <= after


def heard(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)


def test_a_services_own_time_is_believed_where_ours_is_wrong() -> None:
    machine = Machine()
    theirs = ServerClock(machine)
    assert theirs.now() == NOON
    machine.shows -= 86400
    theirs.note(heard(NOON))
    machine.pass_by(30)
    assert theirs.now() == NOON + 30
    machine.shows += 2 * 86400
    assert theirs.now() == theirs.fine() == NOON + 30


@pytest.mark.parametrize("date", [None, "", "yesterday", heard(NOON + 3)])
def test_ours_is_good_enough_where_the_service_says_nothing_or_nearly_the_same(date: str | None) -> None:
    theirs = ServerClock(Machine())
    theirs.note(date)
    assert theirs.fine() == NOON


def before_midnight(machine: Machine) -> DailyBudget:
    """A budget of 100 with 80 used, an hour before midnight in Marketo's zone."""
    machine.shows = datetime(2026, 11, 23, 23, tzinfo=CENTRAL).timestamp()
    budget = DailyBudget("calls", 100, machine.now, CENTRAL)
    budget.take(80)
    return budget


def test_a_clock_that_flutters_around_midnight_gives_one_new_allowance() -> None:
    machine = Machine()
    budget = before_midnight(machine)
    machine.pass_by(3602)
    budget.take(90)
    for step in (-4, 4, -4, 4):
        machine.shows += step
        assert budget.left() == 10
    with pytest.raises(BudgetSpent):
        budget.take(11)


@pytest.mark.parametrize("jump", [-3 * 86400.0, -3600.0, 3700.0, 3 * 86400.0])
def test_a_jump_gives_no_new_allowance_and_the_next_midnight_does(jump: float) -> None:
    machine = Machine()
    budget = before_midnight(machine)
    then = machine.now()
    machine.shows += jump
    budget.carry_over(then, machine.now())
    assert budget.left() == 20
    machine.pass_by(86400)
    assert budget.left() == 100


@pytest.mark.parametrize(("day", "left"), [("2026-11-23", 20), ("2026-11-22", 100), ("", 100), ("2026-11-26", 20)])
def test_what_an_earlier_run_used_counts_today_and_not_tomorrow(day: str, left: int) -> None:
    machine = Machine(shows=datetime(2026, 11, 23, 23, tzinfo=CENTRAL).timestamp())
    budget = DailyBudget("calls", 100, machine.now, CENTRAL)
    budget.restore(day, 80)
    assert budget.left() == left


def test_a_jump_makes_no_room_for_new_people() -> None:
    people = NewPeople(2)
    assert people.take(["a", "b", "c"], NOON) == {"a", "b"}
    assert people.left(NOON - 4 * 86400) == 0
    people.carry_over(NOON, NOON + 3 * 86400)
    assert people.left(NOON + 3 * 86400) == 0
    assert people.left(NOON + 4 * 86400) == 2


def memory(tmp_path: Path, machine: Machine) -> CallMemory:
    return CallMemory.open(tmp_path / "calls", 8, lambda: machine.runs)


def test_calls_are_remembered_through_a_clock_that_is_set(tmp_path: Path) -> None:
    machine = Machine()
    first = memory(tmp_path, machine)
    for _ in range(3):
        first.note()
        machine.pass_by(5)
    first.close()
    machine.shows -= 86400
    second = memory(tmp_path, machine)
    assert second.ages(20) == [15, 10, 5]
    second.close()


def test_calls_before_a_reboot_are_none_of_ours_however_long_the_machine_runs_then(tmp_path: Path) -> None:
    machine = Machine(runs=1000.0)
    first = memory(tmp_path, machine)
    first.note()
    first.close()
    machine.runs = 3.0
    second = memory(tmp_path, machine)
    assert second.ages(20) == []
    second.note()
    machine.pass_by(999)
    assert second.ages(20) == []
    second.close()
