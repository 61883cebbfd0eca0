"""docs/configuration.md, made from the model: `python -m stream.config.reference > docs/configuration.md`."""

from __future__ import annotations

import sys

from stream.config import RELOADED
from stream.config.keys import Key, file_path, sections
from stream.config.text import by_section, default_of, required

HEAD = """\
# Configuration

This page is made from the program (`python -m stream.config.reference > docs/configuration.md`); `msi-stream init` writes the
same as a commented file to start from.

**Where the file is.** `--config PATH`, else `$MSI_STREAM_CONFIG`, else `/etc/msi-stream/config.toml`, else `./msi-stream.toml`. A
path that was named and is not there is an error; nothing else is then looked for.

**What is refused.** Keys that do not exist, values of the wrong type, secrets that the flow needs and that are not there. All
problems are told at once, a line each, with exit code 2; the value of a secret is never shown.

**Environment.** Each key has a variable, `MSI_STREAM_SECTION__KEY`, which goes before the file; only the tables of `[fields]`
have none. A variable `MSI_STREAM_…` that sets no key is an error. `true`, `false`, `1` and `0` are booleans.

**Secrets.** A secret is taken from the first of these that is there (an empty text counts as not there):

1. its environment variable, then the file that its `…_FILE` variable names;
2. its value in the file;
3. the file that `KEY_file` names (a relative path starts at the configuration file); line ends at its end are left out;
4. the systemd credential `$CREDENTIALS_DIRECTORY/SECTION_KEY`, for example `salesforce_private_key`.

Commands that only look at the store, or change it, need no secrets: `status`, `why`, `dead`, `replay`, `backfill`, `pause`,
`resume`, `backup`.

A private key may be written on one line with `\\n` between its lines, as environments often carry it.

**While the daemon runs.** On SIGHUP (`systemctl reload msi-stream`) the file is read again. Keys marked ↻ are taken over at once;
others are named in the log (`restart_needed`) and stay as they were. A file that cannot be used is refused whole, in one line
of the log (`reload_refused`), and the daemon goes on as it was.

| flow | needs |
|---|---|
| `jwt` | `client_id`, `private_key`, `username` |
| `client_credentials` | `client_id`, `client_secret`, and a My Domain `login_url` |
| `refresh_token` | `client_id`, `refresh_token`, and `client_secret` where the app asks for it |
| `password` | `client_id`, `client_secret`, `username`, `password` (with the security token behind it) |
"""

FILTERS = """\
A filter is made of comparisons joined by AND, as in a SOQL WHERE clause:

| comparison | of |
|---|---|
| `=` `!=` `<>` | a quoted text, a number, `true`, `false`, `null`, a date (`2026-01-31`) or a datetime (`2026-01-31T12:00:00Z`) |
| `<` `<=` `>` `>=` | a quoted text, a number, a date or a datetime; an empty field is neither less nor more |
| `LIKE` | a quoted text in which `%` stands for any text and `_` for one character |
| `IN` `NOT IN` | a list of values in parentheses |

Fields are named as Salesforce spells their API names; texts are compared without regard to case. `OR`, parentheses and fields of
related records (`Account.Name`) are refused: a formula field can stand for them, whose changes are noticed by the next sweep
after the record itself has changed, because Salesforce's events do not carry formulas.

- A record that is outside is not sent, and what changes in it costs no call to Marketo.
- One that enters is read, and goes whole, with the parents that are inside of theirs; its children get the relation.
- One that leaves follows `[deliver.deletes]`: it is deleted in Marketo, or stays there, with `deleted_field` set. Where more than
  `deliver.max_leaving_a_day` leave in 24 hours, they wait for `msi-stream resume leaving`.
- Whoever names a parent that is outside goes without that relation; contact roles do not go without.
- Another filter than at the last start judges all records of the object again (`filter_changed`); `msi-stream plan --first-load`
  shows before what a new filter would send.
- A filter whose field the integration user does not see stops the object's reading rather than emptying Marketo.
"""

FIELDS = """\
In a table `[fields.OBJECT]`, in the REST API names of both sides:

    [fields.Contact]
    Region__c     = "region"                                        # added
    Title         = "jobTitle"                                      # into another field than the built-in one
    Fax           = ""                                              # left out
    Rating__c     = { to = "rating", policy = "if_empty" }
    Tier__c       = { to = "tier", map = { Gold = 1, Silver = 2 }, otherwise = 3 }
    Interests__c  = { to = "interests", join = ", ", length = 200 }
    "=Salesforce" = "personSource"                                  # a constant, the same for every record

| option | value | does |
|---|---|---|
| `to` | text | the Marketo field |
| `policy` | `always` | the default: sent, and emptied where Salesforce was emptied |
| | `if_empty` | sent only where Marketo's field is empty, never emptied (1) |
| | `never_clear` | sent, never emptied |
| | `true_only` | a boolean that is sent only when it is true (`unsubscribed` always is) |
| `convert` | one of these, or a list, from left to right | |
| | `trim`, `lower`, `upper` | of a text |
| | `text`, `number`, `boolean`, `date`, `datetime` | makes it one (2) |
| `map` | table | other values for some: `{ "in Salesforce" = "in Marketo" }`, by exact text |
| `otherwise` | value | for what is not in the map; without it, that goes as it is |
| `join` | text | stands between the values of a multi-select picklist, instead of `;` |
| `length` | number | the most characters |
| `too_long` | `cut` or `refuse` | what becomes of longer ones; cut is the default, and said (`value_shortened`) |

(1) Marketo is asked just before, which costs a call for each batch of up to 300 updates that carry such a field. What somebody
enters in Marketo between that answer and the update, a moment, is overwritten.

(2) A boolean is made of true, yes, y, on, 1 and their opposites, a datetime of a date at midnight UTC.

What cannot be converted, or is too long and refused, is a dead letter that says why. Whether the fields fit on both sides is
checked by `msi-stream doctor` and when the daemon starts: one of your own that does not fit is left out and said
(`field_unfit`). A change of these tables reads all records of the object again. Scores, interesting moments, external ids and
roles' keys cannot be set this way, and people's `email` only by `Email` as it is, because people are found by it.
"""


def reference() -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    for path, keys in by_section().items():
        name = ".".join(path)
        meaning = sections()[path].__doc__ or ""
        table = FIELDS if path == ("fields",) else _table(keys)
        table += f"\n{FILTERS}" if path == ("filters",) else ""
        parts.append(f"## `[{name}]`\n\n{meaning}\n\n{table}")
    return "\n".join(parts)


def _table(keys: list[Key]) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = f"`{default_of(key)}`" if default_of(key) and key.path not in required("jwt") else "none"
        meaning = key.field.description or ""
        if key.path in RELOADED:
            meaning += " ↻"
        name = f"`{key.path[-1]}`" + (f" or `{file_path(key.path)[-1]}` (secret)" if key.is_secret else "")
        rows.append(f"| {name} | {key.asks_for} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
