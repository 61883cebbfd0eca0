"""The drain with poison: who counts as lost, and that the daemon loses nobody and asks no more than Marketo allows."""

from __future__ import annotations

import pytest

from bench import drain, first_load
from bench.drain import drained
from bench.measure import Size

PEOPLE = ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("accepted", "told", "lost"),
    [
        (["1", "2", "3"], {"4"}, 0),
        (["1", "2"], {"4"}, 1),  # a good one never arrived
        (["1", "2", "3"], set(), 1),  # the poisonous one was not told of
        (["1", "2"], {"3", "4"}, 1),  # to tell of a good one is not to deliver it
        ([], {"1", "2", "3", "4"}, 3),
    ],
)
def test_who_is_lost(accepted: list[str], told: set[str], lost: int) -> None:
    counted = {"accepted": accepted, "codes": {"606": 2, "615": 1, "1003": 9}, "calls": 7, "seconds": 1.5}
    found = drained(counted, told, PEOPLE, {"4"})
    assert (found.lost, found.limited, found.calls, found.seconds) == (lost, 3, 7, 1.5)


@pytest.mark.timeout(240)
async def test_the_daemon_delivers_all_but_the_poison() -> None:
    rows = {row.name: row for row in await drain.figures(Size("tiny"))}
    for kind in ("1 % skipped", "1 % poison"):
        lost = rows[f"drain of 400 changes, {kind}, lost"]
        assert (lost.ours, lost.notes[0]) == (0.0, "daemon: 396 delivered, 4 told as refused")
        assert rows[f"drain of 400 changes, {kind}, limited"].ours == 0.0
    assert rows["drain of 400 changes, 1 % skipped, lost"].samples["plain loop"] == [0.0]
    assert rows["drain of 400 changes, 1 % poison, lost"].samples["plain loop"][0] > 0


@pytest.mark.timeout(240)
async def test_a_tiny_first_load_is_read_both_ways() -> None:
    rows = await first_load.figures(Size("tiny"))
    assert [row.name for row in rows] == ["first load, Bulk API 2.0", "first load, SOQL"]
    assert all(row.ours > 0 and row.ratio for row in rows)
