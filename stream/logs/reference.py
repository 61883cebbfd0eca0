"""docs/logs.md, made from the registry: `python -m stream.logs.reference > docs/logs.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from stream.logs.events import GROUPS
from stream.logs.keys import ADDED, ALWAYS, KEYS
from stream.logs.registry import Event, Key
from stream.logs.repeats import GAPS_SECONDS

HEAD = """\
# Logs

This page is made from the program (`python -m stream.logs.reference > docs/logs.md`). A line that is not listed here cannot be
logged: the tests refuse it.

One event a line on stdout, as JSON; every line has `event`, `level` and `timestamp`. In a terminal, where `log.format` is not
set, the lines are for people, in colours (none where `NO_COLOR` is set, or the terminal is a dumb one). Where systemd's journal
reads them, each carries its priority, so that `journalctl -u msi-stream -p err` works; `journalctl -u msi-stream -o cat` gives
the JSON back.

**Units** stand at the end of a key's name. `cause` is why something is so, `cure` what to do about it.

**Repeats are counted.** A line that is the same as one before (the column "same" tells by which keys) is only counted for
{gaps}; then one of them stands for all, with `repeated`. The end of
a condition is said once, with `repeated` and `lasted_seconds`; a condition that comes and goes is counted too. Nothing is left
out: what is still counted when the daemon ends is said then. "same" of "–": each line is said; "any": all lines of the event are
the same.

**Personal data and secrets.** Names, emails and phone numbers do not appear above debug level, secrets never: records are named
by their ids. Of an unexpected error the kind and the place are told, not its words; so it is with what libraries log.
"""


def reference() -> str:
    """The page, in Markdown."""
    parts = [HEAD.format(gaps=_gaps())]
    parts += [f"## {title}\n\n{_events(events)}" for title, events in GROUPS.items()]
    parts.append(f"## Keys\n\n{_keys()}")
    return "\n".join(parts)


def _gaps() -> str:
    minutes = [f"{gap / 60:.0f} minute{'' if gap == 60 else 's'}" for gap in GAPS_SECONDS if gap < 3600]
    hours = [f"{gap / 3600:.0f} hours" for gap in GAPS_SECONDS if gap >= 3600]
    return ", then ".join([*minutes, *hours]) + " at a time"


def _events(events: Iterable[Event]) -> str:
    rows = ["| event | level | it means | what to do | keys | same |", "|---|---|---|---|---|---|"]
    rows += [
        f"| `{each.name}` | {' or '.join(each.levels)} | {each.meaning} | {each.cure} | {_names(each)} | {_same(each)} |"
        for each in events
    ]
    return "\n".join(rows) + "\n"


def _names(event: Event) -> str:
    needed = [f"`{key}`" for key in event.keys]
    return ", ".join([*needed, *(f"`{key}` (not always)" for key in event.optional)]) or "none"


def _same(event: Event) -> str:
    if event.same is None:
        return "–"
    if event.ends:
        return f"ends {', '.join(f'`{name}`' for name in event.ends)}"
    told = ", ".join(f"`{key}`" for key in event.same) or "any"
    return f"{told}; {event.first} are said" if event.first > 1 else told


def _keys() -> str:
    rows = ["| key | holds | meaning |", "|---|---|---|"]
    for name, key in {**ALWAYS, **dict(sorted(KEYS.items())), **ADDED}.items():
        rows.append(f"| `{name}` | {_kind(key)} | {key.meaning} |")
    return "\n".join(rows) + "\n"


def _kind(key: Key) -> str:
    return f"{key.kind} or null" if key.may_be_null else key.kind


if __name__ == "__main__":
    sys.stdout.write(reference())
