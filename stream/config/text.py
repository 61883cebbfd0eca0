"""How keys and values are written in TOML, for the reference and the template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from stream.config.keys import Key, KeyPath, keys
from stream.config.model import NEEDED, Flow


def as_toml(value: Any) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, SecretStr):
        return as_toml(value.get_secret_value())
    if isinstance(value, (str, Path)):
        text = str(value)
        return (
            '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'
            if "\n" in text
            else json.dumps(text, ensure_ascii=False)
        )
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{as_key(name)} = {as_toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)


def as_key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


def default_of(key: Key) -> str:
    """The key's default in TOML; nothing where it has none."""
    default = key.field.default
    if default is None or key.kind is dict or (isinstance(default, SecretStr) and not default):
        return ""
    return as_toml(default)


def by_section() -> dict[KeyPath, list[Key]]:
    """The keys of each table, in the order of the file."""
    grouped: dict[KeyPath, list[Key]] = {}
    for key in keys().values():
        grouped.setdefault(key.path[:-1], []).append(key)
    return grouped


def required(flow: Flow) -> set[KeyPath]:
    """The keys without which nothing runs, given how Salesforce is signed in to."""
    return {("salesforce", name) for name in NEEDED[flow]} | {
        ("marketo", name) for name in ("base_url", "client_id", "client_secret")
    }
