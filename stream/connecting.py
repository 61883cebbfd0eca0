"""How connections are made, and why one could not be made, in words that name the host."""

from __future__ import annotations

import os
from urllib.request import getproxies

import aiohttp


def session() -> aiohttp.ClientSession:
    """For all calls of one run: without cookies, and through the proxy where there is one."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=behind_proxy())


def behind_proxy() -> bool:
    """Whether the environment names a proxy. Where it names none, nothing is asked of it.

    With `trust_env` aiohttp asks for each request anew, in other threads, and reads `.netrc`, whose passwords have no place here.
    """
    return not {"http", "https"}.isdisjoint(getproxies())


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
