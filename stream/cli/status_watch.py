"""`status --watch`: how the daemon stands, drawn again every second until somebody has seen enough."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from store.errors import StoreError
from stream.clock import Clock, wait_for_event
from stream.config.model import Settings
from stream.operating.status import Status
from stream.operating.status import status as find_status

REFRESH_SECONDS = 1.0
QUIT = b"qQ\x03\x04"
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stirred:
    """What somebody at the terminal wants: to quit, or to see it drawn anew."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.quits = False

    def quit(self) -> None:
        """Enough seen."""
        self.quits = True
        self.event.set()

    def press(self) -> None:
        """A key: q quits, any other draws at once."""
        pressed = os.read(sys.stdin.fileno(), 64)
        self.quits = self.quits or not pressed or any(key in QUIT for key in pressed)
        self.event.set()


@contextlib.contextmanager
def _listening(stirred: Stirred) -> Iterator[None]:
    """Keys come one by one and unseen, a resized window draws anew; the terminal is given back as it was."""
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, stirred.press)
    loop.add_signal_handler(signal.SIGWINCH, stirred.event.set)
    for ending in ENDINGS:
        loop.add_signal_handler(ending, stirred.quit)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        for each in (signal.SIGWINCH, *ENDINGS):
            loop.remove_signal_handler(each)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


async def watch(settings: Settings, clock: Clock, screen: Console, draw: Callable[[Status], RenderableType]) -> Status:
    """The last status that was shown. Raises StoreError where there is nothing to show from the start."""
    last, stirred = await find_status(settings, clock.now()), Stirred()
    with _listening(stirred), Live(console=screen, screen=True, auto_refresh=False) as live:
        said = ""
        while not stirred.quits:
            live.update(_framed(last, draw, said, clock.now()), refresh=True)
            await wait_for_event(stirred.event, clock, REFRESH_SECONDS)
            stirred.event.clear()
            try:
                last, said = await find_status(settings, clock.now()), ""
            except StoreError as error:
                said = str(error)
    return last


def _framed(status: Status, draw: Callable[[Status], RenderableType], said: str, now: float) -> RenderableType:
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    head = Text(f"{moment}   q quits", style="dim")
    return Group(head, Text(said, style="bold red") if said else Text(""), draw(status))
