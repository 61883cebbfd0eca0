"""Codes of Marketo's that blame a record: for a whole call, or for one record in it, as long as they come.

step ──▶ refused ──▶ a dead letter that names the code, the others go on ──▶ it ends, retry ──▶ both systems agree, nobody is lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.faults.matrix import Case, ended, spoil
from tests.faults.rows import Row
from tests.faults.steps import STEPS, Cast, delete_all
from tests.faults.ways import Way
from tests.flow.scenes import Deal

PROVEN_BY_OTHERS = frozenset({"611"})
"""Nobody is to blame while nothing like it succeeds."""
BUSY = frozenset({"1014", "1016", "1019", "1029", "1036"})


async def refuse_calls(cast: Cast, cases: Sequence[Case]) -> None:
    """The whole call is refused, again and again, until it ends."""
    ((row, way),) = cases
    fault = spoil(cast.here, row, way, None)
    await STEPS[row.step](cast)
    await cast.here.until(lambda: fault.hits >= 2 or (fault.hits and cast.here.events("dead_letter")), 30)
    if way.code not in PROVEN_BY_OTHERS:
        await until_blamed(cast, row, way)
    await retried(cast, way)


async def refuse_record(cast: Cast, cases: Sequence[Case]) -> None:
    """One record of many is refused within the call's answer; the others are not held up."""
    ((row, way),) = cases
    made = cast.business()
    deletes = " delete " in row.call
    if deletes:
        await cast.quiet()
    key = key_of(cast, row, made, deletes=deletes)
    refused = cast.here.instance.refuse(row.records, key, way.code, times=3 if way.code in BUSY else None)
    if deletes:
        delete_all(cast, made)
    await cast.here.until(lambda: refused.hits, 30)
    if way.code in BUSY:
        await cast.here.until(lambda: refused.hits == 3, 30)
    else:
        await until_blamed(cast, row, way)
    cast.here.instance.refusals.clear()
    await retried(cast, way)


def key_of(cast: Cast, row: Row, made: Deal, *, deletes: bool) -> object:
    """What tells Marketo which record is meant."""
    if row.records == "role":
        return lambda sent: sent.get("externalOpportunityId") == made.opportunity
    if row.records == "lead":
        return str(cast.here.lead_of(made.contact)["id"]) if deletes else made.contact
    return {"salesperson": made.owner, "company": made.account, "opportunity": made.opportunity}[row.records]


async def until_blamed(cast: Cast, row: Row, way: Way) -> None:
    """Wait for a dead letter that names this code."""
    letters = await cast.here.until_dead(1, 30)
    assert {letter.code for letter in letters} == {way.code}, f"{row.call}: {letters}"
    assert all(letter.cause and letter.cure for letter in letters)


async def retried(cast: Cast, way: Way) -> None:
    """The cause is gone, the dead letters are retried: all is there, and nothing stays behind."""
    here = cast.here
    assert here.store is not None
    here.marketo.faults.clear()
    if under_way := set(here.running.deliver._tasks):  # they may have their refusal already: their letters are still to come
        await asyncio.wait(under_way, timeout=30)
    letters = await here.dead()
    assert {letter.code for letter in letters} <= {way.code}, letters
    await here.store.retry_dead(letters, int(here.clock.now() * 1000))
    here.running.store.wake()
    await ended(cast)
    assert not await here.dead()
