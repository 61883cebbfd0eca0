"""Every command explains itself: what it does, its options, exit codes, an example; and speaks of nothing that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from stream.cli.main import cli

CONTEXT = click.Context(cli)
WITHOUT_CONFIG = {"demo", "sandbox", "completion"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something."""
    for name in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, name)
        assert command is not None, name
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
            "completion",
        ),
        *("dead list", "dead show", "dead retry", "dead drop", "replay show", "replay set"),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_help_is_complete(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(cli, [*path, "--help"])
    assert said.exit_code == 0
    for part in ("Usage: ", "Exit codes:", "Example", f"msi-stream {' '.join(path)}"):
        assert part in said.output, said.output
    assert ("--config PATH" in said.output) is (path[0] not in WITHOUT_CONFIG)
    assert all(option.help for option in command_of(path).params if isinstance(option, click.Option))


def command_of(path: tuple[str, ...]) -> click.Command:
    """The command behind these words."""
    at: click.Command = cli
    for name in path:
        assert isinstance(at, click.Group)
        at = at.commands[name]
    return at


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_examples_in_the_help_are_commands_that_there_are(path: tuple[str, ...]) -> None:
    """Every line that begins with the program's name: the command is there, and its options are."""
    lines = re.findall(r"msi-stream ([a-z][^\n`|>#]*)", command_of(path).epilog or "")
    assert lines
    for line in lines:
        words, at = line.rstrip(').,;"').split(), cli
        found: click.Command = at
        while words and isinstance(found, click.Group):
            assert words[0] in found.commands, f"{line}: there is no {words[0]}"
            found, words = found.commands[words[0]], words[1:]
        options = {name for each in found.params for name in each.opts} | {"--help"}
        assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in options] == [], line


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_exit_codes_of_the_help_are_the_contracts(path: tuple[str, ...]) -> None:
    epilog = command_of(path).epilog or ""
    codes = re.findall(r"^ {2}(\d+) {2}", epilog[epilog.index("Exit codes:") :], re.MULTILINE)
    assert codes == sorted(codes, key=int)
    assert codes[0] == "0"
    assert {*codes} <= {"0", "1", "2", "3", "130"}


@pytest.mark.parametrize("name", ["status", "doctor", "why", "plan", "audit", "dead list", "replay show", "demo"])
def test_what_prints_a_table_prints_json_too(name: str) -> None:
    assert "--json" in CliRunner().invoke(cli, [*name.split(), "--help"]).output


def test_the_first_screen_lists_every_command_and_code() -> None:
    said = CliRunner().invoke(cli, ["--help"])
    assert all(name in said.output for name in cli.list_commands(CONTEXT))
    for code in ("0  all well", "1  degraded", "2  usage", "3  another daemon"):
        assert code in said.output
