-- How many of the oldest rows still stand in blocks that an erasure left its traces in; no row
-- when there are none.
CREATE TABLE scrub (rows_left BIGINT NOT NULL);
