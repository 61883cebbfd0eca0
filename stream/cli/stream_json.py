"""One JSON document on stdout, written while it is found: a list first, then what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import orjson


@dataclass(slots=True)
class JsonStream:
    """`{"name": [item, …], key: value, …}`; nothing is held."""

    name: str
    items: int = 0

    def item(self, value: Any) -> None:
        """One more of the list."""
        click.echo("," if self.items else f'{{"{self.name}": [', nl=bool(self.items))
        click.echo(orjson.dumps(value, default=str).decode(), nl=False)
        self.items += 1

    def end(self, more: Mapping[str, Any]) -> None:
        """The rest."""
        head = "" if self.items else f'{{"{self.name}": ['
        rest = orjson.dumps(dict(more)).decode()
        click.echo(f"{head}],{rest[1:]}")
