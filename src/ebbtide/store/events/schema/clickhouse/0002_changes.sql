-- The number of the insert that stored a row, so that one can ask what came since. It is given by
-- the one writer, never by a clock. Rows that are there already count as the first insert.
ALTER TABLE events ADD COLUMN IF NOT EXISTS
    change_seq Int64 DEFAULT 1 CODEC(Delta(8), ZSTD(1));

-- Parts are in the order of types and tenants, so what came lately lies in few of their pieces
-- only while they are small; merged ones are passed over by their greatest number.
ALTER TABLE events ADD INDEX IF NOT EXISTS
    by_change change_seq TYPE minmax GRANULARITY 1;
