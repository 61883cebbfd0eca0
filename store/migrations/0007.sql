-- Which contact roles stand behind a person in Marketo: two people that become one there bring their roles along.
CREATE INDEX record_role_person ON record (sent_key ->> 1) WHERE sent_key IS NOT NULL;
