"""One call on the wire: what is sent, how long it may take, and what an answer is taken for.

token ▶ budget ▶ gate ▶ request ▶ HTTP status ▶ bounded JSON ▶ envelope: `Answer`, or an error that says what to make of it
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from stream.connecting import unconnected
from stream.errors import MarketoError, Unreachable
from stream.marketo.codes import rule_of
from stream.watch import pulse

MOST_ANSWER_BYTES = 32 * 1024 * 1024
UNKNOWN_CODE = "unknown"  # an error without a code
HTTP_CODES = frozenset({403, 404, 413, 414})  # statuses that mean something without Marketo's envelope
UNAUTHORIZED_CODE = "601"
WHOLE_FLOW = frozenset({"pause", "retry", "park"})


class AnswerRefused(MarketoError):
    """Marketo's error answer. `detail` is Marketo's own wording: it may hold personal data, so it stays out of str()."""

    def __init__(self, message: str, *, code: str, status: int = 200, detail: str = "") -> None:
        rule = rule_of(code)
        hint = rule.cure if rule.alone in WHOLE_FLOW else ""  # the other cures speak of a record, and there may be none
        super().__init__(f"{message}: {rule.cause}", code=code, status=status, hint=hint)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Request:
    """One call: a path below the base URL, and at most one of a JSON body and a form. `records`: how many it is about."""

    method: str
    path: str
    seconds: float
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    records: int = 0

    @property
    def kind(self) -> str:
        """What calls like it have in common: a query that goes as POST is no write."""
        return f"{self.params.get('_method', self.method)} {self.path}"

    @property
    def endpoint(self) -> str:
        """Its name in messages, without any value that was asked for."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An envelope that reports success; members that Marketo left out are empty."""

    result: list[dict[str, Any]] = field(default_factory=list, repr=False)
    next_token: str = ""
    more: bool | None = None


def dumps(value: Any) -> bytes:
    """JSON in UTF-8. A lone surrogate, half of a character that was cut in two, becomes a question mark."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False).encode(errors="replace")


@asynccontextmanager
async def translated(endpoint: str, *, always_unsent: bool = False) -> AsyncIterator[None]:
    """Turn aiohttp's errors into Unreachable; `sent` is False only where connecting failed, or where the caller says so."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unreachable(f"{endpoint}: {unconnected(error)}", sent=False) from error
    except TimeoutError as error:
        raise Unreachable(f"{endpoint}: no answer in time", sent=not always_unsent) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{endpoint}: the connection broke ({type(error).__name__})", sent=not always_unsent) from error
    except Unreachable as error:
        raise Unreachable(f"{endpoint}: {error.message}", sent=error.sent and not always_unsent) from error
    finally:
        pulse.beat()


async def read_json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The answer's JSON object; Unreachable for an HTTP error, and for what is empty, too large or no JSON object."""
    if response.status != 200:
        raise Unreachable(f"HTTP {response.status}")
    answer = loads_object(await read_bounded(response))
    if answer is None:
        raise Unreachable("the answer is no JSON object")
    return answer


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer, unless it is larger than any that Marketo has reason to give."""
    whole = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        whole += chunk
        if len(whole) > MOST_ANSWER_BYTES:
            raise Unreachable(f"the answer is larger than {MOST_ANSWER_BYTES} bytes")
    return bytes(whole)


def loads_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object in these bytes, or None where they hold none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


async def read_answer(endpoint: str, response: aiohttp.ClientResponse) -> Answer:
    """What a response means: an Answer, AnswerRefused with Marketo's code, or Unreachable."""
    status = response.status
    if status >= 500:
        raise Unreachable(f"HTTP {status}")
    envelope = loads_object(await read_bounded(response)) or {}
    if error := first_error(envelope):
        code, detail = error
        raise AnswerRefused(f"{endpoint}: code {code}", code=code, status=status, detail=detail)
    if status == 401:
        raise AnswerRefused(f"{endpoint}: HTTP 401", code=UNAUTHORIZED_CODE, status=status)
    if status in HTTP_CODES:
        raise AnswerRefused(f"{endpoint}: HTTP {status}", code=str(status), status=status)
    if status != 200:
        raise Unreachable(f"HTTP {status}")
    if envelope.get("success") is None and envelope.get("result") is None:
        raise Unreachable("the answer holds neither a verdict nor a result")
    return _success(envelope)


def first_error(envelope: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and wording of an envelope's first error; None where it reports success."""
    errors = envelope.get("errors") or []
    success = envelope.get("success")
    if success is True or (success is None and not errors):
        return None
    return code_and_message(errors)


def code_and_message(reasons: Any) -> tuple[str, str]:
    """The first of a list of `{code, message}`; codes are text or integers, and either may be missing."""
    first = reasons[0] if isinstance(reasons, list) and reasons else reasons
    if not isinstance(first, dict):
        return UNKNOWN_CODE, ""
    code = first.get("code")
    text = str(code).strip() if isinstance(code, str | int) else ""
    return text or UNKNOWN_CODE, str(first.get("message") or "")


def _success(envelope: Mapping[str, Any]) -> Answer:
    result = envelope.get("result")
    more = envelope.get("moreResult")
    return Answer(
        result=[row for row in result if isinstance(row, dict)] if isinstance(result, list) else [],
        next_token=str(envelope.get("nextPageToken") or ""),
        more=more if isinstance(more, bool) else None,
    )
