"""JSON that nothing brings down: what is read of it, and that nothing is left out of what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.json_text import elements, loads, whole_text

TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


@settings(deadline=None, derandomize=True)
@given(VALUES)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    text = whole_text(value)
    assert text.isascii()
    assert json.loads(text) == value


@settings(deadline=None, derandomize=True)
@given(st.lists(VALUES, max_size=5), st.sampled_from(["", " ", "\n"]))
def test_an_array_is_cut_into_its_elements(values: list[Any], space: str) -> None:
    texts = [f"{space}{whole_text(value)}{space}" for value in values]
    found = elements(f"{space}[{','.join(texts)}]{space}")
    assert found is not None
    assert [json.loads(one) for one in found if one] == values


@pytest.mark.parametrize("text", ["", "7", "{}", "[", "[[]", '["]', "[] []", "[1]2", "{[]}", '{"a":[1]}', "]", "nul"])
def test_what_is_no_whole_array_has_no_elements(text: str) -> None:
    assert elements(text) is None


@settings(deadline=None, derandomize=True)
@given(st.text(st.sampled_from('[]{},:"\\ 1a'), max_size=30))
def test_no_noise_whatever_brings_it_down(noise: str) -> None:
    assert elements(noise) is None or noise.strip().startswith("[")
    loads(noise.encode(errors="replace"))


@pytest.mark.parametrize("depth", [300, 5000])
def test_however_deep_it_is_written_whole(depth: int) -> None:
    value: Any = {"end": True}
    for _ in range(depth):
        value = [value]
    assert whole_text(value) == "[" * depth + '{"end":true}' + "]" * depth


@pytest.mark.parametrize(
    ("value", "text"),
    [(2**70, str(2**70)), ({1: 2}, '{"1":2}'), ((1,), "[1]"), ({1j}, '"{1j}"')],
)
def test_what_json_has_no_word_for_is_written_all_the_same(value: Any, text: str) -> None:
    assert whole_text(value) == text


def test_more_digits_than_python_writes_are_written_otherwise() -> None:
    assert json.loads(whole_text(10**5000)) == hex(10**5000)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'["\\ud83d"]', ["?"]),
        (b'["\xff"]', ["\ufffd"]),
        (b"[NaN, -Infinity]", ["NaN", "-Infinity"]),
        (b"[1e400, 1.5]", ["1e400", 1.5]),
        (b"[" + b"9" * 25 + b"]", [1e25]),
        (b"[NaN," + b"9" * 5000 + b"]", ["NaN", "9" * 5000]),
        (b'["a\nb"]', ["a\nb"]),
        (b"[1", None),
        (b"", None),
        (b"[" * 3000 + b"]" * 3000, None),
    ],
)
def test_what_is_not_quite_json_is_read_as_far_as_it_can_be(text: bytes, value: Any) -> None:
    assert loads(text) == value
