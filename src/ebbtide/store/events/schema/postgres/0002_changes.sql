-- The number of the append that changed a row last, so that one can ask what came since.
-- Rows that are there already count as the first append.
CREATE SEQUENCE event_changes;
SELECT setval('event_changes', 1);
ALTER TABLE event_rollup ADD COLUMN change_seq bigint NOT NULL DEFAULT 1;

-- BRIN: from PostgreSQL 16 on, an update of this column alone leaves the row where it is, so the
-- newest hours are still updated in place. What changed lately lies on few pages.
CREATE INDEX event_rollup_by_change ON event_rollup USING brin (change_seq)
    WITH (pages_per_range = 32, autosummarize = on);
