"""Marketo's error codes: what each one says, and what is to be done (Adobe, "Error Codes"). Data; `outcomes` judges by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Action = Literal[
    "ack",
    "retry",
    "resolve",
    "pause",
    "dead",
    "bisect",
    "halve",
    "as_post",
    "renew",
    "sync_owner",
    "drop_company",
    "fall_back",
    "park",
]
PauseUntil = Literal["probe", "reset"]

BY_ITSELF = "Nothing needs to be done: it goes on by itself."
IN_THE_RECORD = "Correct the field in Salesforce, or take it out of the [fields.*] mapping, then retry the dead letter."
IN_MARKETO = "Ask the Marketo admin; it goes on by itself once that is done."
A_BUG = "This is a bug in msi-stream: report it with the log line; the records are kept."


@dataclass(frozen=True, slots=True)
class Rule:
    """What one code means. `alone` is for one record, `together` for a batch of several; `then_…` follows in the end."""

    cause: str
    cure: str
    alone: Action
    together: Action
    counted: bool = False  # a record itself was refused
    then_alone: Action | None = None  # when its attempts are used up
    then_together: Action | None = None  # after `tries` answers in a row
    tries: int = 1
    on_delete: Action | None = None  # instead of `alone`, where the operation is a delete
    wait_seconds: float | None = None
    pause_until: PauseUntil | None = None
    needs_proof: bool = False  # the service may be at fault: only the success of other records proves this one guilty


def _refused(cause: str, cure: str = IN_THE_RECORD) -> Rule:
    """This record will never be accepted as it is."""
    return Rule(cause, cure, "dead", "bisect", counted=True)


def _curable(action: Action, cause: str, cure: str = BY_ITSELF, *, on_delete: Action | None = None) -> Rule:
    """This record was refused, and something can be tried about it, a bounded number of times."""
    return Rule(cause, cure, action, "bisect", counted=True, then_alone="dead", on_delete=on_delete)


def _reshaped(action: Action, cause: str, cure: str = BY_ITSELF) -> Rule:
    """The request's form was refused: it is changed for all its records, once, and sent again at once."""
    return Rule(cause, cure, action, action, counted=True, then_alone="dead", then_together="bisect", wait_seconds=0.0)


def _busy(cause: str, cure: str = BY_ITSELF, *, wait_seconds: float | None = None) -> Rule:
    """Marketo cannot do it now: as long as it takes, and never a record's fault."""
    return Rule(cause, cure, "retry", "retry", wait_seconds=wait_seconds)


def _suspect(cause: str, cure: str, *, needs_proof: bool = False) -> Rule:
    """Perhaps a record's fault: the batch is tried a few times, then divided; a record alone is tried until it is dead."""
    return Rule(
        cause, cure, "retry", "retry", counted=True, then_alone="dead", then_together="bisect", tries=3, needs_proof=needs_proof
    )


def _paused(cause: str, cure: str, until: PauseUntil = "probe") -> Rule:
    """Nothing can be sent at all until someone or something changes it."""
    return Rule(cause, cure, "pause", "pause", pause_until=until)


_TEMPORARY = _busy("Marketo is temporarily unavailable")
_MALFORMED = Rule("Marketo calls the request malformed", A_BUG, "park", "park")
_NOT_ENABLED = _paused("a feature that this needs is not enabled in this Marketo instance", IN_MARKETO)
_BAD_VALUE = _refused("Marketo refuses a value of this record")
_PARTITION = _refused(
    "Marketo refuses the lead partition",
    "Set deliver.partition to a partition that the API user's workspace may write to, then retry the dead letter.",
)
_EXISTS = _curable("resolve", "Marketo knows this record already")
_MERGE = _refused(
    "Marketo refuses to merge these two people",
    "Compare both people in Marketo and merge them there, or drop the dead letter.",
)
_TOKEN = Rule("Marketo refuses the access token", BY_ITSELF, "renew", "renew")
_BUSY_OR_FAILED = replace(_busy("Marketo is busy, or failed to store it this time"), then_together="bisect", tries=3)

UNREACHABLE = _busy("Marketo gave no usable answer")
UNKNOWN = _suspect(
    "Marketo answered with a code that msi-stream does not know", "Look the code up in Adobe's list of error codes, then retry."
)
UNKNOWN_RECORD = replace(UNKNOWN, together="bisect", then_together=None)

RULES: dict[str, Rule] = {
    "401": _paused(
        "Marketo refused the sign-in",
        "Compare marketo.base_url, client_id and client_secret with the LaunchPoint service in Marketo's Admin.",
    ),
    "403": _paused("something in front of Marketo forbids the call", "Check marketo.base_url, proxies and the IP allowlist."),
    "404": _paused("this address knows no such Marketo call", "Check marketo.base_url."),
    "413": Rule(
        "the request is larger than Marketo takes",
        "Shorten the record's long texts, or take them out of the [fields.*] mapping, then retry the dead letter.",
        alone="dead",
        together="halve",
        counted=True,
        wait_seconds=0.0,
    ),
    "414": Rule("the request's address is longer than Marketo takes", BY_ITSELF, "as_post", "as_post", wait_seconds=0.0),
    "600": _paused(
        "Marketo saw no access token in the call", "Look for a proxy before Marketo that removes the Authorization header."
    ),
    "601": _TOKEN,
    "602": _TOKEN,
    "603": _paused(
        "Marketo denies access",
        "Check the permissions of the API user's role, and the IP allowlist, in Marketo's Admin.",
    ),
    "604": Rule("the call took Marketo too long", BY_ITSELF, "retry", "halve"),
    "605": _MALFORMED,
    "606": _busy("Marketo's limit of calls in 20 seconds is reached", wait_seconds=20.0),
    "607": _paused(
        "Marketo's daily quota of calls is used up",
        "It goes on after midnight US Central time; lower marketo.daily_calls or raise marketo.reserve_calls to stop before it.",
        until="reset",
    ),
    "608": _TEMPORARY,
    "609": _MALFORMED,
    "610": replace(
        _MALFORMED,
        cause="Marketo knows no such call",
    ),
    "611": _suspect(
        "Marketo reports a system error",
        "Look at the record for unusual values; if there are none, ask Marketo Support with the time of the log line.",
        needs_proof=True,
    ),
    "612": _MALFORMED,
    "613": _MALFORMED,
    "614": _TEMPORARY,
    "615": _busy("too many calls at once, counting those of other integrations", wait_seconds=2.0),
    "616": _NOT_ENABLED,
    "701": _refused("a field that Marketo needs is empty"),
    "702": _curable("resolve", "Marketo has no such record", on_delete="ack"),
    "703": _NOT_ENABLED,
    "704": _BAD_VALUE,
    "712": _MERGE,
    "713": _TEMPORARY,
    "714": _MERGE,
    "718": _curable(
        "sync_owner",
        "Marketo does not know the record's sales person",
        "Check that the owner is a user whom [filters] User admits or who can be read in Salesforce.",
    ),
    "719": _TEMPORARY,
    "1001": _BAD_VALUE,
    "1002": _refused("a field that Marketo needs is missing"),
    "1003": _BAD_VALUE,
    "1004": _curable("resolve", "Marketo does not know this lead any more: it was deleted or merged there", on_delete="ack"),
    "1005": _EXISTS,
    "1006": _refused(
        "Marketo has no such field",
        "Name an existing field in the [fields.*] mapping, or let the Marketo admin create it, then retry the dead letter.",
    ),
    "1007": _refused(
        "several people in Marketo match this one",
        "Merge the candidates in Marketo, then retry the dead letter.",
    ),
    "1008": _PARTITION,
    "1009": _PARTITION,
    "1010": _PARTITION,
    "1011": _reshaped("fall_back", "Marketo does not take this field for looking records up"),
    "1013": _curable("resolve", "Marketo does not know this record", on_delete="ack"),
    "1014": _BUSY_OR_FAILED,
    "1016": _BUSY_OR_FAILED,
    "1017": _EXISTS,
    "1018": _paused(
        "native CRM sync is on in this Marketo instance, so it takes no records over the API",
        "Use an instance without native CRM sync, or have the Marketo admin turn it off.",
    ),
    "1019": _BUSY_OR_FAILED,
    "1021": _reshaped(
        "drop_company",
        "Marketo takes no company fields in a lead",
        'Set deliver.lead_company to "never": this instance does not take them.',
    ),
    "1022": _curable(
        "retry",
        "the record is in use in Marketo",
        "Remove what refers to it in Marketo, then retry the dead letter.",
    ),
    "1026": _NOT_ENABLED,
    "1029": _BUSY_OR_FAILED,
    "1036": replace(_busy("the same record was twice in one batch, which is a bug in msi-stream"), together="bisect"),
    **dict.fromkeys(("1076", "1077", "1078", "1079", "1080"), _MERGE),
    "mismatch": replace(_busy("Marketo's answer does not match what was sent"), then_together="bisect", tries=3),
    "unreachable": UNREACHABLE,
}


def rule_of(code: str) -> Rule:
    """The rule for a code. An unknown 7xx or 1xxx speaks of a record, and an unknown 5xx of a gateway."""
    known = RULES.get(code)
    if known is not None:
        return known
    if len(code) == 3 and code.startswith("5"):
        return UNREACHABLE
    speaks_of_record = (len(code) == 3 and code.startswith("7")) or (len(code) == 4 and code.startswith("1"))
    return UNKNOWN_RECORD if speaks_of_record else UNKNOWN
