-- The number of the commit that changed a row last, so that one can ask what came since.
-- Rows that are there already count as the first commit.
DROP VIEW event_rollup;
ALTER TABLE rollup_folded ADD COLUMN change_seq BIGINT DEFAULT 1;
ALTER TABLE rollup_fresh ADD COLUMN change_seq BIGINT DEFAULT 1;

CREATE VIEW event_rollup AS
    SELECT tenant_id, hour_end, event_type, num, num_cost, cost_usd, num_latency, latency_ms,
           first_at, last_at, last_received_at
    FROM rollup_folded
    UNION ALL
    SELECT tenant_id, hour_end, event_type, num, num_cost, cost_usd, num_latency, latency_ms,
           first_at, last_at, last_received_at
    FROM rollup_fresh;

-- What the number was at each erasure: the rows that held it are gone.
CREATE TABLE erased (change_seq BIGINT NOT NULL);
