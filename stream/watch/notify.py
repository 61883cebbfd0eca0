"""What the service manager is told: one datagram a message, to the socket it named (sd_notify(3)); nothing where it named none.

Our own thirty lines, because the package for it waits while the socket is full, which would hold up every loop, and dies with it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notify:
    """Where the service manager listens, and how often it wants to hear that all is well (seconds; None: never)."""

    address: str = ""
    watchdog_seconds: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> Notify:
        """As the service manager set it for this process."""
        usec, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        asked = usec.isdecimal() and int(usec) > 0 and whose in {"", str(pid)}
        return cls(environ.get("NOTIFY_SOCKET", ""), int(usec) / 1e6 if asked else None)

    def tell(self, *assignments: str) -> bool:
        """Send `NAME=value` lines; False where they could not be sent just now. Never waits, never raises."""
        if not self.address:
            return True
        message = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto(message.encode(errors="replace"), address)
            return True
        return False
