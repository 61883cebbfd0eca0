"""Calls counted together by several processes on one store: the last seconds, and the day."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stream.budgets.budget import DailyBudget
from stream.budgets.call_memory import HEAD, CallMemory
from stream.errors import BudgetSpent
from stream.marketo.limits import Gate
from tests.crash.crashing import filled, small_disk
from tests.store.faults import unwritable
from tests.unit.test_limits import LoopClock, in_virtual_time

NOW = 1_790_000_000.0


@dataclass
class Machine:
    """How long a machine has been running."""

    runs: float = 5000.0

    def uptime(self) -> float:
        """Seconds."""
        return self.runs


def two(folder: Path, slots: int = 8, uptime: Callable[[], float] | None = None) -> tuple[CallMemory, CallMemory]:
    """The daemon's, and a command's beside it."""
    daemon = CallMemory.open(folder / "store.db.calls", slots, uptime)
    command = CallMemory.beside(folder / "store.db.calls", uptime)
    assert command is not None
    return daemon, command


def test_each_sees_the_calls_of_the_others_and_not_its_own(tmp_path: Path) -> None:
    machine = Machine()
    daemon, command = two(tmp_path, uptime=machine.uptime)
    daemon.note()
    machine.runs += 2
    command.note()
    machine.runs += 3
    assert command.ages(20) == [5.0]
    assert daemon.ages(20) == [3.0]
    assert CallMemory.open(tmp_path / "store.db.calls", 8, machine.uptime).ages(20) == [5.0, 3.0]


def test_the_ring_keeps_the_last_calls_of_all(tmp_path: Path) -> None:
    machine = Machine()
    daemon, command = two(tmp_path, slots=4, uptime=machine.uptime)
    for number in range(20):
        machine.runs += 1
        (daemon if number % 2 else command).note()
    third = CallMemory.open(tmp_path / "store.db.calls", 4, machine.uptime)
    assert third.ages(100) == [3.0, 2.0, 1.0, 0.0]


def test_a_call_counts_whose_process_was_killed_before_it_told_the_next_place(tmp_path: Path) -> None:
    machine = Machine()
    daemon, command = two(tmp_path, uptime=machine.uptime)
    daemon.note()
    path = tmp_path / "store.db.calls"
    head = path.read_bytes()[: HEAD.size]
    machine.runs += 2
    daemon.note()
    with path.open("r+b") as file:
        file.write(head)
    assert command.ages(20) == [2.0, 0.0]


def test_what_a_killed_process_noted_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "store.db.calls"
    script = (
        "import os, sys; from pathlib import Path; from stream.budgets.call_memory import CallMemory\n"
        f"memory = CallMemory.open(Path({str(path)!r}), 8); memory.note(); memory.take('calls', 'today', 7, 100, 0)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    memory = CallMemory.open(path, 8)
    assert len(memory.ages(600)) == 1
    assert memory.used("calls", "today") == 7


def test_a_larger_limit_makes_a_new_file_and_leaves_the_old_one_to_whoever_uses_it(tmp_path: Path) -> None:
    daemon, command = two(tmp_path, slots=4)
    again = CallMemory.open(tmp_path / "store.db.calls", 100)
    again.note()
    command.note()
    daemon.note()
    assert again.slots == 100
    assert len(command.ages(600)) == 1


@pytest.mark.parametrize("content", [b"", b"something else", b"x" * 5000])
def test_a_file_of_something_else_is_not_used(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db.calls"
    assert CallMemory.beside(path) is None
    path.write_bytes(content)
    assert CallMemory.beside(path) is None
    assert CallMemory.open(path, 4).ages(20) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_days_budget_is_one_for_all(tmp_path: Path) -> None:
    daemon, command = two(tmp_path)
    theirs = DailyBudget("Marketo calls", 10, lambda: NOW, ledger=daemon)
    mine = DailyBudget("Marketo calls", 10, lambda: NOW, ledger=command)
    other = DailyBudget("Salesforce calls", 10, lambda: NOW, ledger=command)
    theirs.take(6)
    mine.take(3)
    other.take(5)
    assert (theirs.left(), mine.left(), theirs.count()) == (1, 1, 9)
    with pytest.raises(BudgetSpent):
        mine.take(2)
    theirs.take(1)
    assert mine.left() == 0
    tomorrow = DailyBudget("Marketo calls", 10, lambda: NOW + 86_400, ledger=command)
    assert tomorrow.left() == 10


def test_what_the_store_remembers_counts_where_the_file_was_lost(tmp_path: Path) -> None:
    daemon, command = two(tmp_path)
    budget = DailyBudget("Marketo calls", 10, lambda: NOW, ledger=daemon)
    budget.left()
    budget.restore(budget.day, 8)
    budget.take(1)
    assert DailyBudget("Marketo calls", 10, lambda: NOW, ledger=command).left() == 1


def test_two_processes_keep_the_20_seconds_together(tmp_path: Path) -> None:
    starts: list[float] = []

    async def scenario() -> None:
        clock = LoopClock()
        memories = two(tmp_path, slots=12, uptime=lambda: 5000.0 + clock.monotonic())
        gates = [Gate(clock, calls_per_20s=4, concurrency=2, memory=memory) for memory in memories]

        async def call(gate: Gate) -> None:
            async with gate.call():
                starts.append(clock.monotonic())
                await clock.sleep(0.1)

        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(call(gates[number % 2]))

    in_virtual_time(scenario)
    starts.sort()
    assert len(starts) == 12
    assert all(later - earlier >= 20.0 for earlier, later in zip(starts, starts[4:], strict=False))


@pytest.mark.parametrize("there", [True, False], ids=["file there", "no file"])
def test_a_full_disk_ends_nothing(tmp_path: Path, there: bool) -> None:
    """A file mapped into memory would kill the process here, with a signal that nobody can explain."""
    with small_disk(tmp_path / "disk", "128k") as disk:
        if there:
            CallMemory.open(disk / "calls", 4096).close()
        with filled(disk):
            memory = CallMemory.open(disk / "calls", 4096)
            for number in range(4096):
                memory.note()
                assert memory.take("calls", "today", 1, 5000, 0) == number + 1
            other = CallMemory.open(disk / "calls", 4096)
            assert len(other.ages(600)) == (4096 if there else 0)
            memory.close()
            other.close()


def test_where_the_file_cannot_be_written_the_process_counts_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "store.db.calls"
    memory = CallMemory.open(path, 8)
    memory.note()
    assert memory.take("calls", "today", 5, 10, 0) == 5
    with unwritable(path):
        memory.note()
        assert memory.take("calls", "today", 4, 10, 0) == 9
        assert memory.take("calls", "today", 2, 10, 0) is None
        assert memory.used("calls", "today") == 9


def test_a_clock_that_is_set_renews_no_budget_for_anybody(tmp_path: Path) -> None:
    shows = [NOW]
    daemon, command = two(tmp_path)
    theirs = DailyBudget("Marketo calls", 10, lambda: shows[0], ledger=daemon)
    mine = DailyBudget("Marketo calls", 10, lambda: shows[0], ledger=command)
    theirs.take(6)
    for jump in (-3 * 86_400.0, 86_400.0, 5 * 86_400.0):
        then, shows[0] = shows[0], shows[0] + jump
        theirs.carry_over(then, shows[0])
        assert (theirs.left(), DailyBudget("Marketo calls", 10, lambda: shows[0], ledger=command).left()) == (4, 4)
    shows[0] += 86_400
    assert (theirs.left(), mine.left()) == (10, 10)
    mine.take(3)
    shows[0] -= 86_400  # back over midnight, and nobody has noticed yet
    assert DailyBudget("Marketo calls", 10, lambda: shows[0], ledger=command).left() == 7
