"""Tab in a real shell: commands, options and choices are completed from what the command line really has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import here_and_now

ROOT = Path(__file__).parents[2]


def shell(name: str, script: str, folder: Path) -> str:
    """What a script prints in a shell that finds msi-stream."""
    program = folder / "msi-stream"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m stream "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    done = subprocess.run([name, *quiet, "-c", script], capture_output=True, text=True, env=environ, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


OFFERED = {
    "sta": {"status"},
    "backfill Op": {"opportunity", "opportunitycontactrole"},
    "status --w": {"--watch"},
}


@pytest.mark.timeout(240)
def test_bash_completes_what_there_is(tmp_path: Path) -> None:
    script = 'eval "$(msi-stream completion bash)"\ncomplete -p msi-stream >/dev/null || exit 3\n'
    for typed in OFFERED:
        words = ["msi-stream", *typed.split(" ")]
        given = " ".join(f"'{word}'" for word in words)
        script += f"COMPREPLY=(); COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _msi_stream_completion msi-stream\n"
        script += 'echo "${COMPREPLY[@]}"\n'
    said = shell("bash", script, tmp_path).lower().splitlines()
    assert [set(line.split()) for line in said] == list(OFFERED.values())


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_zsh_and_fish_take_their_scripts(tmp_path: Path, name: str) -> None:
    said = here_and_now("completion", name)
    assert said.code == 0
    assert "_MSI_STREAM_COMPLETE" in said.out
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed: that its script is printed was looked at")
    load = "autoload -U compinit; compinit -D; " if name == "zsh" else ""
    source = 'eval "$(msi-stream completion zsh)"' if name == "zsh" else "msi-stream completion fish | source"
    shell(name, f"{load}{source}", tmp_path)


def test_another_shell_is_a_usage_error() -> None:
    assert here_and_now("completion", "tcsh").code == 2
