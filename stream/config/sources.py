"""Where settings come from: the TOML file, the environment, secret files and systemd credentials, merged into one tree."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.config.closest import closest
from stream.config.keys import PREFIX, Key, KeyPath, file_path, keys, sections, variables
from stream.errors import ConfigError

CONFIG_VARIABLE = "MSI_STREAM_CONFIG"
SYSTEM_PATH = Path("/etc/msi-stream/config.toml")
LOCAL_PATH = Path("msi-stream.toml")
STATE_PATH = Path("/var/lib/msi-stream")  # of /etc/msi-stream/NAME.toml: NAME/store.db in it, as the template unit has it
INIT_HINT = "write one with `msi-stream init`"
SECRET_BYTES_MAX = 65536

Tree = dict[str, Any]


@dataclass(slots=True)
class Gathered:
    """The merged tree, the keys that were set (and by which variable), and what could not be read."""

    tree: Tree
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)  # secrets already complained of: no second line for them


def find(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The configuration file: the given one, else the environment's, else the system's, else the one in this directory."""
    named = path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if named.is_dir():
            raise ConfigError(f"{named}: found a directory, expected a configuration file")
        if not _is_there(named):
            came_from = "" if path else f" (from {CONFIG_VARIABLE})"
            raise ConfigError(f"{named}{came_from}: there is no such file, expected a configuration file", hint=INIT_HINT)
        return named
    for candidate in (SYSTEM_PATH, LOCAL_PATH):
        if _is_there(candidate):
            return candidate
    looked = f"{SYSTEM_PATH} and {LOCAL_PATH.absolute()}"
    raise ConfigError(f"no configuration file found: looked for {looked}", hint=f"{INIT_HINT}, or name one with --config")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        raise ConfigError(f"{path}: cannot be looked at: permission denied", hint="run as a user that may read it") from None


def read_toml(path: Path) -> Tree:
    """The file's tables; a syntax error names file, line and column."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="run as a user that may read it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: found a byte that is not UTF-8 at offset {error.start}, expected UTF-8 text") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, line, column = _place(str(error), text)
        raise ConfigError(f"{path}:{line}:{column}: found a TOML syntax error at line {line}, column {column}: {what}") from None


def _place(message: str, text: str) -> tuple[str, int, int]:
    what, _, where = message.rpartition(" (at ")
    if place := re.fullmatch(r"line (\d+), column (\d+)\)", where):
        return what, int(place[1]), int(place[2])
    lines = text.split("\n")
    return what or message, len(lines), len(lines[-1]) + 1


def gather(path: Path, environ: Mapping[str, str], *, secrets: bool = True) -> Gathered:
    """Everything that is set, from all sources, by their precedence; nothing is judged yet but what cannot be read.

    Without `secrets` none is read, wherever it lies.
    """
    tree = read_toml(path)
    gathered = Gathered(tree)
    for known in sections():
        _table(tree, known)
    for key_path in (*keys(), *(file_path(key.path) for key in keys().values() if key.is_secret)):
        if _get(tree, key_path) is not None:
            gathered.origins[key_path] = ""
    given = _overlay(gathered, environ)
    base = path.absolute().parent
    for key in keys().values():
        if key.is_secret and secrets:
            _settle_secret(gathered, key, given, base, environ)
        elif key.is_secret:
            _pop(tree, key.path)
            _pop(tree, file_path(key.path))
    _name_store(gathered, path.absolute())
    database = _get(tree, ("store", "path"))
    if isinstance(database, str) and database and not gathered.origins[("store", "path")]:
        _set(tree, ("store", "path"), str(base / _expanded(database)))
    return gathered


def _name_store(gathered: Gathered, path: Path) -> None:
    """Each of several configurations in the system's place has a store of its own, named as it is."""
    if path.parent == SYSTEM_PATH.parent and path.stem != SYSTEM_PATH.stem and _get(gathered.tree, ("store", "path")) is None:
        _set(gathered.tree, ("store", "path"), str(STATE_PATH / path.stem / "store.db"))
        gathered.origins[("store", "path")] = f"as {path} has it"


def _overlay(gathered: Gathered, environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Put the environment's plain values into the tree; its secrets, and the names of their files, are returned."""
    secrets: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        path = variables().get(name.upper())
        if path is None:
            meant = closest(name, variables())
            wanted = f"did you mean {meant}?" if meant else f"expected {PREFIX}SECTION__KEY of a key that exists"
            gathered.problems.append(f"{name}: found an environment variable that sets no key, {wanted}")
            continue
        key = keys().get(path)
        if key is None or key.is_secret:
            secrets[path] = environ[name]
        else:
            _set(gathered.tree, path, from_text(environ[name], key))
        gathered.origins[path] = name
    return secrets


def from_text(text: str, key: Key) -> Any:
    """An environment variable's text as the kind its key asks for; left as text, for the model to refuse, where it is none."""
    if key.kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if key.kind in {int, float}:
        try:
            number: int | float = key.kind(text)
        except ValueError:
            return text
        return number
    return text


def _settle_secret(gathered: Gathered, key: Key, given: dict[KeyPath, str], base: Path, environ: Mapping[str, str]) -> None:
    """Environment before value, value before file, file before credential; empty texts count as not given."""
    tree, by_file = gathered.tree, file_path(key.path)
    value, named = _pop(tree, key.path), _pop(tree, by_file)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(credentials) / "_".join(key.path) if credentials else None
    secret: Any = None
    if given.get(key.path):
        secret = given[key.path]
    elif given.get(by_file):
        secret = _read_secret(gathered, key, given[by_file], Path())
    elif value not in (None, ""):
        secret = value
    elif named not in (None, ""):
        secret = _read_secret(gathered, key, named, base)
    elif credential is not None and _may_exist(credential):
        secret = _read_secret(gathered, key, str(credential), Path())
    if isinstance(secret, str) and key.path[-1] == "private_key" and "\n" not in secret.strip():
        secret = secret.replace("\\n", "\n")  # environments and JSON secrets often carry a PEM on one line
    if secret is not None:
        _set(tree, key.path, secret)


def _read_secret(gathered: Gathered, key: Key, named: Any, base: Path) -> str | None:
    where = ".".join(file_path(key.path))
    if not isinstance(named, str) or not named.isprintable() or "PRIVATE KEY" in named:
        found = f"found something else, expected a file's path in quotes (the secret itself goes under {key.name})"
        _break(gathered, key, f"{where}: {found}")
        return None
    path = base / _expanded(named)
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
        secret = raw.decode().rstrip("\r\n")
    except OSError as error:
        _break(gathered, key, f"{where}: found {path}: {error.strerror}, expected a file this user may read")
    except UnicodeDecodeError:
        _break(gathered, key, f"{where}: found {path}: binary data, expected text")
    else:
        if secret.strip() and len(raw) <= SECRET_BYTES_MAX:
            return secret
        size = "more than 64 KiB" if secret.strip() else "an empty file"
        _break(gathered, key, f"{where}: found {path}: {size}, expected the secret")
    return None


def _may_exist(credential: Path) -> bool:
    try:
        return credential.exists()
    except OSError:  # a directory this user may not look into: reading tells which
        return True


def _expanded(named: str) -> Path:
    """The path with its `~` resolved, where that user exists."""
    try:
        return Path(named).expanduser()
    except RuntimeError:
        return Path(named)


def _break(gathered: Gathered, key: Key, line: str) -> None:
    gathered.problems.append(line)
    gathered.broken.add(key.path)


def _table(tree: Tree, path: KeyPath) -> Tree | None:
    """The table at a path, made where there is none; nothing where something else stands there."""
    for name in path:
        inner = tree.setdefault(name, {})
        if not isinstance(inner, dict):
            return None
        tree = inner
    return tree


def _get(tree: Tree, path: KeyPath) -> Any:
    table = _table(tree, path[:-1])
    return None if table is None else table.get(path[-1])


def _pop(tree: Tree, path: KeyPath) -> Any:
    table = _table(tree, path[:-1])
    return None if table is None else table.pop(path[-1], None)


def _set(tree: Tree, path: KeyPath, value: Any) -> None:
    table = _table(tree, path[:-1])
    if table is not None:
        table[path[-1]] = value
