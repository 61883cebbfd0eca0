"""The keys of the configuration as a flat list, read off the model: for the environment, suggestions, reference and template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stream.config.model import Section, Settings

KeyPath = tuple[str, ...]
PREFIX = "MSI_STREAM_"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: where it stands, and what its field says of it."""

    path: KeyPath
    field: FieldInfo

    @property
    def name(self) -> str:
        """The key with its sections, dotted."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it, or nothing for the tables of [fields]."""
        return "" if self.kind is dict else PREFIX + "__".join(self.path).upper()

    @property
    def kind(self) -> Any:
        """The bare type: str, int, float, bool, Path, SecretStr, dict, or a Literal."""
        for part in get_args(self.field.annotation):
            if part is SecretStr:
                return SecretStr
        return get_origin(self.field.annotation) if get_origin(self.field.annotation) is dict else self.field.annotation

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind is SecretStr

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values it may take, or nothing."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def asks_for(self) -> str:
        """The kind of value in words."""
        words = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false", Path: "a path in quotes"}
        words |= {SecretStr: "text in quotes", dict: 'a table of SalesforceField = "marketoField"'}
        return "one of " + ", ".join(self.choices) if self.choices else words[self.kind]


def _walk(section: type[Section], path: KeyPath) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _walk(kind, (*path, name))
        else:
            yield Key((*path, name), field)


@cache
def keys() -> dict[KeyPath, Key]:
    """Every key by its path, in the order of the file."""
    return {key.path: key for key in _walk(Settings, ())}


@cache
def sections() -> dict[KeyPath, type[Section]]:
    """Every table by its path, parents first."""
    found: dict[KeyPath, type[Section]] = {}
    waiting: list[tuple[KeyPath, type[Section]]] = [((), Settings)]
    while waiting:
        path, section = waiting.pop(0)
        found[path] = section
        for name, field in section.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                waiting.append(((*path, name), field.annotation))
    return found


@cache
def variables() -> dict[str, KeyPath]:
    """Every environment variable that sets something: plain keys, secrets, and the `_file` of secrets."""
    named = {key.variable: key.path for key in keys().values() if key.variable}
    files = {f"{key.variable}_FILE": file_path(key.path) for key in keys().values() if key.is_secret}
    return named | files


def file_path(path: KeyPath) -> KeyPath:
    """The path of the key that names a secret's file."""
    return (*path[:-1], f"{path[-1]}_file")


def known_in(path: KeyPath) -> list[str]:
    """What may stand in a table: its keys, its tables, and the `_file` of its secrets."""
    names = list(sections()[path].model_fields) if path in sections() else []
    return names + [file_path(key.path)[-1] for key in keys().values() if key.is_secret and key.path[:-1] == path]
