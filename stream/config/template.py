"""The commented configuration file that `msi-stream init` writes: every key with its meaning and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.config.keys import Key, KeyPath, file_path, sections
from stream.config.text import as_key, as_toml, by_section, default_of, required

HEAD = """\
# The configuration of msi-stream. A key behind "# " stands at its default: take the "# " away to change it.
# Every key is explained in docs/configuration.md. Secrets stand in files of their own, readable by the daemon alone.
"""

LEFT_TO_SYSTEMD = """\
# The configuration of msi-stream. A key behind "# " stands at its default: take the "# " away to change it.
# Every key is explained in docs/configuration.md. Secrets are systemd's credentials (docs/systemd.md): none may stand in here,
# because the service's own user reads this file.
"""

FIELDS = """\
# [fields.Contact]
# Region__c = "region"
# Also `Rating__c = { to = "rating", policy = "if_empty", convert = "upper" }`, and constants: `"=Salesforce" = "personSource"`
"""

EXAMPLES: dict[KeyPath, str] = {
    ("salesforce", "username"): "msi-stream@example.com",
    ("marketo", "base_url"): "https://123-ABC-456.mktorest.com",
}


def template(values: Mapping[str, Any] | None = None, credentials: str = "") -> str:
    """The file's text. `values`, by dotted key (`marketo.client_id`, `salesforce.private_key_file`), stand filled in.

    With `credentials`, secrets are left to systemd: it is what their files' names in /etc/credstore begin with.
    """
    given = {tuple(name.split(".")): value for name, value in (values or {}).items()}
    needed = required(given.get(("salesforce", "flow"), "jwt"))
    parts = [LEFT_TO_SYSTEMD if credentials else HEAD]
    for path, keys in by_section().items():
        lines = [f"# {sections()[path].__doc__}"]
        if path == ("fields",):
            own = [f"[fields.{at[1]}]\n{_pairs(value)}" for at, value in given.items() if at[0] == "fields"]
            parts.append("\n".join([*lines, *own]) + "\n" if own else "\n".join(lines) + "\n" + FIELDS)
            continue
        lines.append(f"[{'.'.join(path)}]")
        for key in keys:
            lines += _key(key, given, needed, credentials)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _key(key: Key, given: dict[KeyPath, Any], needed: set[KeyPath], credentials: str) -> list[str]:
    choices = f" ({' | '.join(key.choices)})" if key.choices else ""
    example = f" Such as {EXAMPLES[key.path]}" if key.path in EXAMPLES else ""
    lines = [f"# {key.field.description}{choices}{example}"]
    by_file = file_path(key.path) if key.is_secret else key.path
    for path in (key.path, by_file):
        if path in given:
            return [*lines, f"{path[-1]} = {as_toml(given[path])}"]
    if key.is_secret and credentials:
        return [*lines, f"# {key.path[-1]}: /etc/credstore/{credentials}.{'_'.join(key.path)}"]
    default = as_toml("/etc/msi-stream/" + "_".join(key.path)) if key.is_secret else default_of(key)
    return [*lines, f"{'' if key.path in needed else '# '}{by_file[-1]} = {default}"]


def _pairs(fields: Mapping[str, Any]) -> str:
    return "\n".join(f"{as_key(name)} = {as_toml(field)}" for name, field in fields.items())
