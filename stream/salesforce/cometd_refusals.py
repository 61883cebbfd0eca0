"""What an unsuccessful Bayeux reply means: one error of the tree for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stream.errors import DailyLimit, ReplayRefused, SalesforceError, StreamError, Unreachable

_CODE = re.compile(r"(\d{3}):")
_REPLAY = re.compile(r"replay\s*id", re.IGNORECASE)
PASSING_CODES = frozenset({402, 408, 429})  # 402 is the reference server's word for Salesforce's `403::Unknown client`


class TokenRefused(Unreachable):
    """Salesforce no longer takes the access token; it heals with a new one."""


def refusal(reply: Mapping[str, Any]) -> StreamError:
    """The error for a reply that is not successful; the code stands in `error`, or nested in `ext.sfdc.failureReason`."""
    channel = str(reply.get("channel"))
    reasons = [reason for reason in (_text(reply.get("error")), _failure_reason(reply)) if reason]
    codes = {int(found[1]) for reason in reasons if (found := _CODE.match(reason))}
    told = "; ".join(reasons)[:300]
    message = f"{channel} was refused: {told or 'no reason given'}"
    words = told.lower()
    if 401 in codes:
        return TokenRefused(message)
    if "daily limit" in words:
        return DailyLimit(message, code="403", hint="events flow again when Salesforce's daily allowance is renewed")
    if 400 in codes and _REPLAY.search(told):
        return ReplayRefused(message, code="400")
    if _passes(channel, reply, codes, words):
        return Unreachable(message)
    return SalesforceError(message, code=str(min(codes, default="")), hint=_hint(channel))


def _passes(channel: str, reply: Mapping[str, Any], codes: set[int], words: str) -> bool:
    """Whether a new session may heal it: it was forgotten, the server is busy, or the server itself asks for a handshake."""
    if codes & PASSING_CODES or any(code >= 500 for code in codes):
        return True
    if "unknown client" in words or "concurrent" in words or channel == "/meta/connect":
        return True
    advice = reply.get("advice")
    return not codes or (isinstance(advice, dict) and advice.get("reconnect") == "handshake")


def _failure_reason(reply: Mapping[str, Any]) -> str:
    ext = reply.get("ext")
    sfdc = ext.get("sfdc") if isinstance(ext, dict) else None
    return _text(sfdc.get("failureReason")) if isinstance(sfdc, dict) else ""


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _hint(channel: str) -> str:
    if channel == "/meta/subscribe":
        return "check salesforce.channel, the objects selected for Change Data Capture and the user's right to see them"
    return "check salesforce.api_version, and that the user may use the Streaming API"
