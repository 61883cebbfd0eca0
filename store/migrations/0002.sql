-- What is known of each field instead of one hash of all, live changes before loaded ones, and what is proven complete.

ALTER TABLE record ADD COLUMN known TEXT NOT NULL DEFAULT '{}';
ALTER TABLE record DROP COLUMN content;

-- 0: a live change · 1: brought by a load, which lets live changes go first.
ALTER TABLE entry ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
DROP INDEX entry_ready;
CREATE INDEX entry_ready ON entry (object, kind, rank, due_ms, entry_id) WHERE state = 'open' AND waits = 0 AND read = '';
CREATE INDEX entry_loaded ON entry (entry_id) WHERE rank = 1 AND state <> 'dead';

-- Intervals of an object's history that are proven complete: every change committed in them was taken. They do not overlap.
CREATE TABLE coverage (
    object TEXT NOT NULL,
    from_s REAL NOT NULL,
    to_s   REAL NOT NULL,
    how    TEXT NOT NULL,
    PRIMARY KEY (object, from_s)
) STRICT, WITHOUT ROWID;
