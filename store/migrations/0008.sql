-- When an entry's oldest change was committed (or queued, where no event brought it) as a column: as an expression over the
-- pending change it was read out of JSON again for each entry that went.
ALTER TABLE entry ADD COLUMN oldest_ms INTEGER NOT NULL DEFAULT 0;
UPDATE entry SET oldest_ms = coalesce(nullif(json_extract(CAST(pending AS TEXT), '$[4]'), 0), queued_ms) WHERE flow = 'deliver';
DROP INDEX entry_oldest;
CREATE INDEX entry_oldest ON entry (oldest_ms) WHERE flow = 'deliver';

-- Waits without the reference to their entry: to look for them entry by entry took a third of an entry's deletion. They are
-- deleted in one statement together with the entries.
CREATE TABLE wait_on (
    entry_id      INTEGER NOT NULL,
    parent_object TEXT NOT NULL,
    parent_id     TEXT NOT NULL,
    PRIMARY KEY (entry_id, parent_object, parent_id)
) STRICT, WITHOUT ROWID;
INSERT INTO wait_on SELECT entry_id, parent_object, parent_id FROM wait;
DROP TABLE wait;
ALTER TABLE wait_on RENAME TO wait;
CREATE INDEX wait_parent ON wait (parent_object, parent_id);

-- What is being deleted just now, which each batch looks at, without all else that is in flight.
CREATE INDEX entry_going ON entry (entry_id) WHERE state = 'in_flight' AND kind = 'delete';
