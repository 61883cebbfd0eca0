"""The day's count of new people: never more than the limit, nobody twice, and a new day begins anew."""

from __future__ import annotations

import pytest

from stream.delivery.new_people import NOTE, NewPeople, next_day

NOON = 1_790_000_000.0  # 2026-09-21 09:13:20 in Chicago
DAY = 86400.0


def ids(*numbers: int) -> list[str]:
    return [f"00Q{number}" for number in numbers]


def test_there_is_room_for_so_many_and_the_day_ends_at_midnight_in_chicago() -> None:
    people = NewPeople(3)
    assert people.take(ids(1, 2), NOON) == {*ids(1, 2)}
    assert people.take(ids(3, 4, 5), NOON) == {*ids(3)}
    assert people.left(NOON) == 0
    assert next_day(NOON) == 1_790_053_200.0  # 05:00 UTC
    assert people.take(ids(6), next_day(NOON) - 1) == set()
    assert people.take(ids(6), next_day(NOON)) == {*ids(6)}
    assert people.left(next_day(NOON)) == 2


def test_who_was_not_created_makes_room_and_who_is_in_doubt_is_counted_once() -> None:
    people = NewPeople(2)
    people.take(ids(1, 2), NOON)
    people.settle("00Q1", created=False)
    assert people.left(NOON) == 1
    assert people.take(ids(2, 3, 4), NOON) == {*ids(2, 3)}
    people.settle("00Q2", created=True)
    people.settle("00Q2", created=False)  # was settled: no room is given twice
    assert people.left(NOON) == 0


def test_what_was_counted_outlives_the_daemon_for_that_day_only() -> None:
    first = NewPeople(3)
    assert first.news() == {}
    first.take(ids(1, 2), NOON)
    first.settle("00Q1", created=True)
    note = first.news()[NOTE]
    assert first.news() == {}
    again = NewPeople(3)
    again.restore(note, NOON + 60)
    assert again.left(NOON + 60) == 1
    assert again.take(ids(2, 3, 4), NOON + 60) == {*ids(2, 3)}
    tomorrow = NewPeople(3)
    tomorrow.restore(note, NOON + DAY)
    assert tomorrow.left(NOON + DAY) == 3


def test_a_raised_limit_makes_room_and_a_lowered_one_none() -> None:
    note = {"day": "2026-09-21", "used": 5, "doubtful": []}
    for limit, left in ((10, 5), (5, 0), (2, 0)):
        people = NewPeople(limit)
        people.restore(note, NOON)
        assert people.left(NOON) == left


@pytest.mark.parametrize("days", [1, 2])
def test_it_is_said_once_a_day(days: int) -> None:
    people = NewPeople(1)
    told = [people.say(NOON + day * DAY) for day in range(days) for _ in range(3)]
    assert sum(told) == days
