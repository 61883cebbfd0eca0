-- Each record's story: what arrived, what was sent, what became of it. Names of fields, never their values.
--
-- A line names the line before it, and the record its last one, so that a line is only ever put at the table's end: an index by
-- record would cost a page for each line.

CREATE TABLE history (
    seq       INTEGER PRIMARY KEY,
    before    INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    at_ms     INTEGER NOT NULL,
    told      BLOB NOT NULL
) STRICT;

ALTER TABLE record ADD COLUMN story INTEGER NOT NULL DEFAULT 0;
