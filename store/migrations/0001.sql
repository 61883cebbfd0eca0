-- The first schema: records known, the outbox, positions, scores.

CREATE TABLE record (
    object       TEXT NOT NULL,
    record_id    TEXT NOT NULL,
    state        TEXT NOT NULL,
    marketo_id   TEXT,
    owner        TEXT,
    account      TEXT,
    opportunity  TEXT,
    contact      TEXT,
    created      TEXT,
    filled       TEXT NOT NULL DEFAULT '[]',
    sent_key     TEXT,
    converted_to TEXT,
    read_s       INTEGER,
    content      TEXT NOT NULL DEFAULT '',
    commit_ms    INTEGER NOT NULL DEFAULT 0,
    txn          TEXT NOT NULL DEFAULT '',
    seq          INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (object, record_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX record_marketo ON record (marketo_id, object) WHERE marketo_id IS NOT NULL;
CREATE INDEX record_sent_key ON record (sent_key) WHERE sent_key IS NOT NULL;
CREATE INDEX record_owner ON record (owner) WHERE owner IS NOT NULL;
CREATE INDEX record_account ON record (account) WHERE account IS NOT NULL;
CREATE INDEX record_opportunity ON record (opportunity) WHERE opportunity IS NOT NULL;
CREATE INDEX record_contact ON record (contact) WHERE contact IS NOT NULL;

CREATE TABLE entry (
    entry_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    object          TEXT NOT NULL,
    record_id       TEXT NOT NULL,
    state           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    pending         BLOB NOT NULL,
    read            TEXT NOT NULL DEFAULT '',
    waits           INTEGER NOT NULL DEFAULT 0,
    attempts        INTEGER NOT NULL DEFAULT 0,
    tries           INTEGER NOT NULL DEFAULT 0,
    due_ms          INTEGER NOT NULL,
    queued_ms       INTEGER NOT NULL,
    later           BLOB,
    later_first_ms  INTEGER NOT NULL DEFAULT 0,
    code            TEXT NOT NULL DEFAULT '',
    cause           TEXT NOT NULL DEFAULT '',
    cure            TEXT NOT NULL DEFAULT '',
    died_ms         INTEGER NOT NULL DEFAULT 0,
    flow            TEXT NOT NULL DEFAULT 'deliver',
    UNIQUE (object, record_id, flow)
) STRICT;

CREATE INDEX entry_ready ON entry (object, kind, due_ms, entry_id) WHERE state = 'open' AND waits = 0 AND read = '';
CREATE INDEX entry_to_read ON entry (object, due_ms, entry_id) WHERE state = 'open' AND read <> '';
CREATE INDEX entry_in_flight ON entry (entry_id) WHERE state = 'in_flight';
CREATE INDEX entry_dead ON entry (code, entry_id) WHERE state = 'dead';

-- One row for each record an entry waits for.
CREATE TABLE wait (
    entry_id      INTEGER NOT NULL REFERENCES entry (entry_id) ON DELETE CASCADE,
    parent_object TEXT NOT NULL,
    parent_id     TEXT NOT NULL,
    PRIMARY KEY (entry_id, parent_object, parent_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX wait_parent ON wait (parent_object, parent_id);

-- The position on each streaming channel, written in the transaction that stores the events up to it.
CREATE TABLE replay (
    channel   TEXT PRIMARY KEY,
    replay_id INTEGER NOT NULL,
    commit_ms INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was last written to Salesforce for each person, as the seven values in Salesforce's types.
CREATE TABLE score (
    object    TEXT NOT NULL,
    record_id TEXT NOT NULL,
    written   TEXT,
    attempts  INTEGER NOT NULL DEFAULT 0,
    due_ms    INTEGER NOT NULL DEFAULT 0,
    stopped   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (object, record_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX score_due ON score (due_ms) WHERE due_ms > 0;

-- Small facts under a name: poll cursors, the activity paging token, call counts of the day, the daemon's last heartbeat.
CREATE TABLE note (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
