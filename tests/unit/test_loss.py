"""Salesforce forgets after 72 hours: how it is said while the time runs out."""

from __future__ import annotations

from stream.loss import LossWarning, hours_to_loss
from tests.logged import captured


def test_each_mark_is_said_once_and_louder_below_a_day() -> None:
    warning, said = LossWarning(), []
    with captured() as logs:
        for tenth in range(720, -1, -1):
            before = len(logs)
            warning.look(tenth / 10)
            said += [(line["log_level"], line["hours_to_loss"]) for line in logs[before:]]
    assert [hours for _, hours in said] == [59.9, 47.9, 35.9, 23.9, 11.9, 5.9, 2.9, 0.9, 0.0]
    assert [level for level, hours in said if hours > 23.9] == ["warning"] * 3
    assert {level for level, hours in said if hours <= 23.9} == {"error"}


def test_after_salesforce_was_heard_again_it_begins_anew() -> None:
    warning = LossWarning()
    with captured() as logs:
        for hours in (10.0, 9.0, 72.0, 10.0, None, 10.0):
            warning.look(hours)
    assert [line["hours_to_loss"] for line in logs] == [10.0, 10.0, 10.0]


def test_hours_are_counted_from_what_was_heard_last() -> None:
    assert hours_to_loss(None, 5.0) is None
    assert hours_to_loss(0.0, 3600.0) == 71.0
    assert hours_to_loss(0.0, 80 * 3600.0) == 0.0
