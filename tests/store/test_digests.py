"""A value is recognised whoever spelled it, and another one is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.digests import UNKNOWN, difference, differing, digest, digests

SAME = [
    pytest.param(119, 119.0, id="numbers of events and queries"),
    pytest.param("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000+0000", id="an event's and a query's moment"),
    pytest.param("2026-01-31T12:00:00.000Z", "2026-01-31T13:00:00+01:00", id="a moment in another zone"),
    pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="parts in another order"),
]
OTHER = [
    pytest.param("119", 119, id="text and number"),
    pytest.param(True, 1, id="truth and number"),
    pytest.param("a", "A", id="case"),
    pytest.param("2026-01-31", "2026-01-31T00:00:00Z", id="day and moment"),
    pytest.param("2026-01-31T12:00:00.001Z", "2026-01-31T12:00:00Z", id="a millisecond"),
    pytest.param(2**60, 2**60 + 1, id="numbers too large for a float"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_one_value_in_two_spellings(one: Any, two: Any) -> None:
    assert digest(one) == digest(two)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_two_values(one: Any, two: Any) -> None:
    assert digest(one) != digest(two)


def test_what_no_moment_can_be_is_a_text() -> None:
    assert digest("2026-99-99T99:99:99Z") != digest("2026-99-99T99:99:98Z")


VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
FIELDS = st.dictionaries(st.sampled_from("ABCDE"), VALUES)


@given(FIELDS, FIELDS)
def test_a_difference_put_on_top_of_what_is_known_is_the_whole(before: dict[str, Any], after: dict[str, Any]) -> None:
    news = difference(after, digests(before))
    there = {**{name: value for name, value in before.items() if value is not None}, **news}
    assert digests(there) == digests(after)
    assert difference(after, digests(after)) == {}


def test_a_field_of_which_nothing_is_sure_always_differs() -> None:
    known = {**digests({"A": 1}), "B": UNKNOWN}
    assert differing({"A": 1, "B": 2}, known) == {"B": 2}
    assert difference({"A": 1}, known) == {"B": None}
    assert differing({"A": 1, "C": None}, known) == {}
