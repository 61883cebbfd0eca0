"""The events of what comes from Salesforce: the stream, reading, polls and sweeps, loads, and the fields of both sides."""

from __future__ import annotations

from stream.logs.registry import event

SELECT = (
    "select it for Change Data Capture in Setup, look at the channel's filter and the user's permissions, or set it to `poll`"
)
REPORT = (
    "nothing is lost, the record is read; report it with the cause; the dead letter shows the content (`msi-stream dead show`)"
)
MEND = "mend the cause; it goes on by itself"

EVENTS = (
    # the stream
    event(
        "info",
        "stream_subscribed",
        "channel replay_from",
        "the stream from Salesforce is connected, after the stored replay id",
        same="",
        ends="stream_lost",
    ),
    event(
        "warning",
        "stream_lost",
        "cause cure retry_seconds",
        "Salesforce cannot be reached, or refuses the sign-in or the subscription; it keeps what comes for 72 hours",
        "mend the cause in time (`hours_to_loss` in the heartbeat); it goes on by itself from the stored replay id",
        same="cause",
    ),
    event(
        "info",
        "token_refused",
        "channel",
        "Salesforce has ended the session; a new one is begun",
        same="",
    ),
    event(
        "error",
        "replay_id_refused",
        "channel replay_id cure",
        "Salesforce does not know the stored replay id any more: everything retained is taken, and what was missed is read again",
        "nothing now; find out why the daemon was away for so long",
        same="",
    ),
    event(
        "error",
        "event_unreadable",
        "channel replay_id cause",
        "an event that nobody can decode, kept whole as a dead letter; the records that it names are read",
        REPORT,
        same="cause",
        first=10,
    ),
    event(
        "warning",
        "reread_asked",
        "object why",
        "Salesforce said that something changed, not what: records (a gap), or the object (an overflow, a wildcard) are read",
        same="object",
    ),
    event(
        "warning",
        "events_passed_over",
        "object mode",
        "events of an object come that are not taken from the stream; said once",
        "set the object to `stream`, or take it out of the channel: its events are counted by Salesforce all the same",
        same="object",
    ),
    event("debug", "events_taken", "replay_id events applied dropped pending", "events were stored", same="*"),
    event(
        "warning error",
        "loss_nears",
        "hours_to_loss cure",
        "in so many hours Salesforce begins to forget what was not read; said at each of a row of marks, as an error below 24",
        "let the daemon reach Salesforce again before then; what is forgotten has to be read again, which takes calls",
        same="*",
    ),
    # what is read
    event("debug", "records_read", "object records parents_asked", "records were read whole", same="*"),
    event(
        "warning",
        "read_failed",
        "object records cause cure",
        "records that have to be read cannot be: they wait, nothing is counted against them",
        MEND,
        same="object cause",
    ),
    event("info", "read_resumed", "object", "records can be read again", same="", ends="read_failed"),
    event(
        "error",
        "record_unreadable",
        "object id cause",
        "what Salesforce tells of a record makes no sense; it becomes a dead letter, or is read once more",
        "look at the field that the cause names, then `msi-stream dead retry`",
        same="object cause",
        first=10,
    ),
    # polls, sweeps
    event(
        "warning",
        "poll_failed",
        "cause cure retry_seconds",
        "objects cannot be polled or swept; it is tried again",
        MEND,
        same="cause",
    ),
    event("info", "poll_resumed", "", "objects are polled and swept again", same="", ends="poll_failed"),
    event(
        "warning",
        "changes_missed_by_stream",
        "object records",
        "a sweep found changes that the stream had not brought; they are taken (drift)",
        "nothing if it is rare; look at Salesforce's delivery limits if it is not",
        same="object",
        summed="records",
    ),
    event(
        "error",
        "stream_silent",
        "object records cure",
        "an object changes again and again, and the stream brings nothing of it: only the sweeps find it",
        SELECT,
        same="object",
    ),
    event(
        "info",
        "stream_heard_again",
        "object",
        "the stream brings events of the object again",
        same="",
        ends="stream_silent",
        by="object",
    ),
    # loads
    event(
        "info",
        "load_started",
        "object why total rows_before",
        "a first load or a re-read has begun, or goes on where it was",
        same="object why",
    ),
    event(
        "info",
        "load_progress",
        "object rows total rows_per_second left_seconds",
        "how far it is, now and then",
        same="object",
        gap_seconds_most=300.0,
    ),
    event("info", "load_finished", "object rows why", "everything is read", same="object why"),
    event(
        "warning",
        "load_failed",
        "cause cure retry_seconds",
        "a load cannot go on just now; it keeps its place",
        MEND,
        same="cause",
    ),
    event("info", "load_resumed", "", "loads go on", same="", ends="load_failed"),
    event("info", "bulk_job_started", "object job", "Salesforce was asked for many records by a Bulk API job", same="object"),
    # both sides' fields
    event(
        "warning",
        "salesforce_fields_missing",
        "object fields",
        "fields of the mapping that the integration user cannot see, or that do not exist",
        "give the integration user read access (field-level security), or take them out of `[fields]`",
        same="object fields",
    ),
    event(
        "warning",
        "marketo_fields_missing",
        "object fields",
        "fields of the mapping that this Marketo does not have, or that the API may not write; they are left out",
        "create them in Marketo, or take them out of `[fields]`; they are found within the next restart or refusal",
        same="object fields",
    ),
    event(
        "warning",
        "mapping_changed",
        "object cure",
        "fields are mapped otherwise than before: all records of the object are read again, and sent where they differ",
        same="object",
    ),
    event(
        "error",
        "field_unfit",
        "object field cause",
        "a field of the configuration's own does not fit where it is mapped to, by what both sides say of them: it is left out",
        "convert it, or map it to another field in `[fields]`; `msi-stream doctor` shows whether it fits",
        same="object field",
    ),
    event(
        "warning",
        "filter_changed",
        "object cure",
        "the object's filter is another than before: all its records are read and judged again; what is outside now follows the "
        "delete settings, what is inside now is sent",
        "if that was not meant, stop the daemon and put the filter right",
        same="object",
    ),
    event(
        "warning",
        "merges_not_visible",
        "object cure",
        "the integration user cannot see into what deleted records were merged: merges are taken for deletions",
        "let the integration user see MasterRecordId",
        same="object",
    ),
)
