"""In every test a log line that is not registered is an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from stream.logs.lines import Registered


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make matrix` asks for all of it."""
    parser.addoption("--whole-matrix", action="store_true", help="every way to fail at every call")
    parser.addoption(
        "--covering-matrix", action="store_true", help="the covering selection of ways at every call, also where that takes long"
    )


@pytest.fixture(autouse=True)
def registered_lines() -> Iterator[None]:
    """Lines are held against the registry; nobody sees them unless the test captures them."""
    structlog.configure(processors=[Registered(strict=True), _drop])
    yield
    structlog.reset_defaults()


def _drop(_: object, __: str, ___: object) -> structlog.typing.ProcessorReturnValue:
    raise structlog.DropEvent
