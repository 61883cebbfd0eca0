"""Unregistered log lines are errors in every test; and there are two ways to run all properties, none of them against the clock.

The usual one takes the same examples each time. `HYPOTHESIS_PROFILE=deep` takes other ones each time, and many more: for long
runs outside of CI. What it finds is printed with the seed and the steps that lead there.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from stream.logs.lines import Registered
from tests.property.depth import DEEP

settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=150)
settings.register_profile("deep", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("deep" if DEEP else "reproducible")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make matrix` asks for all of it; `--storms` is for long runs outside of CI."""
    parser.addoption("--whole-matrix", action="store_true", help="every way to fail at every call")
    parser.addoption(
        "--covering-matrix", action="store_true", help="the covering selection of ways at every call, also where that takes long"
    )
    parser.addoption("--storms", metavar="FIRST-LAST", help="storms of these seeds instead of the usual ones")


@pytest.fixture(autouse=True)
def registered_lines() -> Iterator[None]:
    """Lines are held against the registry; nobody sees them unless the test captures them."""
    structlog.configure(processors=[Registered(strict=True), _drop])
    yield
    structlog.reset_defaults()


def _drop(_: object, __: str, ___: object) -> structlog.typing.ProcessorReturnValue:
    raise structlog.DropEvent
