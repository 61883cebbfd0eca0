"""`completion`: what a shell sources so that Tab completes commands, options and their choices."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_MSI_STREAM_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

EPILOG = """\b
Put one of these into the shell's own start file:
  bash  eval "$(msi-stream completion bash)"
  zsh   eval "$(msi-stream completion zsh)"
  fish  msi-stream completion fish | source

\b
Exit codes:
  0  printed
  2  no such shell

\b
Example:
  msi-stream completion bash > /etc/bash_completion.d/msi-stream
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what SHELL sources to complete commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None, shell  # noqa: S101 - click knows all three
    click.echo(kind(ctx.find_root().command, {}, "msi-stream", VARIABLE).source())
