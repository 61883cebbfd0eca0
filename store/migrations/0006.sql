-- What a start and `status` ask of the whole store is read off indexes, so that it takes no longer the more waits there.

-- People are counted without looking at each record.
DROP INDEX record_marketo;
CREATE INDEX record_marketo ON record (marketo_id, object, state) WHERE marketo_id IS NOT NULL;

-- Who waits for another record, and would be due too late once it is there.
CREATE INDEX entry_held ON entry (due_ms) WHERE state = 'open' AND waits > 0;

-- When each change was committed in Salesforce (or queued, where no event brought it).
CREATE INDEX entry_oldest ON entry (coalesce(nullif(json_extract(CAST(pending AS TEXT), '$[4]'), 0), queued_ms))
WHERE flow = 'deliver';
