"""Answers: the envelope around every one, and the two ways of saying no (to the whole call, to one record)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """The whole call is refused: `success: false` with one error, nothing was done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Skipped(Exception):
    """One record is skipped, with a reason; the call itself succeeds."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(slots=True)
class Page:
    """Records of an answer, with what follows them. `more=None` leaves `moreResult` out."""

    result: list[dict[str, Any]] | None
    next_page_token: str | None = None
    more: bool | None = None


def envelope(page: Page, request_id: str, *, sparse: bool) -> dict[str, Any]:
    """A successful answer. `sparse` leaves out every member that can be implied, `result` too when it is empty."""
    answer: dict[str, Any] = {"requestId": request_id, "success": True}
    if page.result is not None:
        answer["result"] = page.result
    if page.next_page_token is not None:
        answer["nextPageToken"] = page.next_page_token
    if page.more is not None:
        answer["moreResult"] = page.more
    if sparse:
        answer.pop("requestId")
        if not page.result:
            answer.pop("result", None)
        if not page.more:
            answer.pop("moreResult", None)
    return answer


def refusal(refused: Refused, request_id: str, *, integer_codes: bool) -> dict[str, Any]:
    """An answer with `success: false`."""
    return {
        "requestId": request_id,
        "success": False,
        "errors": [{"code": coded(refused.code, integer_codes), "message": refused.message}],
    }


def reasons(skipped: Skipped, *, integer_codes: bool) -> dict[str, Any]:
    """The members of a skipped record."""
    return {
        "status": "skipped",
        "reasons": [{"code": coded(skipped.code, integer_codes), "message": skipped.message}],
    }


def coded(code: str, integer_codes: bool) -> str | int:
    """A code as text, or as a number where the instance answers so."""
    return int(code) if integer_codes else code
