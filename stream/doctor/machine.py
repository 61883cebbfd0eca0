"""What `doctor` says of this machine: the store, the disk under it, the daemon, and the clock. Nothing is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store import view
from store.database import holder, look
from store.errors import StoreError
from store.health import Health, health
from stream.doctor.findings import Finding, failure, ok, warning

DISK, DAEMON, HEALTH, ACCESS = "disk", "daemon", "store health", "store access"
LEAST_BYTES, FEW_BYTES = 256 * 1024**2, 2 * 1024**3
LOG_MOST_BYTES = 256 * 1024**2
SILENT_SECONDS = 30.0
SKEW_SECONDS, SKEW_SECONDS_MAX = 5.0, 60.0  # a `Date` has whole seconds; an assertion may be a minute ahead of Salesforce's clock
OTHERS = 0o077
RESTORE = "stop the daemon and restore the newest backup: what happened since is read again"


async def store_findings(path: Path, now: float) -> list[Finding]:
    """Whether the daemon could use [store] path; no file is made to find out."""
    found = [_usable(path), _disk(path)]
    if found[0].result == "failure" or not _bytes(path):
        return [*found, await _daemon(path, now)]
    try:
        looked = await health(path)
    except StoreError as error:
        return [*found, failure(HEALTH, error.message, error.hint or RESTORE), await _daemon(path, now)]
    return [*found, health_finding(looked), access_finding(looked, os.geteuid()), await _daemon(path, now)]


def _usable(path: Path) -> Finding:
    try:
        look(path)
    except StoreError as error:
        return failure("store", error.message, error.hint)
    return ok("store", str(path) if path.exists() else f"{path} will be made")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _disk(path: Path) -> Finding:
    try:
        usage = shutil.disk_usage(path.parent)
    except OSError as error:
        return failure(DISK, f"{path.parent}: {error.strerror}", "create the directory, or name another in [store] path")
    return disk_finding(usage.free, path.parent)


def disk_finding(free: int, directory: Path) -> Finding:
    """How much room there is for what has to be buffered while Marketo is away."""
    told, cure = f"{free / 1e9:,.1f} GB free under {directory}", "make room, or put the store on a larger disk"
    if free < LEAST_BYTES:
        return failure(DISK, told, f"{cure}: on a full disk nothing is acknowledged, and after 72 hours Salesforce forgets")
    return warning(DISK, told, cure) if free < FEW_BYTES else ok(DISK, told)


def health_finding(looked: Health) -> Finding:
    """Whether the file is whole, and of the schema that this version writes."""
    size = f"{looked.size_bytes / 1e6:,.1f} MB"
    if looked.damage:
        return failure(HEALTH, f"damaged: {looked.damage}", RESTORE)
    if looked.schema < looked.known:
        cure = "start the daemon: it brings the store up to date, after a backup of it"
        return warning(HEALTH, f"{size}, schema {looked.schema}, this version writes {looked.known}", cure)
    if not looked.checked:
        cure = "look at all of it while the daemon is stopped: sqlite3 STORE 'PRAGMA quick_check'"
        return warning(HEALTH, f"{size}: too large to be looked at whole in a few seconds; what was looked at is well", cure)
    if looked.log_bytes > LOG_MOST_BYTES:
        cure = "end what reads the store for so long (fuser tells): the log cannot be emptied meanwhile"
        return warning(HEALTH, f"{size}, and a write-ahead log of {looked.log_bytes / 1e6:,.0f} MB", cure)
    return ok(HEALTH, f"whole; {size}, schema {looked.schema}, write-ahead log {looked.log_bytes / 1e6:,.1f} MB")


def access_finding(looked: Health, user: int) -> Finding:
    """Whether its owner alone may read it: it holds personal data."""
    if looked.mode & OTHERS:
        cure = "chmod 600 the store and its -wal and -shm files: it holds personal data"
        return warning(ACCESS, f"others may read or write it (mode {looked.mode:03o})", cure)
    if user not in {looked.owner, 0}:
        return warning(ACCESS, f"it belongs to user id {looked.owner}, and this is {user}", "run doctor as the daemon's user")
    return ok(ACCESS, f"its owner alone may read it (user id {looked.owner}, mode {looked.mode:03o})")


async def _daemon(path: Path, now: float) -> Finding:
    process = holder(path)
    if process is None:
        return ok(DAEMON, "none runs on this store")
    try:
        beat = await view.heartbeat(path)
    except StoreError:
        beat = None
    return daemon_finding(process, beat, now)


def daemon_finding(process: str, beat: Mapping[str, Any] | None, now: float) -> Finding:
    """Whether the daemon that holds the store goes on."""
    silent = now - beat["at"] if beat is not None and not beat["stopped"] else None
    if silent is None or silent > SILENT_SECONDS:
        since = f"for {silent:,.0f} s" if silent is not None else "so far"
        cure = "wait if it was only just started; else look at its log, and restart it: the store holds everything"
        return warning(DAEMON, f"process {process} holds the store and has said nothing {since}", cure)
    return ok(DAEMON, f"process {process} runs on this store; a second one would be refused")


def clock_finding(service: str, ahead_seconds: float) -> Finding:
    """Whether this machine's clock is right, by the service's own."""
    check = f"{service} clock"
    way = "ahead of" if ahead_seconds > 0 else "behind"
    told = f"this machine's clock is {abs(ahead_seconds):,.0f} s {way} the service's"
    cure = "set the clock right, by NTP (timedatectl set-ntp true)"
    if abs(ahead_seconds) > SKEW_SECONDS_MAX:
        return failure(check, told, f"{cure}: sign-ins are refused, and days and quotas turn at the wrong time")
    return warning(check, told, cure) if abs(ahead_seconds) > SKEW_SECONDS else ok(check, "this machine's clock is right")
