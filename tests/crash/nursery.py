"""A process that has imported the daemon once and copies itself for each start: importing takes longer than all the rest.

    {"arguments": […], "folder": "…", "arm": {…} | null} ──▶ fork ──▶ the daemon; its output and exit code go into the folder

`python -m tests.crash.nursery` reads one request a line, answers each with the new process's id, and ends with its input.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from stream.cli.main import cli
from tests.crash.deadly import arm

OUTPUT, ERRORS, EXIT = "stdout", "stderr", "exit"


def main() -> None:
    """Serve requests."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    folders: dict[int, Path] = {}
    pending = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury(folders)
        if 0 not in ready:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *requests, pending = (pending + chunk).split(b"\n")
        for request in map(orjson.loads, requests):
            pid = os.fork()
            if not pid:
                _become(request)
            folders[pid] = Path(request["folder"])
            os.write(1, b"%d\n" % pid)
    for pid in folders:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _bury(folders: dict[int, Path]) -> None:
    """Write down how those that have ended did."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            folder = folders.pop(ended[0])
            written = folder / f"{EXIT}.new"
            written.write_text(str(os.waitstatus_to_exitcode(ended[1])))
            written.rename(folder / EXIT)


def _become(request: dict[str, Any]) -> None:
    """Be the daemon, from its command line to its last breath; the interpreter ends as it does after any command."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(request["folder"])
    for number, name in ((0, os.devnull), (1, folder / OUTPUT), (2, folder / ERRORS)):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    if request["arm"]:
        arm(**request["arm"])
    cli.main(request["arguments"], prog_name="msi-stream")
    sys.exit(0)


if __name__ == "__main__":
    main()
