-- The Marketo person with which a record was made one by a merge there: they stay together, whatever their emails.

ALTER TABLE record ADD COLUMN joined TEXT;
