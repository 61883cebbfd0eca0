"""The events of the daemon itself: its life, its store, its clock, its configuration."""

from __future__ import annotations

from stream.logs.registry import event

WRITE = "do what `cure` says (free disk space, a lock, a mount); it goes on by itself"

EVENTS = (
    event(
        "info",
        "heartbeat",
        "state stream failing paused poisoned held store freshness_p50_seconds freshness_p99_seconds freshness_oldest_seconds"
        " backlog blocked dead waiting_people pending events accepted calls hours_to_loss holes silent missed memory_mb"
        " uptime_seconds",
        "how the daemon stands, every minute and at its end: what monitoring needs",
        "nothing: the alerts of docs/operation.md look at it",
        same="*",
    ),
    # life
    event("info", "daemon_started", "channel recovered previous_run", "the daemon has the store, and begins", same="*"),
    event(
        "info",
        "daemon_ready",
        "after_seconds still_trying",
        "every loop has made an attempt, or has tried for ten seconds",
        same="*",
    ),
    event("info", "daemon_stopping", "", "it was asked to end: nothing new is begun, what is in flight is finished", same="*"),
    event(
        "info warning",
        "daemon_stopped",
        "cause? cure?",
        "it has ended in good order; with a cause: without having written down the last, which comes again",
        "without a cause nothing, else what `cure` says",
        same="*",
    ),
    event(
        "warning",
        "drain_cut_short",
        "deadline_seconds",
        "what was in flight took too long at the end; the next start takes it up again",
        "look at how long Marketo takes to answer",
        same="*",
    ),
    event(
        "error",
        "daemon_failed",
        "cause cure trace?",
        "the daemon has ended because of this; systemd starts it again",
        "do what `cure` says; an unexpected error is a bug: please report it with its trace",
        same="*",
    ),
    event(
        "error",
        "loop_hangs",
        "loop limit_seconds where",
        "a loop has not ended an attempt within its time: the watchdog is not fed any more, and systemd starts the daemon again",
        "report it, with `where`",
        same="loop",
    ),
    event("warning", "loop_goes_on", "loop silent_seconds", "the loop goes on after all", same="", ends="loop_hangs", by="loop"),
    event(
        "warning",
        "library_warning",
        "library place cause trace?",
        "a library has something to say; its words may hold personal data, so they are shown at debug level only",
        "nothing, unless something does not work",
        same="library place",
    ),
    # the store
    event(
        "info",
        "store_upgraded",
        "schema_before schema copy",
        "this version has brought the store to its schema, and has put a copy of it as it was beside it",
        "nothing; to go back to the older version, put the copy in the store's place",
        same="*",
    ),
    event(
        "error",
        "store_blocked",
        "cause cure retry_seconds",
        "nothing can be stored just now, so nothing is acknowledged: Salesforce keeps what comes",
        WRITE,
        same="cause",
    ),
    event(
        "info",
        "store_resumed",
        "lasted_seconds",
        "the store can be written again, and nothing is missing",
        same="",
        ends="store_blocked",
    ),
    event(
        "warning",
        "store_log_grows",
        "log_bytes cure",
        "another program reads the store without an end, so its write-ahead log cannot be emptied",
        "end the program that has the store open (fuser tells)",
        same="",
    ),
    # the clock
    event(
        "warning",
        "clock_jumped",
        "jump_seconds",
        "the machine's clock was set; every time in the store has moved with it, nothing waits longer for it",
        "let the clock be kept by NTP",
        same="*",
    ),
    event(
        "warning",
        "due_times_brought_near",
        "entries",
        "entries would have waited longer than any wait takes; they are due now",
        same="*",
    ),
    # the operator
    event(
        "warning",
        "flow_paused",
        "flow cure",
        "the operator has paused a flow",
        "`msi-stream resume` when the reason has gone",
        same="flow",
    ),
    event("info", "flow_resumed", "flow", "the operator lets a flow go on", same="", ends="flow_paused", by="flow"),
    event(
        "warning",
        "config_warning",
        "cause",
        "something in the configuration is odd, or does nothing yet",
        "mend it at the next occasion",
        same="cause",
    ),
    event(
        "info", "config_reloaded", "changed", "the configuration was read again, and taken over as far as it may change", same="*"
    ),
    event(
        "error",
        "reload_refused",
        "cause cure",
        "the configuration file cannot be used; the daemon goes on as it was",
        "mend it, and reload again",
        same="*",
    ),
    event(
        "warning",
        "restart_needed",
        "keys cure",
        "changed keys that are taken over only by a restart",
        "restart when it suits",
        same="*",
    ),
    # the day's calls
    event(
        "warning",
        "background_waits",
        "service left kept live_per_hour resets_in_hours",
        "what is left of the day's budget is kept for live changes: first loads, re-reads and sweeps wait, and lose nothing",
        "nothing, if it ends with the day; else raise the budget (`marketo.daily_calls`, `reconcile.daily_calls`,"
        " `scores.daily_writes`) as far as the instance allows, or look at what else uses it",
        same="service",
    ),
    event(
        "info",
        "background_goes_on",
        "service left kept",
        "there is enough for loads and sweeps again",
        same="service",
        ends="background_waits",
    ),
    event(
        "warning",
        "budget_tight",
        "service linger_seconds left",
        "at the present rate live changes would use up the day's calls: batches wait longer to fill, so that they last",
        "nothing for a day; if it comes every day, raise the budget, a longer `deliver.linger_seconds` or a filter saves calls",
        same="service",
    ),
    event("info", "budget_eased", "service", "batches wait no longer than is set", same="service", ends="budget_tight"),
    event(
        "warning",
        "usage_unknown",
        "service cause cure",
        "nobody tells what other integrations use of the day's quota: only the configured budget is kept",
        "do what `cure` says: the API user's role may need access to usage statistics",
        same="service cause",
    ),
)
