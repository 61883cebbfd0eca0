"""What the service manager hears, on real sockets: by path and abstract, one that is full, one that is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.watch.notify import Notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket, and its address as NOTIFY_SOCKET has it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@msi-stream-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1))
        listening.setblocking(False)
        yield address, listening


def test_assignments_arrive_as_lines_of_one_message(manager: tuple[str, socket.socket]) -> None:
    address, listening = manager
    assert Notify(address).tell("READY=1", "STATUS=ok: über\nall")
    assert listening.recv(4096).decode() == "READY=1\nSTATUS=ok: über all"


def test_a_socket_that_is_full_is_told_and_not_waited_for(manager: tuple[str, socket.socket]) -> None:
    address, listening = manager
    notify = Notify(address)
    sent = 0
    while notify.tell("WATCHDOG=1"):
        sent += 1
        assert sent < 100_000
    assert sent
    while sent:
        sent -= bool(listening.recv(4096))
    assert notify.tell("WATCHDOG=1"), "there is room again"


def test_a_socket_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    assert not Notify(str(tmp_path / "nobody")).tell("READY=1")


def test_without_a_service_manager_nothing_is_to_be_told() -> None:
    assert Notify.of({}, 1) == Notify()
    assert Notify().tell("READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "17"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "18"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_where_this_process_is_asked_to(environ: dict[str, str], seconds: float | None) -> None:
    assert Notify.of({"NOTIFY_SOCKET": "/run/notify", **environ}, 17) == Notify("/run/notify", seconds)
