"""Why a connection could not be made, in words that name the host."""

from __future__ import annotations

import os

import aiohttp


def unconnected(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    """`cannot connect to host:port (reason)`, as far as it is known; never a whole URL, which may hold what was asked for."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "cannot connect in time"
    cause = getattr(error, "os_error", None)
    number = getattr(cause, "errno", None)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = "its certificate is not trusted here"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "its name is not known"
    else:
        reason = os.strerror(number) if isinstance(number, int) and number > 0 else ""
    return f"cannot connect to {error.host}:{error.port}" + (f" ({reason})" if reason else "")
