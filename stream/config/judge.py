"""The configuration read and judged: every problem at once, a line each, with what was found and what is expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from stream.config.closest import closest
from stream.config.keys import KeyPath, keys, known_in, sections
from stream.config.model import BEGUN, FIELD_RULES, OBJECTS, WITHOUT_SECRETS, Settings
from stream.config.sources import CONFIG_VARIABLE, LOCAL_PATH, SYSTEM_PATH, Gathered, find, gather
from stream.errors import ConfigError

STREAMED_OBJECTS_MAX = 5  # Salesforce, Change Data Capture allocations: more need the add-on

# What a running daemon takes over on SIGHUP. Everything else decides who it talks to or what records mean, and needs a restart.
RELOADED: frozenset[KeyPath] = frozenset(
    {
        *(("marketo", name) for name in ("calls_per_20s", "concurrency", "daily_calls", "reserve_calls")),
        *(("deliver", name) for name in ("linger_seconds", "batch_size", "max_attempts", "max_new_people_a_day")),
        *(("deliver", name) for name in ("max_leaving_a_day", "poison_share", "settle_seconds")),
        *(("scores", name) for name in ("interval_seconds", "sweep_interval_seconds", "daily_writes")),
        *(
            ("reconcile", name)
            for name in ("interval_seconds", "poll_interval_seconds", "bulk_above", "daily_calls", "reserve_calls")
        ),
        *(("log", name) for name in ("level", "format")),
    }
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, what is odd about them (a sentence each), and the file they came from."""

    settings: Settings
    warnings: list[str]
    path: Path


def load(path: Path | None, environ: Mapping[str, str], *, secrets: bool = True) -> Loaded:
    """Read the configuration; raises ConfigError, which names every problem at once, a line each.

    Whoever only looks at the store asks for no `secrets`: they are neither read nor missed then.
    """
    where = find(path, environ)
    settings = _judged(where, gather(where, environ, secrets=secrets), {WITHOUT_SECRETS: not secrets})
    return Loaded(settings, _warnings(settings), where)


def load_begun(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Settings before the setup is finished: the defaults where there is no file yet, and no credentials are missed."""
    gathered, where = Gathered({}), LOCAL_PATH
    if path or environ.get(CONFIG_VARIABLE) or any(map(Path.exists, (SYSTEM_PATH, LOCAL_PATH))):
        where = find(path, environ)
        gathered = gather(where, environ, secrets=False)
    gathered.tree.setdefault("salesforce", {})
    marketo = gathered.tree.setdefault("marketo", {})
    if isinstance(marketo, dict) and not marketo.get("base_url"):
        marketo["base_url"] = "https://not-known-yet.mktorest.com"
    return _judged(where, gathered, {WITHOUT_SECRETS: True, BEGUN: True})


def _judged(where: Path, gathered: Gathered, context: Mapping[str, bool]) -> Settings:
    problems = gathered.problems
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(gathered.tree, context=dict(context))
    except ValidationError as error:
        details = error.errors(include_url=False)
        told = [one for one in details if _path_of(one) not in gathered.broken]
        problems = [*problems, *(line for one in told for line in _lines(one, gathered))]
    if settings is None or problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError("\n  ".join([f"{where}: {count} in the configuration", *problems]))
    return settings


def _path_of(detail: ErrorDetails) -> KeyPath:
    return tuple(str(part) for part in detail["loc"])


def _lines(detail: ErrorDetails, gathered: Gathered) -> list[str]:
    return detail["ctx"]["lines"] if detail["type"] == FIELD_RULES else [_line(detail, gathered)]


def _line(detail: ErrorDetails, gathered: Gathered) -> str:
    path = _path_of(detail)
    if detail["type"] == "extra_forbidden":
        return f"{'.'.join(path)}: {_unknown(path, detail['input'])}"
    origin = gathered.origins.get(path)
    name = ".".join(path) + (f" ({origin})" if origin else "")
    return f"{name}: found {_found(path, detail['input'])}, expected {_expected(path, detail)}"


def _unknown(path: KeyPath, value: Any) -> str:
    """What to say of a key that does not exist; never its value, which may be a misplaced secret."""
    table, word = path[:-1], path[-1]
    if path == ("deliver", "deletes", "User"):
        return "found a key that does not exist: sales persons are never deleted"
    if table == ("fields",) and not isinstance(value, dict):
        return "found a field outside of its object's table, expected it in one such as [fields.Contact]"
    what = "section" if isinstance(value, dict) else "key"
    known = known_in(table)
    meant = closest(word, known)
    elsewhere = [".".join((*other, word)) for other in sections() if word in known_in(other)]
    if not meant and elsewhere:
        return f"found an unknown {what}, did you mean {elsewhere[0]}?"
    names = ".".join((*table, meant)) if meant else ""
    return f"found an unknown {what}, " + (f"did you mean {names}?" if meant else f"expected one of {', '.join(known)}")


def _found(path: KeyPath, value: Any) -> str:
    """A value as it may be shown: shortened, on one line, and never where it could be a secret."""
    if value is None or value == "" or (isinstance(value, SecretStr) and not value):
        return "nothing"
    if path in keys() and keys()[path].is_secret:
        return "a value that is not shown here"
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        if "@" in value and path[-1].endswith("_url"):
            return "a URL that is not shown here"
        return json.dumps(value if len(value) <= 80 else value[:79] + "…", ensure_ascii=False)
    return json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)


def _expected(path: KeyPath, detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"{keys()[path].asks_for} of at least {context['ge']:g}"
        case "greater_than":
            return f"{keys()[path].asks_for} above {context['gt']:g}"
        case "less_than_equal":
            return f"{keys()[path].asks_for} of at most {context['le']:g}"
        case "finite_number":
            return "a number that is not infinite"
    if path in sections():
        return f"a table [{'.'.join(path)}]"
    if path not in keys():
        return "text in quotes"
    value, choices = detail["input"], keys()[path].choices
    meant = closest(value, choices) if isinstance(value, str) else ""
    return keys()[path].asks_for + (f": did you mean {meant}?" if meant else "")


def _warnings(settings: Settings) -> list[str]:
    warnings: list[str] = []
    objects, channel = settings.salesforce.objects, settings.salesforce.channel
    streamed = objects.set_to("stream")
    if len(streamed) > STREAMED_OBJECTS_MAX:
        warnings.append(
            f"salesforce.objects: {len(streamed)} objects are set to stream; without Salesforce's add-on only "
            f'{STREAMED_OBJECTS_MAX} can be selected: set one to "poll" (OpportunityContactRole is the natural one)'
        )
    only = channel.removeprefix("/data/").removesuffix("ChangeEvent")
    if only in OBJECTS and (missed := [name for name in streamed if name != only]):
        warnings.append(
            f'salesforce.channel: {channel} carries only {only}; {", ".join(missed)} are set to "stream" and never arrive'
        )
    shared_hosts = ("https://login.salesforce.com", "https://test.salesforce.com")
    if settings.salesforce.flow == "client_credentials" and settings.salesforce.login_url in shared_hosts:
        warnings.append("salesforce.login_url: client_credentials works only on the org's own My Domain host")
    return warnings
