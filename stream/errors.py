"""The error tree. An error says *whether* trying again can help; `retry.py` says when.

StreamError                     anything this project raises on purpose
├── ConfigError                 the configuration is wrong (exit code 2)
├── Unreachable                 no answer: refused, reset, timed out, 5xx       heals itself
├── AuthRefused                 the sign-in itself was refused                  needs a person
├── FilterFieldHidden           nobody can tell which records are synced        needs a person
├── SalesforceError             Salesforce answered with an error
│   ├── DailyLimit              the org's daily calls or events are used up     heals itself, by tomorrow
│   ├── ReplayRefused           the stored replay id is no longer known
│   └── BulkJobLost             a bulk query has no (more) rows to give         a new one may, or SOQL
└── MarketoError                Marketo answered with an error code
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamError(Exception):
    """Base of all errors raised on purpose.

    `hint` is one sentence for the person who reads the log: what to do.
    `heals_itself` tells whether waiting can help.
    """

    heals_itself = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint behind it."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(StreamError):
    """The configuration cannot be used. The message names key, what was found and what is expected."""


class Unreachable(StreamError):
    """A service gave no usable answer: refused, reset, timed out, truncated, HTTP 5xx.

    `sent` is False only where it is certain that the request never reached the service; otherwise the work may have been done.
    """

    heals_itself = True

    def __init__(self, message: str, *, sent: bool = True, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class AuthRefused(StreamError):
    """The service refused the sign-in itself (wrong secret, revoked app, blocked flow)."""


class FilterFieldHidden(StreamError):
    """A filter looks at fields that the integration user does not see: to read on would be to find every record outside."""

    def __init__(self, obj: str, fields: Sequence[str], meant: str) -> None:
        hint = f"did you mean {meant}?" if meant else "correct the filter, or give the integration user read access to them"
        super().__init__(f"filters.{obj}: {', '.join(fields)} not to be seen in Salesforce", hint=hint)


class SalesforceError(StreamError):
    """Salesforce answered with an error. `code` is its errorCode, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class DailyLimit(SalesforceError):
    """Salesforce's daily allowance (calls or delivered events) is used up."""

    heals_itself = True


class ReplayRefused(SalesforceError):
    """Salesforce no longer knows the replay id that was asked for (`400::The replayId …`)."""


class BulkJobLost(SalesforceError):
    """A bulk query failed, was aborted, or is gone with its results. `another_helps` tells whether to start it anew.

    Where it does not, the query itself or its result does not suit the Bulk API: SOQL pages can read the same rows.
    `detail` is Salesforce's own wording: it may hold personal data, so it stays out of str().
    """

    def __init__(
        self, message: str, *, another_helps: bool, code: str = "", status: int = 0, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, code=code, status=status, hint=hint)
        self.another_helps = another_helps
        self.detail = detail


class MarketoError(StreamError):
    """Marketo answered `success: false`. `code` is the first error's code as text (`"606"`)."""

    def __init__(self, message: str, *, code: str, status: int = 200, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class BudgetSpent(StreamError):
    """This daemon's own daily call budget is used up; nothing was sent. `resets_in_seconds` tells when to go on."""

    heals_itself = True

    def __init__(self, message: str, *, resets_in_seconds: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.resets_in_seconds = resets_in_seconds
