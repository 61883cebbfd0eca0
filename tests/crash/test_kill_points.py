"""SIGKILL at every kind of commit, before it, between its parts and after it: both sides agree.

The kinds and what brings them about stand in a table (`tests/crash/kill_points.py`); the moment is found in the committer itself,
so nothing here waits for luck. `HYPOTHESIS_PROFILE=deep` adds a fourth moment: once the commit's caller has gone on.
"""

from __future__ import annotations

import ast
import inspect
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from store import store
from tests.crash.deadly import MOMENTS, Moment
from tests.crash.kill_points import (
    BY_OTHERS,
    COMMITS,
    READS,
    Commit,
    Standing,
    gap,
    killed,
    new_customer,
    new_role,
    score,
    update,
)
from tests.flow.world import world
from tests.property.depth import DEEP

SETTINGS: dict[str, Any] = {
    "deliver__deletes__Lead": "delete",
    "deliver__max_attempts": 2,
    "deliver__settle_seconds": 0.1,
    "deliver__linger_seconds": 0.01,
}


class Place:
    """Where the kills happen: one world for as long as all is well in it, and a fresh one after a failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self._worlds = 0
        self._standing: Standing | None = None

    async def standing(self) -> Standing:
        """The world, both sides of which agree; no daemon runs."""
        if self._standing is None:
            self._worlds += 1
            folder = self._folder / f"world{self._worlds}"
            folder.mkdir()
            here = await self._stack.enter_async_context(world(folder, speed=1.0, **SETTINGS))
            self._standing = Standing.of(here)
            await self._standing.agreed()
        return self._standing

    async def leave(self) -> None:
        """Whatever went wrong in it stays behind."""
        self._standing = None
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One for all tests of this module that run in this process."""
    made = Place(tmp_path_factory.mktemp("kills"))
    yield made
    await made.leave()


async def step(taken: object) -> None:
    """Do what a step of the table still has to do."""
    if inspect.isawaitable(taken):
        await taken


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("moment", MOMENTS if DEEP else MOMENTS[:3])
@pytest.mark.parametrize("commit", COMMITS, ids=lambda each: each.name)
async def test_a_kill(place: Place, commit: Commit, moment: Moment) -> None:
    at = await place.standing()
    try:
        await step(commit.bring(at))
        target = {"work": commit.work, "moment": moment, "when": commit.when}
        await killed(at, target, command=commit.command, jump_seconds=commit.jump_seconds)
        await step(commit.mend(at))
        await at.agreed()
        check_store(at.store)
    except BaseException:
        await place.leave()
        raise


def check_store(path: Path) -> None:
    """The file is whole, and nothing in it is under way for ever."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        left = "SELECT object, record_id, state, kind, code, cause FROM entry WHERE state IN ('in_flight', 'dead')"
        assert database.execute(left).fetchall() == []


def submitting() -> set[str]:
    """The store's methods that submit a piece of work."""
    methods = next(
        node.body for node in ast.parse(inspect.getsource(store)).body if isinstance(node, ast.ClassDef) and node.name == "Store"
    )
    return {
        method.name
        for method in methods
        if isinstance(method, ast.AsyncFunctionDef) and method.name != "submit" and "self.submit(" in ast.unparse(method)
    }


def test_the_table_holds_every_kind_of_commit() -> None:
    named = {commit.work for commit in COMMITS}
    assert submitting() - named - READS - BY_OTHERS.keys() == set(), "a commit that nobody is killed in"
    assert READS.isdisjoint(named)
    assert submitting() >= READS


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_writes_stands_in_the_table(place: Place, tmp_path: Path) -> None:
    at = await place.standing()
    notes = tmp_path / "wrote"
    for bring in (update, gap, new_customer, new_role, score):
        bring(at)
    await at.agreed({"notes": str(notes)})
    wrote = set(notes.read_text().split())
    assert wrote <= {commit.work for commit in COMMITS}
    assert {"take", "claim", "finish", "claim_reads", "settle_reads", "take_rows", "remember_scores"} <= wrote
