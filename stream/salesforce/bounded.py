"""What sign-in and streaming share on the wire: aiohttp's errors as Unreachable, answers of bounded size, safe addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from stream.connecting import unconnected
from stream.errors import Unreachable
from stream.watch import pulse


@asynccontextmanager
async def translated(what: str, *, always_unsent: bool = False) -> AsyncIterator[None]:
    """Turn aiohttp's errors into Unreachable; `sent` is False where connecting failed, or where the caller says so."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unreachable(f"{what}: {unconnected(error)}", sent=False) from error
    except TimeoutError as error:
        raise Unreachable(f"{what}: no answer in time", sent=not always_unsent) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{what}: the connection broke ({type(error).__name__})", sent=not always_unsent) from error
    finally:
        pulse.beat()


async def read_bounded(response: aiohttp.ClientResponse, bytes_most: int, *, what: str) -> bytes:
    """The whole answer, unpacked; Unreachable where it is larger than any that there is reason to give."""
    whole = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        whole += chunk
        if len(whole) > bytes_most:
            raise Unreachable(f"{what}: the answer is larger than {bytes_most} bytes")
    return bytes(whole)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name or address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Whether a host is given as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent there: https, or http to this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
