-- All SQL of the store. Each query: its name, a line of purpose, the statement.

-- records_by_key --
-- The records with the given keys; ?1 is a JSON array of [object, record id].
SELECT r.* FROM json_each(?1) k JOIN record r ON r.object = k.value ->> 0 AND r.record_id = k.value ->> 1;

-- entries_by_key --
-- The delivery entries of the given records; ?1 is a JSON array of [object, record id].
SELECT e.* FROM json_each(?1) k
JOIN entry e ON e.object = k.value ->> 0 AND e.record_id = k.value ->> 1 AND e.flow = 'deliver';

-- entries_by_id --
-- The entries with the given numbers; ?1 is a JSON array.
SELECT e.* FROM json_each(?1) k JOIN entry e ON e.entry_id = k.value;

-- put_record --
-- Insert or replace what is known of one record.
INSERT INTO record (object, record_id, state, marketo_id, owner, account, opportunity, contact, created, filled, sent_key,
                    merged_into, joined, read_s, known, commit_ms, txn, seq, story)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (object, record_id) DO UPDATE SET
    state = excluded.state, marketo_id = excluded.marketo_id, owner = excluded.owner, account = excluded.account,
    opportunity = excluded.opportunity, contact = excluded.contact, created = excluded.created, filled = excluded.filled,
    sent_key = excluded.sent_key, merged_into = excluded.merged_into, joined = excluded.joined,
    read_s = excluded.read_s, known = excluded.known,
    commit_ms = excluded.commit_ms, txn = excluded.txn, seq = excluded.seq, story = excluded.story;

-- known_among --
-- Which of the given records of an object are known, have an entry or are waited for; ?2 is a JSON array of record ids.
SELECT k.value AS record_id FROM json_each(?2) k
WHERE EXISTS (SELECT 1 FROM record r WHERE r.object = ?1 AND r.record_id = k.value)
   OR EXISTS (SELECT 1 FROM entry e WHERE e.object = ?1 AND e.record_id = k.value AND e.flow = 'deliver')
   OR EXISTS (SELECT 1 FROM wait w WHERE w.parent_object = ?1 AND w.parent_id = k.value);

-- put_newcomers --
-- Records of an object that nobody knew; ?2 is a JSON array of [record id, owner, account, opportunity, contact, created,
-- SystemModstamp, known], ?3 the number of the newest line of any story: theirs come next, in this order.
INSERT INTO record (object, record_id, state, owner, account, opportunity, contact, created, read_s, known, story)
SELECT ?1, value ->> 0, 'seen', value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    ?3 + 1 + key
FROM json_each(?2);

-- put_their_lines --
-- The first line of each one's story: the same for all. ?1 is a JSON array of record ids, ?2 the newest line before them.
INSERT INTO history (seq, before, record_id, at_ms, told)
SELECT ?2 + 1 + key, 0, value, ?3, CAST(?4 AS BLOB) FROM json_each(?1);

-- put_their_entries --
-- Their entries, as a load brings them at ?2; ?3 is a JSON array of [record id, pending, how many records it waits for].
INSERT INTO entry (object, record_id, state, kind, pending, waits, due_ms, queued_ms, oldest_ms, rank)
SELECT ?1, value ->> 0, 'open', 'upsert', CAST(value ->> 1 AS BLOB), value ->> 2, ?2, ?2, ?2, 1 FROM json_each(?3);

-- put_their_waits --
-- What these entries wait for; ?2 is a JSON array of [record id, parent's object, parent's id].
INSERT INTO wait (entry_id, parent_object, parent_id)
SELECT e.entry_id, k.value ->> 1, k.value ->> 2 FROM json_each(?2) k
CROSS JOIN entry e ON e.object = ?1 AND e.record_id = k.value ->> 0 AND e.flow = 'deliver';

-- place_records --
-- What a change alone moves of records that are known. ?1 is a JSON array of [object, record id, known, commit, transaction, sequence, story].
UPDATE record SET known = k.value ->> 2, commit_ms = k.value ->> 3, txn = k.value ->> 4, seq = k.value ->> 5, story = k.value ->> 6
FROM (SELECT value FROM json_each(?1) LIMIT -1) k WHERE object = k.value ->> 0 AND record_id = k.value ->> 1;

-- newest_entry --
-- The highest number that an entry ever had, or none.
SELECT seq FROM sqlite_sequence WHERE name = 'entry';

-- open_entries --
-- New entries of records that have none. ?1 is a JSON array of [number, object, record id, kind, pending, read, due, queued,
-- oldest commit, rank].
INSERT INTO entry (entry_id, object, record_id, state, kind, pending, read, due_ms, queued_ms, oldest_ms, rank)
SELECT value ->> 0, value ->> 1, value ->> 2, 'open', value ->> 3, CAST(value ->> 4 AS BLOB), value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, value ->> 9
FROM json_each(?1);

-- put_entry --
-- Insert an entry, or replace the record's entry.
INSERT INTO entry (object, record_id, state, kind, pending, read, waits, attempts, tries, due_ms, queued_ms, oldest_ms, rank,
                   later, later_first_ms, code, cause, cure, died_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (object, record_id, flow) DO UPDATE SET
    state = excluded.state, kind = excluded.kind, pending = excluded.pending, read = excluded.read, waits = excluded.waits,
    attempts = excluded.attempts, tries = excluded.tries, due_ms = excluded.due_ms, queued_ms = excluded.queued_ms,
    oldest_ms = excluded.oldest_ms, rank = excluded.rank,
    later = excluded.later, later_first_ms = excluded.later_first_ms, code = excluded.code, cause = excluded.cause,
    cure = excluded.cure, died_ms = excluded.died_ms;

-- entries_of --
-- Everything open for one record, its dead letters among it.
SELECT * FROM entry WHERE object = ?1 AND record_id = ?2;

-- entries_after --
-- The next delivery entries of an object, in the order of their records' ids, dead letters among them.
SELECT * FROM entry WHERE object = ?1 AND record_id > ?2 AND flow = 'deliver' ORDER BY record_id LIMIT ?3;

-- waits_of --
-- What one entry waits for: at most ?2 records.
SELECT parent_object, parent_id FROM wait WHERE entry_id = ?1 ORDER BY parent_object, parent_id LIMIT ?2;

-- put_dead --
-- A dead letter that never was an entry (an event nobody could read, a score row refused), or its renewal.
INSERT INTO entry (object, record_id, state, kind, pending, due_ms, queued_ms, attempts, code, cause, cure, died_ms, flow)
VALUES (?, ?, 'dead', 'upsert', ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (object, record_id, flow) DO UPDATE SET
    state = 'dead', pending = excluded.pending, attempts = excluded.attempts, code = excluded.code, cause = excluded.cause,
    cure = excluded.cure, died_ms = excluded.died_ms;

-- acked --
-- How the records of the given entries stand, where nothing arrived while the entry was in flight; ?1 is a JSON array of their numbers.
SELECT e.entry_id, e.rank, r.state, r.marketo_id, r.filled, r.story FROM json_each(?1) k
CROSS JOIN entry e ON e.entry_id = k.value
CROSS JOIN record r ON r.object = e.object AND r.record_id = e.record_id
WHERE e.later IS NULL;

-- accept --
-- Marketo has accepted records that are there, and stay as they are in every index (an update of all would look each up twice). ?1 is a JSON array of [object, record id, filled, story].
INSERT INTO record (object, record_id, state, filled, story)
SELECT value ->> 0, value ->> 1, 'synced', value ->> 2, value ->> 3 FROM json_each(?1) WHERE true
ON CONFLICT (object, record_id) DO UPDATE SET filled = excluded.filled, story = excluded.story;

-- accept_as --
-- Likewise those that are found or created there, or were not synced; ?1 is a JSON array of [object, record id, filled, story, Marketo id].
UPDATE record SET state = 'synced', filled = k.value ->> 2, story = k.value ->> 3, marketo_id = k.value ->> 4
FROM json_each(?1) k WHERE object = k.value ->> 0 AND record_id = k.value ->> 1;

-- delete_entries --
-- Entries that are done; what they wait for goes with them, by `delete_waits`. ?1 is a JSON array of entry numbers.
DELETE FROM entry WHERE entry_id IN (SELECT value FROM json_each(?1));

-- delete_waits --
-- Forget what the given entries wait for: they are done, or it is worked out again. ?1 is a JSON array of entry numbers.
DELETE FROM wait WHERE entry_id IN (SELECT value FROM json_each(?1));

-- put_wait --
-- The entry waits for this record.
INSERT OR IGNORE INTO wait (entry_id, parent_object, parent_id) VALUES (?, ?, ?);

-- count_waits --
-- Write into the given entries how many records they wait for, where it is another number. ?1 is a JSON array of entry numbers.
UPDATE entry SET waits = (SELECT count(*) FROM wait w WHERE w.entry_id = entry.entry_id)
WHERE entry_id IN (SELECT value FROM json_each(?1)) AND waits <> (SELECT count(*) FROM wait w WHERE w.entry_id = entry.entry_id);

-- waiting_for --
-- The entries that wait for the given records; ?1 is a JSON array of [object, record id].
SELECT DISTINCT w.entry_id FROM json_each(?1) k
JOIN wait w ON w.parent_object = k.value ->> 0 AND w.parent_id = k.value ->> 1;

-- release_waits --
-- Nobody waits for the given records any more; ?1 is a JSON array of [object, record id].
DELETE FROM wait WHERE (parent_object, parent_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1));

-- open_child_deletes --
-- Deletes of children that are still open, for the parents' deletes to wait for; ?1 is a JSON array of parent record ids.
SELECT k.value AS parent_id, e.object, e.record_id FROM json_each(?1) k
JOIN record r ON r.account = k.value OR r.opportunity = k.value OR r.contact = k.value
JOIN entry e ON e.object = r.object AND e.record_id = r.record_id AND e.flow = 'deliver' AND e.kind = 'delete';

-- open_moved_children --
-- What is still to be sent of the children of the given accounts, into which others were merged; ?1 is a JSON array of their ids.
SELECT k.value AS parent_id, e.object, e.record_id FROM json_each(?1) k
JOIN record r ON r.account = k.value
JOIN entry e ON e.object = r.object AND e.record_id = r.record_id AND e.flow = 'deliver' AND e.kind = 'upsert';

-- children_of --
-- The records that name the given ones as their account or contact; ?1 is a JSON array of record ids.
SELECT r.* FROM json_each(?1) k JOIN record r ON r.account = k.value OR r.contact = k.value;

-- dependants_of --
-- The records that name the given ones and are in Marketo, under way to it, or not there for want of their parent; ?1 is a JSON
-- array of record ids. Nobody waits for these parents, so whoever has an entry that is open looks at them again by itself.
SELECT r.* FROM (
    SELECT r.* FROM json_each(?1) k JOIN record r ON r.account = k.value
    UNION SELECT r.* FROM json_each(?1) k JOIN record r ON r.opportunity = k.value
    UNION SELECT r.* FROM json_each(?1) k JOIN record r ON r.contact = k.value) r
WHERE r.state = 'synced' OR (r.object = 'OpportunityContactRole' AND r.state IN ('seen', 'excluded'))
   OR (r.state = 'seen' AND EXISTS (
       SELECT 1 FROM entry e WHERE e.object = r.object AND e.record_id = r.record_id AND e.state = 'in_flight'));

-- parents_among --
-- Which of the given records some record names as its account or contact; ?1 is a JSON array of record ids.
SELECT k.value FROM json_each(?1) k
WHERE EXISTS (SELECT 1 FROM record r WHERE r.account = k.value) OR EXISTS (SELECT 1 FROM record r WHERE r.contact = k.value);

-- merged_on --
-- What was merged into a record that has itself been merged is merged into the last one; ?1 is the new record, ?2 the old.
UPDATE record SET merged_into = ?1 WHERE merged_into = ?2;

-- referenced --
-- Which of the given users own something known or are waited for; ?1 is a JSON array of user ids.
SELECT k.value FROM json_each(?1) k
WHERE EXISTS (SELECT 1 FROM record r WHERE r.owner = k.value AND r.state NOT IN ('deleted', 'dropped', 'excluded'))
   OR EXISTS (SELECT 1 FROM wait w WHERE w.parent_object = 'User' AND w.parent_id = k.value);

-- ready --
-- The oldest entries of one object, kind and rank that may be sent now.
SELECT * FROM entry
WHERE object = ?1 AND kind = ?2 AND rank = ?3 AND state = 'open' AND waits = 0 AND read = '' AND due_ms <= ?4
ORDER BY due_ms, entry_id LIMIT ?5;

-- to_read --
-- The oldest entries of one object whose record has to be read from Salesforce.
SELECT * FROM entry
WHERE object = ?1 AND state = 'open' AND read <> '' AND due_ms <= ?2
ORDER BY due_ms, entry_id LIMIT ?3;

-- ready_kinds --
-- Which objects and kinds of work have a ready entry that may be sent by now (?2); a probe of the index for each. ?1 as below.
SELECT o.value AS object, k.value AS kind, r.value AS rank
FROM json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o,
     json_each('["upsert", "delete"]') k, json_each(?1) r
WHERE EXISTS (SELECT 1 FROM entry e
              WHERE e.object = o.value AND e.kind = k.value AND e.rank = r.value
                AND e.state = 'open' AND e.waits = 0 AND e.read = '' AND e.due_ms <= ?2);

-- next_ready --
-- When the first ready entry may be sent, or null; a row for each object and kind keeps it on the index. ?1 is a JSON array of ranks.
SELECT min(due_ms) AS due_ms FROM (
    SELECT (SELECT min(e.due_ms) FROM entry e
            WHERE e.object = o.value AND e.kind = k.value AND e.rank = r.value
              AND e.state = 'open' AND e.waits = 0 AND e.read = '') AS due_ms
    FROM json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o,
         json_each('["upsert", "delete"]') k, json_each(?1) r);

-- count_loaded --
-- How many entries that a load brought are still to be delivered.
SELECT count(*) AS entries FROM entry WHERE rank = 1 AND state <> 'dead';

-- lift --
-- What live changes wait for, and what that waits for, goes with the live ones. ?1 is a JSON array of entry numbers.
UPDATE entry SET rank = 0 WHERE rank = 1 AND entry_id IN (
    WITH RECURSIVE awaited (entry_id) AS (
        SELECT p.entry_id FROM json_each(?1) k
        CROSS JOIN wait w ON w.entry_id = k.value
        CROSS JOIN entry p ON p.object = w.parent_object AND p.record_id = w.parent_id AND p.flow = 'deliver'
        UNION
        SELECT p.entry_id FROM awaited a
        CROSS JOIN wait w ON w.entry_id = a.entry_id
        CROSS JOIN entry p ON p.object = w.parent_object AND p.record_id = w.parent_id AND p.flow = 'deliver')
    SELECT entry_id FROM awaited);

-- coverage --
-- The intervals of one object that are proven complete, oldest first.
SELECT * FROM coverage WHERE object = ?1 ORDER BY from_s;

-- all_coverage --
-- All intervals that are proven complete.
SELECT * FROM coverage ORDER BY object, from_s;

-- put_coverage --
-- An interval is complete.
INSERT INTO coverage (object, from_s, to_s, how) VALUES (?, ?, ?, ?);

-- delete_coverage --
-- Forget the intervals of one object, before they are written anew.
DELETE FROM coverage WHERE object = ?1;

-- forget_known --
-- Nothing is known any more of what Marketo has of these fields of an object. ?1 the object, ?2 a JSON array of field names.
UPDATE record SET known = (
    SELECT json_group_object(f.key, f.value) FROM json_each(record.known) f
    WHERE f.key NOT IN (SELECT n.value FROM json_each(?2) n))
WHERE object = ?1;

-- forget_excluded --
-- Nothing is known any more of the records of an object that are excluded.
UPDATE record SET known = '{}' WHERE object = ?1 AND state = 'excluded';

-- next_to_read --
-- When the first record is due to be read, or null.
SELECT min(due_ms) AS due_ms FROM (
    SELECT (SELECT min(e.due_ms) FROM entry e WHERE e.object = o.value AND e.state = 'open' AND e.read <> '') AS due_ms
    FROM json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o);

-- take --
-- Entries go out: in flight. ?1 is a JSON array of entry numbers.
UPDATE entry SET state = 'in_flight', tries = tries + 1 WHERE entry_id IN (SELECT value FROM json_each(?1));

-- deletes_in_flight --
-- The records whose deletes are in flight.
SELECT object, record_id FROM entry WHERE state = 'in_flight' AND kind = 'delete';

-- parents_in_flight --
-- Which of the given records an upsert in flight names as its parent; ?1 is a JSON array of record ids.
SELECT DISTINCT k.value AS record_id FROM entry e
CROSS JOIN record r ON r.object = e.object AND r.record_id = e.record_id
CROSS JOIN json_each(?1) k ON k.value IN (r.account, r.opportunity, r.contact)
WHERE e.state = 'in_flight' AND e.kind = 'upsert';

-- postpone --
-- Let entries become due later. ?1 is a JSON array of entry numbers, ?2 the time.
UPDATE entry SET due_ms = ?2 WHERE entry_id IN (SELECT value FROM json_each(?1));

-- waiting_people --
-- How many people wait for another day, and for which; ?1 is now, ?2 the code they wait with.
SELECT count(*) AS entries, min(due_ms) AS due_ms FROM entry
WHERE object IN ('Contact', 'Lead') AND kind = 'upsert' AND rank IN (0, 1) AND state = 'open' AND waits = 0 AND read = ''
  AND due_ms > ?1 AND code = ?2;

-- release_people --
-- Some wait for another day no longer, the oldest first; ?1 is now, ?2 the code they wait with, ?3 how many at most.
UPDATE entry SET due_ms = ?1 WHERE entry_id IN (
    SELECT entry_id FROM entry
    WHERE object IN ('Contact', 'Lead') AND kind = 'upsert' AND rank IN (0, 1) AND state = 'open' AND waits = 0 AND read = ''
      AND due_ms > ?1 AND code = ?2
    ORDER BY entry_id LIMIT ?3);

-- hold --
-- Records that left their filter wait for a person. ?1 is a JSON array of entry numbers, ?2 when to look again, ?3 code, ?4 cause.
UPDATE entry SET due_ms = ?2, code = ?3, cause = ?4 WHERE entry_id IN (SELECT value FROM json_each(?1));

-- waiting_to_leave --
-- How many records that left their filter wait for a person, by object; ?1 is the code they wait with.
SELECT object, count(*) AS entries FROM entry
WHERE object IN ('Account', 'Contact', 'Lead', 'Opportunity', 'OpportunityContactRole') AND kind = 'delete' AND rank IN (0, 1)
  AND state = 'open' AND waits = 0 AND read = '' AND code = ?1
GROUP BY object;

-- release_leaving --
-- They wait no longer. ?1 is now, ?2 the code they wait with.
UPDATE entry SET due_ms = ?1, code = '', cause = ''
WHERE object IN ('Account', 'Contact', 'Lead', 'Opportunity', 'OpportunityContactRole') AND kind = 'delete' AND rank IN (0, 1)
  AND state = 'open' AND waits = 0 AND read = '' AND code = ?2;

-- in_flight --
-- What was in flight when an earlier run ended.
SELECT * FROM entry WHERE state = 'in_flight';

-- people_by_marketo_id --
-- The living Leads and Contacts behind the given Marketo lead ids; ?1 is a JSON array. (With a +, one look for each id, not four.)
SELECT r.* FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_marketo ON r.marketo_id = k.value
WHERE +r.object IN ('Contact', 'Lead') AND +r.state IN ('synced', 'seen');

-- shared_people --
-- The Marketo lead ids behind which a living Lead or Contact stands other than the one named with it; ?1 is a JSON array of
-- [Marketo lead id, object, record id].
SELECT DISTINCT r.marketo_id FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_marketo ON r.marketo_id = k.value ->> 0
WHERE +r.object IN ('Contact', 'Lead') AND +r.state IN ('synced', 'seen')
  AND NOT (r.record_id = k.value ->> 2 AND r.object = k.value ->> 1);

-- kept_people --
-- The Marketo fields that gone Leads and Contacts filled of people who were kept; ?1 is a JSON array of Marketo lead ids.
SELECT r.marketo_id, r.filled FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_marketo ON r.marketo_id = k.value
WHERE r.object IN ('Contact', 'Lead') AND r.state NOT IN ('synced', 'seen');

-- forget_filled --
-- Others answer for what gone Leads and Contacts filled of the Marketo people of the given ones; ?1 is a JSON array of keys.
UPDATE record SET filled = '[]' WHERE (object, record_id) IN (
    SELECT r.object, r.record_id FROM json_each(?1) k
    CROSS JOIN record c ON c.object = k.value ->> 0 AND c.record_id = k.value ->> 1
    CROSS JOIN record r INDEXED BY record_marketo ON r.marketo_id = c.marketo_id
    WHERE r.object IN ('Contact', 'Lead') AND r.state NOT IN ('synced', 'seen'));

-- people_after --
-- A page of synced people in the order of their Marketo ids, for the score sweep.
SELECT DISTINCT marketo_id FROM record INDEXED BY record_marketo
WHERE marketo_id > ?1 AND object IN ('Contact', 'Lead') AND state = 'synced'
ORDER BY marketo_id LIMIT ?2;

-- count_people --
-- How many Marketo people carry a synced Lead or Contact.
SELECT count(DISTINCT marketo_id) AS people FROM record INDEXED BY record_marketo
WHERE marketo_id IS NOT NULL AND object IN ('Contact', 'Lead') AND state = 'synced';

-- sent_roles --
-- The contact roles in Marketo of the given contacts; ?1 is a JSON array of record ids.
SELECT r.record_id, r.contact, r.sent_key FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_contact ON r.contact = k.value
WHERE r.object = 'OpportunityContactRole' AND r.state = 'synced' AND r.sent_key IS NOT NULL;

-- forget_roles --
-- Marketo deletes the roles of an opportunity or person with it: they have to be sent anew, should they come back. ?1 is a JSON
-- array of the parents' record ids.
UPDATE record SET state = 'seen', known = '{}'
WHERE object = 'OpportunityContactRole' AND state = 'synced' AND record_id IN (
    SELECT r.record_id FROM json_each(?1) k JOIN record r ON r.opportunity = k.value
    UNION SELECT r.record_id FROM json_each(?1) k JOIN record r ON r.contact = k.value);

-- put_sent_key --
-- A contact role is about to be sent under this key.
UPDATE record SET sent_key = ? WHERE object = 'OpportunityContactRole' AND record_id = ?;

-- sent_keys --
-- Under which keys the given contact roles were sent, or were about to be; ?1 is a JSON array of role ids.
SELECT r.record_id, r.sent_key FROM json_each(?1) k
CROSS JOIN record r ON r.object = 'OpportunityContactRole' AND r.record_id = k.value
WHERE r.sent_key IS NOT NULL;

-- roles_of_people --
-- Likewise all that stand behind these Marketo people; ?1 is a JSON array of their numbers.
SELECT r.record_id, r.sent_key FROM json_each(?1) k
CROSS JOIN record r INDEXED BY record_role_person ON r.sent_key ->> 1 = k.value
WHERE r.sent_key IS NOT NULL;

-- all_old_keys --
-- The old keys of all contact roles that have some.
SELECT substr(name, length('old_role_keys:') + 1) AS record_id, value FROM note
WHERE name > 'old_role_keys:' AND name < 'old_role_keys;';

-- role_persons --
-- The given contact roles in Marketo, and the person their contact has there; ?1 is a JSON array of role ids.
SELECT r.record_id, r.contact, r.sent_key, c.marketo_id FROM json_each(?1) k
CROSS JOIN record r ON r.object = 'OpportunityContactRole' AND r.record_id = k.value
CROSS JOIN record c ON c.object = 'Contact' AND c.record_id = r.contact
WHERE r.sent_key IS NOT NULL AND c.marketo_id IS NOT NULL;

-- sharing_role --
-- How many other living contact roles stand behind the same Marketo role; ?1 its key, ?2 the role's own id.
SELECT count(*) AS others FROM record WHERE sent_key = ?1 AND record_id <> ?2 AND state = 'synced';

-- get_replay --
-- The stored position of one channel.
SELECT * FROM replay WHERE channel = ?;

-- all_replays --
-- The stored positions of all channels.
SELECT * FROM replay ORDER BY channel;

-- put_replay --
-- Store a position.
INSERT INTO replay (channel, replay_id, commit_ms, stored_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (channel) DO UPDATE SET
    replay_id = excluded.replay_id, commit_ms = max(commit_ms, excluded.commit_ms), stored_ms = excluded.stored_ms;

-- get_note --
-- A small fact.
SELECT value FROM note WHERE name = ?;

-- notes --
-- Small facts; ?1 is a JSON array of their names.
SELECT n.name, n.value FROM json_each(?1) k CROSS JOIN note n ON n.name = k.value;

-- put_note --
-- Write a small fact.
INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- delete_note --
-- Forget a small fact.
DELETE FROM note WHERE name = ?;

-- scores_by_key --
-- What was last written for the given people; ?1 is a JSON array of [object, record id].
SELECT s.* FROM json_each(?1) k JOIN score s ON s.object = k.value ->> 0 AND s.record_id = k.value ->> 1;

-- put_score --
-- Remember what was written, or that it has to be tried again, or that writing to this record has stopped; not of a record that was
-- erased meanwhile.
INSERT INTO score (object, record_id, written, attempts, due_ms, stopped) SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE EXISTS (SELECT 1 FROM record r WHERE r.object = ?1 AND r.record_id = ?2)
ON CONFLICT (object, record_id) DO UPDATE SET
    written = excluded.written, attempts = excluded.attempts, due_ms = excluded.due_ms, stopped = excluded.stopped;

-- look_at_scores --
-- The scores of these people are to be looked at; ?1 is a JSON array of [object, record id], ?2 when.
INSERT INTO score (object, record_id, written, due_ms) SELECT k.value ->> 0, k.value ->> 1, NULL, ?2 FROM json_each(?1) k WHERE true
ON CONFLICT (object, record_id) DO UPDATE SET due_ms = excluded.due_ms WHERE due_ms = 0 OR due_ms > excluded.due_ms;

-- scores_due --
-- People whose scores have to be written again by now, with their Marketo ids.
SELECT r.marketo_id, s.object, s.record_id FROM score s
JOIN record r ON r.object = s.object AND r.record_id = s.record_id
WHERE s.due_ms > 0 AND s.due_ms <= ?1 AND r.marketo_id IS NOT NULL AND r.state = 'synced' ORDER BY s.due_ms LIMIT ?2;

-- next_score_due --
-- When the first score write is due again, or null.
SELECT s.due_ms FROM score s CROSS JOIN record r ON r.object = s.object AND r.record_id = s.record_id
WHERE s.due_ms > 0 AND r.marketo_id IS NOT NULL AND r.state = 'synced' ORDER BY s.due_ms LIMIT 1;

-- backlog --
-- Open and in-flight entries by object: all of them, counted on the index alone, without the few dead letters.
SELECT object, sum(n) AS entries FROM (
    SELECT object, count(*) AS n FROM entry WHERE flow = 'deliver' GROUP BY object
    UNION ALL SELECT object, -count(*) FROM entry INDEXED BY entry_dead WHERE state = 'dead' AND flow = 'deliver' GROUP BY object)
GROUP BY object HAVING sum(n) > 0;

-- oldest_commit --
-- When the oldest change that is still to be delivered was committed in Salesforce (or queued, where no event brought it).
SELECT min(oldest_ms) AS commit_ms
FROM entry WHERE state <> 'dead' AND flow = 'deliver';

-- count_blocked --
-- How many entries wait for another record.
SELECT count(*) AS blocked FROM (SELECT DISTINCT entry_id FROM wait);

-- blocked --
-- What waits for what, and how the awaited record stands: the commonest first.
SELECT w.parent_object, w.parent_id, count(*) AS entries, e.object AS child, coalesce(p.state, '') AS state,
       coalesce(p.read, '') AS read, coalesce(p.waits, 0) AS waits, coalesce(p.code, '') AS code, coalesce(p.cause, '') AS cause
FROM wait w JOIN entry e ON e.entry_id = w.entry_id
LEFT JOIN entry p ON p.object = w.parent_object AND p.record_id = w.parent_id AND p.flow = 'deliver'
GROUP BY w.parent_object, w.parent_id, e.object ORDER BY entries DESC, w.parent_id LIMIT ?1;

-- dead_letters --
-- The dead letters, oldest first, with the number of entries that each holds up.
SELECT e.*, (SELECT count(*) FROM wait w WHERE w.parent_object = e.object AND w.parent_id = e.record_id) AS holds
FROM entry e INDEXED BY entry_dead WHERE e.state = 'dead' ORDER BY e.entry_id;

-- count_dead --
-- How many dead letters there are.
SELECT count(*) AS dead FROM entry WHERE state = 'dead';

-- set_due --
-- Put entries back into the outbox as if new. ?1 is a JSON array of entry numbers, ?2 the time.
UPDATE entry SET state = 'open', attempts = 0, tries = 0, due_ms = ?2, code = '', cause = '', cure = '', died_ms = 0
WHERE entry_id IN (SELECT value FROM json_each(?1)) AND state = 'dead';

-- resume_scores --
-- People who are alive after all: writing scores to them goes on. ?1 is a JSON array of [object, record id], ?2 when.
UPDATE score SET attempts = 0, stopped = '', due_ms = ?2
WHERE (object, record_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
  AND stopped IN ('ENTITY_IS_DELETED', 'INVALID_CROSS_REFERENCE_KEY', 'NOT_FOUND');

-- score_again --
-- A score write that was given up is tried again: forget what stopped it.
UPDATE score SET attempts = 0, stopped = '', due_ms = ?3 WHERE object = ?1 AND record_id = ?2;

-- keys_after --
-- The next records of an object, in the order of their ids, that are in one of some states (a JSON array).
SELECT record_id FROM record
WHERE object = ?1 AND record_id > ?2 AND state IN (SELECT value FROM json_each(?3)) ORDER BY record_id LIMIT ?4;

-- last_line --
-- The number of the newest line of any story, or null.
SELECT max(seq) AS seq FROM history;

-- put_lines --
-- Lines of records' stories; ?1 is a JSON array of [number, the one before, record id, time, what is told].
INSERT INTO history (seq, before, record_id, at_ms, told)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BLOB) FROM json_each(?1);

-- story --
-- The last ?3 lines of a record's story, newest first.
WITH RECURSIVE l AS (
    SELECT h.*, 1 AS place FROM record r JOIN history h ON h.seq = r.story AND h.record_id = r.record_id
    WHERE r.object = ?1 AND r.record_id = ?2
    UNION ALL
    SELECT h.*, l.place + 1 FROM l JOIN history h ON h.seq = l.before AND h.record_id = l.record_id AND h.seq < l.seq
    WHERE l.place < ?3)
SELECT * FROM l;

-- forget_old_lines --
-- Of the first ?1 lines of all, those older than ?2 go, but never the newest: its number is not given twice.
DELETE FROM history WHERE seq < (SELECT max(seq) FROM history) AND seq IN (
    SELECT o.seq FROM (SELECT seq, at_ms FROM history ORDER BY seq LIMIT ?1) o WHERE o.at_ms < ?2);

-- lines_between --
-- Whose lines were added after ?1 and up to ?2, as far as their numbers are multiples of ?3.
SELECT DISTINCT record_id FROM history WHERE seq > ?1 AND seq <= ?2 AND seq % ?3 = 0;

-- shorten_stories --
-- All but the last ?2 lines of each record's story go; ?1 is a JSON array of record ids.
DELETE FROM history WHERE seq IN (
    WITH RECURSIVE l AS (
        SELECT h.seq, h.before, h.record_id, 1 AS place FROM json_each(?1) k
        CROSS JOIN json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o
        CROSS JOIN record r ON r.object = o.value AND r.record_id = k.value
        CROSS JOIN history h ON h.seq = r.story AND h.record_id = r.record_id
        UNION ALL
        SELECT h.seq, h.before, h.record_id, l.place + 1 FROM l
        JOIN history h ON h.seq = l.before AND h.record_id = l.record_id AND h.seq < l.seq)
    SELECT seq FROM l WHERE place > ?2);

-- shift_entries --
-- The clock was set by ?1 ms: the times of all entries move with it.
UPDATE entry SET due_ms = max(due_ms + ?1, 0), queued_ms = max(queued_ms + ?1, 0),
    oldest_ms = CASE WHEN flow <> 'deliver' THEN 0
        ELSE coalesce(nullif(json_extract(CAST(pending AS TEXT), '$[4]'), 0), max(queued_ms + ?1, 0)) END,
    died_ms = CASE WHEN died_ms > 0 THEN max(died_ms + ?1, 1) ELSE 0 END;

-- shift_scores --
-- Likewise for score writes that have to be tried again.
UPDATE score SET due_ms = max(due_ms + ?1, 1) WHERE due_ms > 0;

-- shift_replays --
-- Likewise for when positions were stored.
UPDATE replay SET stored_ms = max(stored_ms + ?1, 0);

-- shift_sweep --
-- Likewise for the sweep's beginning, in seconds.
UPDATE note SET value = json_set(value, '$.began', json_extract(value, '$.began') + ?1) WHERE name = 'sweep';

-- shift_swept_until --
-- Likewise for when the last whole sweep began, in seconds.
UPDATE note SET value = CAST(CAST(value AS REAL) + ?1 AS TEXT) WHERE name = 'swept_until';

-- bring_entries_near --
-- Entries that are due later than ?1 become due at ?2: no wait is so long, but ?4 for those with the code ?3. Each part of them has
-- an index of its own.
UPDATE entry SET due_ms = ?2 WHERE (code <> ?3 OR due_ms > ?4) AND entry_id IN (
    SELECT e.entry_id
    FROM json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o
    CROSS JOIN json_each('["upsert", "delete"]') k CROSS JOIN json_each('[0, 1]') r
    CROSS JOIN entry e INDEXED BY entry_ready ON e.object = o.value AND e.kind = k.value AND e.rank = r.value
    WHERE e.state = 'open' AND e.waits = 0 AND e.read = '' AND e.due_ms > ?1
    UNION ALL
    SELECT e.entry_id
    FROM json_each('["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]') o
    CROSS JOIN entry e INDEXED BY entry_to_read ON e.object = o.value
    WHERE e.state = 'open' AND e.read <> '' AND e.due_ms > ?1
    UNION ALL
    SELECT entry_id FROM entry INDEXED BY entry_held WHERE state = 'open' AND waits > 0 AND due_ms > ?1
    UNION ALL
    SELECT entry_id FROM entry INDEXED BY entry_in_flight WHERE state = 'in_flight' AND due_ms > ?1);

-- bring_scores_near --
-- Likewise for score writes.
UPDATE score SET due_ms = ?2 WHERE due_ms > 0 AND due_ms > ?1;

-- data_version --
-- Changes when another process has written.
PRAGMA data_version;

-- merged_into_any --
-- The records that were merged into the given ones; ?1 is a JSON array of record ids.
SELECT r.* FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_merged ON r.merged_into = k.value;

-- roles_naming --
-- The contact roles of the given contacts; ?1 is a JSON array of record ids.
SELECT r.* FROM json_each(?1) k CROSS JOIN record r INDEXED BY record_contact ON r.contact = k.value
WHERE r.object = 'OpportunityContactRole';

-- events_naming --
-- Events and rows that nobody could read and that hold one of the given texts; ?1 is a JSON array.
SELECT e.entry_id FROM entry e INDEXED BY entry_dead
WHERE e.state = 'dead' AND e.flow = 'capture'
  AND EXISTS (SELECT 1 FROM json_each(?1) k WHERE instr(CAST(e.pending AS TEXT), k.value) > 0);

-- count_events --
-- How many events and rows there are that nobody could read.
SELECT count(*) AS events FROM entry INDEXED BY entry_dead WHERE state = 'dead' AND flow = 'capture';

-- delete_records --
-- Forget records; ?1 is a JSON array of [object, record id].
DELETE FROM record WHERE (object, record_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1));

-- delete_scores --
-- Forget what was written for these people; ?1 is a JSON array of [object, record id].
DELETE FROM score WHERE (object, record_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1));
