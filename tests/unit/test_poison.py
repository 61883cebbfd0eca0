"""When the flow counts as poisoned: a share of 1,000 records, or nothing but refusals in a row; never a handful."""

from __future__ import annotations

import pytest

from stream.delivery.poison import WINDOW, Diagnosis, Poison

SHARE = 0.2


def judged(verdicts: str, share: float = SHARE) -> Poison:
    """A window that saw these: `x` a refusal, anything else an acceptance."""
    poison = Poison(share)
    for sign in verdicts:
        poison.note("1003" if sign == "x" else "")
    return poison


@pytest.mark.parametrize(
    ("verdicts", "stops"),
    [
        ("xxx..", False),  # three of five
        ("x" * 20, False),
        ("x" * 100, False),
        ("x" * 101, True),  # nothing else in a row, half as many as may be refused
        ("." + "x" * 101, True),
        ("x." * 200, False),  # 200 of 400
        ("x." * 200 + "x", True),  # 201, though fewer than 1,000 were judged
        ("xxx" + "." * 12, False),
        (("x" + "." * 4) * 1000, False),  # exactly the share, for ever
        (("x" + "." * 3) * 1000, True),
        ("x." * 200 + "." * 1000 + "x." * 200, False),  # what is older than the last 1,000 counts no more
    ],
)
def test_the_share_is_one_of_a_thousand(verdicts: str, stops: bool) -> None:
    assert judged(verdicts).stopped is stops


@pytest.mark.parametrize(
    ("share", "in_a_row", "stops"),
    [
        (1.0, 5000, False),
        (0.9, 450, False),
        (0.9, 451, True),
        (0.01, 10, False),
        (0.01, 11, True),
        (0.04, 20, False),
        (0.04, 21, True),
        (0.001, 1, False),
        (0.57, 285, False),
    ],
)
def test_every_share_has_its_limit(share: float, in_a_row: int, stops: bool) -> None:
    assert judged("x" * in_a_row, share).stopped is stops


def test_the_diagnosis_names_the_commonest_code() -> None:
    poison = Poison(SHARE)
    for number in range(402):
        poison.note(("", "1006", "", "1003", "", "1006")[number % 6])
    assert poison.diagnosis == Diagnosis(refused=201, judged=402, code="1006")


def test_what_is_judged_after_the_stop_changes_nothing_and_a_person_starts_it_anew() -> None:
    poison = judged("x" * 101)
    found = poison.diagnosis
    for _ in range(WINDOW):
        poison.note()
    assert poison.diagnosis == found
    poison.clear()
    for _ in range(100):
        poison.note("1003")
    assert not poison.stopped
    poison.note("1003")
    assert poison.diagnosis == Diagnosis(101, 101, "1003")


def test_a_stop_of_an_earlier_run_stays() -> None:
    poison = Poison(SHARE)
    poison.stop(Diagnosis(201, 640, "1006"))
    assert poison.stopped
