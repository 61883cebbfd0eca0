"""What is proven complete: intervals that grow, are cut open, and leave holes that are told."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.coverage import NEVER_READ, PIECES_MOST, Interval, cut_open, gaps, joined
from store.model import Covered, Hole, Replay, Stream
from tests.store.outbox_steps import Outbox

CHANNEL = "/data/ChangeEvents"

JOINED = [
    pytest.param([], (0, 9, "read"), [(0, 9, "read")], id="the first"),
    pytest.param([(0, 5, "read")], (5, 9, "read"), [(0, 9, "read")], id="goes on"),
    pytest.param([(0, 5, "read")], (5, 9, "streamed"), [(0, 5, "read"), (5, 9, "streamed")], id="goes on in another way"),
    pytest.param([(0, 5, "read")], (3, 9, "polled"), [(0, 5, "read"), (5, 9, "polled")], id="what is covered stays"),
    pytest.param(
        [(0, 5, "read")], (3, 9, "streamed"), [(0, 3, "read"), (3, 9, "streamed")], id="the stream takes a read's place"
    ),
    pytest.param([(0, 5, "waived")], (3, 9, "streamed"), [(0, 5, "waived"), (5, 9, "streamed")], id="not what was waived"),
    pytest.param(
        [(2, 4, "read"), (6, 8, "streamed")],
        (0, 9, "polled"),
        [(0, 2, "polled"), (2, 4, "read"), (4, 6, "polled"), (6, 8, "streamed"), (8, 9, "polled")],
        id="fills what was open",
    ),
    pytest.param([(4, 8, "read")], (1, 2, "read"), [(1, 2, "read"), (4, 8, "read")], id="apart"),
    pytest.param([(0, 5, "read")], (7, 7, "read"), [(0, 5, "read")], id="of no length"),
]


@pytest.mark.parametrize(("held", "new", "result"), JOINED)
def test_an_interval_joins_those_there_are(held: list[Interval], new: Interval, result: list[Interval]) -> None:
    assert joined(held, new) == result


def test_a_year_of_hourly_sweeps_beside_the_stream_is_one_piece() -> None:
    held: list[Interval] = [(0, 10, "read")]
    for hour in range(1, 9000):
        held = joined(held, (hour * 10 - 10, hour * 10 + 3, "read"))
        held = joined(held, (hour * 10 - 1, hour * 10 + 9, "streamed"))
    assert held == [(0, 9, "read"), (9, 89999, "streamed")]


def test_what_is_covered_stays_so_however_often_the_stream_breaks_and_takes_no_more_room() -> None:
    held: list[Interval] = [(0, 10, "waived")]
    for time in range(1, 2000):
        held = joined(held, (time * 10, time * 10 + 3, "streamed"))
        held = joined(held, (time * 10, time * 10 + 10, "read"))
    held = cut_open(held, 500, 600)
    held = joined(held, (20000, 20001, "read"))
    assert gaps(held, 20001) == [(500, 600)]
    assert len(held) < PIECES_MOST + 5
    assert held[0] == (0, 10, "waived")
    assert held[-2:] == [(19990, 19993, "streamed"), (19993, 20001, "read")]


def test_cutting_open_leaves_what_lies_outside() -> None:
    assert cut_open([(0, 5, "read"), (5, 9, "streamed")], 3, 7) == [(0, 3, "read"), (7, 9, "streamed")]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["cover", "cut"])), max_size=12))
def test_every_second_is_covered_or_a_hole_as_it_was_said_last(steps: list[tuple[int, int, str]]) -> None:
    held: list[Interval] = []
    model = [False] * 30
    for start, end, step in steps:
        held = joined(held, (start, end, "read")) if step == "cover" else cut_open(held, start, end)
        for second in range(start, end):
            model[second] = step == "cover"
    assert all(start < end for start, end, _ in held)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(held))
    told = [any(start <= second < end for start, end, _ in held) for second in range(30)]
    assert told == model
    holes = [any(start <= second < end for start, end in gaps(held, 30)) for second in range(30)]
    assert holes == [not covered for covered in model]


async def test_what_nothing_covers_before_the_last_interval_is_a_hole(outbox: Outbox) -> None:
    assert await outbox.store.holes("Lead") == []
    assert await outbox.store.holes("Lead", 50.0) == [Hole("Lead", 0.0, 50.0, NEVER_READ)]
    await outbox.store.cover([Covered("Lead", 50.0, 60.0, "streamed")])
    assert await outbox.store.holes("Lead") == [Hole("Lead", 0.0, 50.0, NEVER_READ)]
    assert await outbox.store.holes("Contact", 0.0) == []


async def test_a_reading_that_began_before_a_cut_proves_nothing_after_it(outbox: Outbox) -> None:
    await outbox.store.cover([Covered("Lead", 0.0, 60.0, "read")])
    await outbox.store.cut([Hole("Lead", 10.0, 20.0, "overflow")])
    (hole,) = await outbox.store.holes("Lead")
    assert (hole.from_s, hole.to_s, hole.why) == (10.0, 20.0, "overflow")
    await outbox.store.cut([Hole("Lead", 15.0, 18.0, "overflow again")])
    await outbox.store.cover([Covered("Lead", 10.0, 20.0, "read", hole.cuts)])
    (again,) = await outbox.store.holes("Lead")
    assert again.why == "overflow again", "the second cut came while the first hole was read"
    await outbox.store.cover([Covered("Lead", 10.0, 20.0, "read", again.cuts)])
    assert await outbox.store.holes("Lead") == []


async def test_the_stream_does_not_close_what_was_cut_open_since_its_last_proof(outbox: Outbox) -> None:
    await outbox.store.stream_on(Stream(CHANNEL, {"Lead": 10.0, "Contact": 10.0}, 30.0))
    await outbox.store.cut([Hole("Lead", 0.0, 40.0, "overflow")])
    await outbox.store.stream_on(Stream(CHANNEL, {"Lead": 30.0, "Contact": 30.0}, 35.0))
    await outbox.store.stream_on(Stream(CHANNEL, {"Lead": 35.0, "Contact": 35.0}, 50.0))
    assert [(hole.from_s, hole.to_s) for hole in await outbox.store.holes("Lead")] == [(0.0, 40.0)]
    assert await outbox.store.intervals("Lead") == [(40.0, 50.0, "streamed")]
    assert await outbox.store.intervals("Contact") == [(10.0, 50.0, "streamed")], "the others go on"


async def test_the_stream_goes_on_from_where_it_was(outbox: Outbox) -> None:
    assert await outbox.store.stream(CHANNEL) is None
    await outbox.store.take([], None, outbox.now_ms, stream=Stream(CHANNEL, {"Lead": 10.0, "Contact": 20.0}, 30.0))
    assert await outbox.store.intervals("Lead") == [(10.0, 30.0, "streamed")]
    held = await outbox.store.stream(CHANNEL)
    assert held == Stream(CHANNEL, {"Lead": 30.0, "Contact": 30.0}, 30.0)


async def test_a_position_set_by_hand_proves_nothing_about_the_time_before(outbox: Outbox) -> None:
    await outbox.store.stream_on(Stream(CHANNEL, {"Lead": 10.0}, 30.0))
    await outbox.store.set_replay(Replay(CHANNEL, -1, 0, outbox.now_ms))
    assert await outbox.store.stream(CHANNEL) is None


async def test_a_field_that_is_mapped_otherwise_is_read_and_sent_again(outbox: Outbox) -> None:
    await outbox.synced("Account", "001000000000001AAA", {"Name": "Acme", "Phone": "1"})
    await outbox.store.cover([Covered("Account", 0.0, 60.0, "read")])
    assert await outbox.store.mapped({"Account": {"Name": "company", "Phone": "mainPhone"}}, 60.0) == []
    assert await outbox.store.mapped({"Account": {"Name": "company"}}, 60.0) == [], "a field that is not sent any more"
    assert await outbox.store.holes("Account") == []
    assert await outbox.store.mapped({"Account": {"Name": "company", "Phone": "phoneTwo"}}, 60.0) == ["Account"]
    assert [hole.why for hole in await outbox.store.holes("Account", 60.0)] == ["fields are mapped otherwise now"]
    known = (await outbox.record("Account", "001000000000001AAA")).known
    assert set(known) == {"Name"}, "the other field's value counts as never sent"
