"""`msi-stream …` as somebody at a shell runs it: exit code, what it said, and that it said no secret."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from click.testing import CliRunner

from stream.cli.main import cli
from stream.config.template import template
from tests.flow.world import World


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, parsed: nothing but JSON may stand on stdout."""
        return orjson.loads(self.out)

    @property
    def message(self) -> str:
        """The one message on stderr: no traceback, and few lines."""
        assert "Traceback" not in self.err, self.err
        assert 1 <= len(self.err.strip().splitlines()) <= 4, self.err
        return self.err


async def msi(*words: str, cwd: Path | None = None, **environ: str) -> Said:
    """Run a command to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Said(process.returncode or 0, out.decode(), err.decode())


async def ask(here: World, *words: str) -> Said:
    """Run a command with this world's configuration; nothing it says is a secret."""
    said = await msi(*words, "--config", str(here.write_config()))
    check_secrets(here, said.out + said.err)
    return said


SECRETS = ("salesforce-secret-7f1e", "marketo-secret-9c2d")


def config_file(folder: Path, **more: Any) -> Path:
    """A configuration whose services are nowhere, for what never gets so far; `store__path=…` for store.path."""
    values = {
        "salesforce.flow": "client_credentials",
        "salesforce.login_url": "http://127.0.0.1:9",
        "salesforce.client_id": "app",
        "salesforce.client_secret": SECRETS[0],
        "marketo.base_url": "http://127.0.0.1:9",
        "marketo.client_id": "service",
        "marketo.client_secret": SECRETS[1],
        "store.path": str(folder / "store.db"),
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    path = folder / "config.toml"
    path.write_text(template(values), encoding="utf-8")
    return path


def here_and_now(*words: str) -> Said:
    """Run a command in this process: for what needs no services. An unexpected exception is the test's."""
    old = signal.getsignal(signal.SIGTERM), structlog.get_config()
    try:
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
    finally:
        signal.signal(signal.SIGTERM, old[0])
        structlog.configure(**old[1])
    for secret in SECRETS:
        assert secret not in result.output
    return Said(result.exit_code, result.stdout, result.stderr)


def check_secrets(here: World, text: str) -> None:
    """Fail where a secret of this world stands in the text."""
    sign_in = here.salesforce.sign_in
    key_lines = [line for line in sign_in.private_key.splitlines() if not line.startswith("-----")]
    tokens = [*sign_in._tokens, here.marketo.identity._token]
    for secret in (sign_in.client_secret, here.marketo.client_secret, *key_lines, *filter(None, tokens)):
        assert secret not in text
