"""Every command explains itself: what it does, its options, exit codes, an example; and speaks of nothing that is not there."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from stream.cli.main import cli


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands(cli))


def test_the_commands_are_those_of_the_contract() -> None:
    assert {" ".join(path) for path in ALL} == {
        *(
            "run",
            "demo",
            "sandbox",
            "init",
            "status",
            "doctor",
            "why",
            "plan",
            "audit",
            "forget",
            "backfill",
            "pause",
            "resume",
            "backup",
        ),
        *("dead list", "dead show", "dead retry", "dead drop", "replay show", "replay set"),
    }


@pytest.mark.parametrize("path", [path for path in ALL if path[0] not in {"demo", "sandbox"}], ids=" ".join)
def test_the_help_is_complete(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(cli, [*path, "--help"])
    assert said.exit_code == 0
    for part in ("Usage: ", "--config PATH", "Exit codes:", "Example", f"msi-stream {' '.join(path)}"):
        assert part in said.output, said.output


@pytest.mark.parametrize("name", ["status", "doctor", "why", "plan", "audit", "dead list", "replay show"])
def test_what_prints_a_table_prints_json_too(name: str) -> None:
    assert "--json" in CliRunner().invoke(cli, [*name.split(), "--help"]).output


def test_the_first_screen_lists_every_command_and_code() -> None:
    said = CliRunner().invoke(cli, ["--help"])
    assert all(name in said.output for name in cli.commands)
    for code in ("0  all well", "1  degraded", "2  usage", "3  another daemon"):
        assert code in said.output
