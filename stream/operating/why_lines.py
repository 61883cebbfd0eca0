"""The lines of a record's story as sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from store.history import WHOLE, Line, What


def told(line: Line) -> str:
    """One line of the story, as a sentence of its own."""
    return SENTENCES[line.what](line) if line.what in SENTENCES else line.what


def _which(line: Line) -> str:
    return "all its fields" if line.fields == WHOLE else line.fields.replace(",", ", ")


def _others(line: Line) -> str:
    """With how many others it went in one call."""
    more = line.together - 1
    return f", with {more:,} other{'' if more == 1 else 's'}" if more > 0 else ""


def _code(line: Line) -> str:
    return f" ({line.code})" if line.code else ""


def _because(line: Line) -> str:
    return f": {line.cause}" if line.cause else ""


def _arrived(line: Line) -> str:
    what = f"{line.source} event arrived" if line.source.isupper() else f"{line.source or 'a change'} brought it"
    fields = f": {_which(line)}" if line.fields else ""
    read = f"; to be read: {line.cause}" if line.cause else ""
    return f"{what}{fields}{read}" + (f" (transaction {line.transaction})" if line.transaction else "")


def _passed_over(line: Line) -> str:
    return f"{line.source} event passed over{f' ({_which(line)})' if line.fields else ''}{_because(line)}"


def _asked(line: Line) -> str:
    by = f"{line.source}: " if line.source else ""
    return f"{by}to be read from Salesforce{_because(line)}"


def _sent(line: Line) -> str:
    person = f" as {line.marketo_id}" if line.marketo_id else ""
    return f"{line.what} in Marketo{person}{_others(line)}: {_which(line)}" + (f" ({line.cause})" if line.cause else "")


def _moved(line: Line) -> str:
    if line.marketo_id is None:
        return f"has no Marketo person any more{_because(line)}"
    return f"stands behind Marketo person {line.marketo_id} now{_because(line)}"


SENTENCES: Mapping[What, Callable[[Line], str]] = {
    "arrived": _arrived,
    "passed_over": _passed_over,
    "asked": _asked,
    "read": lambda line: f"read from Salesforce ({line.cause})",
    "gone": lambda line: f"{line.source or 'read from Salesforce'}: it is deleted there",
    "left": lambda line: f"{line.source or 'read from Salesforce'}: it has left its filter",
    "unseen": lambda _: "read from Salesforce: it is not there, or not to be seen by the integration user",
    "unclear": lambda line: f"read from Salesforce, and not understood{_because(line)}",
    "created": _sent,
    "updated": _sent,
    "deleted": lambda line: f"deleted in Marketo{_others(line)}",
    "merged": lambda line: f"merged in Marketo{_others(line)}{_because(line)}",
    "shared": lambda line: f"nothing sent{_because(line)}",
    "nothing": lambda line: f"nothing to send{_because(line)}",
    "retry": lambda line: f"sent back{_others(line)}{_code(line)}: {line.cause or 'to be tried again'}",
    "dead": lambda line: f"refused{_others(line)}{_code(line)}, a dead letter{_because(line)}",
    "put_back": lambda _: "the operator put it back out of the dead letters",
    "dropped": lambda _: "the operator gave it up",
    "moved": _moved,
    "interrupted": lambda _: "was in flight when the daemon ended: put back",
}
