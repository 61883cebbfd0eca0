-- The record into which this one was merged in Salesforce, instead of a column that nothing used.

ALTER TABLE record RENAME COLUMN converted_to TO merged_into;
CREATE INDEX record_merged ON record (merged_into) WHERE merged_into IS NOT NULL;
