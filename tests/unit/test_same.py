"""What Marketo makes of values is no difference, and everything else is."""

from __future__ import annotations

from typing import Any

import pytest

from stream.comparing.same import differing, same
from stream.mapping import ObjectMapping, Target

LONG = "x" * 300


@pytest.mark.parametrize(
    ("wanted", "found", "data_type"),
    [
        (None, None, "string"),
        (None, "", "string"),
        ("", None, "string"),
        ("  ", None, "text"),
        ("Acme", "Acme", "string"),
        ("Acme ", "Acme", "string"),
        ("a\r\nb", "a\nb", "text"),
        ("Caf\u0065\u0301", "Caf\u00e9", "string"),
        (LONG[:255], LONG[:255], "string"),
        (LONG, LONG[:255], "text"),
        ("Lee@Example.com", "lee@example.com", "email"),
        (119.0, 119, "integer"),
        (119, "119.0", "float"),
        (1000.1, 1000.1000000001, "currency"),
        (True, True, "boolean"),
        (True, "true", "boolean"),
        (False, None, "boolean"),
        (None, False, "boolean"),
        ("2026-09-21", "2026-09-21", "date"),
        ("2026-09-21", "2026-09-21T00:00:00Z", "date"),
        ("2026-09-21T12:00:00+00:00", "2026-09-21T04:00:00-08:00", "datetime"),
        ("2026-09-21T12:00:00+00:00", "2026-09-21T12:00:00+0000", "datetime"),
        ("2026-09-21T12:00:00.900+00:00", "2026-09-21T12:00:00Z", "datetime"),
    ],
)
def test_the_same(wanted: Any, found: Any, data_type: str) -> None:
    assert same(wanted, found, data_type)


@pytest.mark.parametrize(
    ("wanted", "found", "data_type"),
    [
        ("Acme", None, "string"),
        (None, "Acme", "string"),
        ("Acme", "acme", "string"),
        ("Acme Ltd", "Acme", "string"),
        (LONG, LONG[:200], "text"),
        (LONG, "y" + LONG[:254], "text"),
        ("lee@example.com", "leo@example.com", "email"),
        (119, 120, "integer"),
        (119.25, 119.5, "float"),
        (1, None, "integer"),
        (0, None, "integer"),
        (1_000_000_000.01, 1_000_000_000.02, "currency"),
        (True, False, "boolean"),
        (True, None, "boolean"),
        (False, True, "boolean"),
        ("2026-09-21", "2026-09-22", "date"),
        ("2026-09-21T12:00:00+00:00", "2026-09-21T12:00:00-08:00", "datetime"),
        ("2026-09-21T12:00:00+00:00", "soon", "datetime"),
    ],
)
def test_another(wanted: Any, found: Any, data_type: str) -> None:
    assert not same(wanted, found, data_type)


def test_a_field_is_compared_by_its_own_type_and_one_that_nobody_maps_as_text() -> None:
    mapping = ObjectMapping({"Amount": Target("amount", "currency", 255)}, frozenset({"amount", "externalCompanyId"}))
    wanted = {"amount": 10.0, "externalCompanyId": "001", "name": None}
    assert differing(wanted, {"amount": "10", "externalCompanyId": "001"}, mapping) == {}
    assert differing(wanted, {"amount": 11, "name": "x"}, mapping) == {
        "amount": (10.0, 11),
        "externalCompanyId": ("001", None),
        "name": (None, "x"),
    }
