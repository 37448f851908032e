-- DDL has no transactions here: every statement can be run again, so that a step which was cut
-- short is simply repeated.

-- Order: a question names event types first, so one type of one month is one stretch of disk;
-- within it a tenant, within it time. Month, not day: a late batch touches few partitions, and
-- each partition it touches costs a part of its own with its own fsyncs (decision 0005).
-- The UUID is text: ClickHouse sorts its UUID type by the second half, so pages and cursors
-- would run in another order than on the other engines; text costs 3 bytes a row more.
-- Parts are fsynced when inserted and when merged (an unsynced merge would replace synced
-- parts), so the replaced ones need not wait as spares, and what was erased leaves the disk.
CREATE TABLE IF NOT EXISTS events (
    event_uuid     String                           CODEC(ZSTD(1)),  -- lower-case text
    event_id       Nullable(String)                 CODEC(ZSTD(1)),  -- null: it is the UUID itself
    timestamp      DateTime64(6, 'UTC')             CODEC(Delta(8), ZSTD(1)),
    received_at    DateTime64(6, 'UTC')             CODEC(Delta(8), ZSTD(1)),
    tenant_id      LowCardinality(String)           CODEC(ZSTD(1)),
    user_id        Nullable(String)                 CODEC(ZSTD(1)),
    session_id     Nullable(String)                 CODEC(ZSTD(1)),
    event_type     LowCardinality(String)           CODEC(ZSTD(1)),
    entity_type    LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    entity_id      Nullable(String)                 CODEC(ZSTD(1)),
    severity       Nullable(Int8)                   CODEC(ZSTD(1)),
    latency_ms     Nullable(Decimal(18, 0))         CODEC(ZSTD(1)),  -- whole; sums in 128 bits
    cost_usd       Nullable(Decimal(18, 10))        CODEC(ZSTD(1)),
    source         LowCardinality(String)           CODEC(ZSTD(1)),
    metadata       String                           CODEC(ZSTD(1)),  -- compact JSON of an object
    model          LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    policy_id      LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    policy_version LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    status_code    Nullable(Int32)                  CODEC(ZSTD(1)),
    attribution    LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    error_type     LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    tokens_in      Nullable(Int64)                  CODEC(ZSTD(1)),
    tokens_out     Nullable(Int64)                  CODEC(ZSTD(1)),
    resource       LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    plan           LowCardinality(Nullable(String)) CODEC(ZSTD(1)),

    -- The roll-up lies inside the part that holds its rows: both appear, merge, change and
    -- vanish in the same rename, so no moment exists in which they differ.
    PROJECTION rollup (
        SELECT
            event_type,
            toDateTime64(toStartOfHour(timestamp + INTERVAL 3599999999 MICROSECOND), 6, 'UTC')
                AS hour_end,
            tenant_id,
            count(), count(cost_usd), sum(cost_usd), count(latency_ms), sum(latency_ms),
            min(timestamp), max(timestamp), max(received_at)
        GROUP BY event_type, hour_end, tenant_id  -- also the order: a window of a type is one stretch
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (event_type, tenant_id, timestamp, event_uuid)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    old_parts_lifetime = 0,
    cleanup_delay_period = 1,
    cleanup_delay_period_random_add = 0,
    max_cleanup_delay_period = 5,
    non_replicated_deduplication_window = 0;

-- Written with the expressions of the projection, so that the projection answers it.
CREATE VIEW IF NOT EXISTS event_rollup AS
SELECT
    e.tenant_id AS tenant_id,
    toDateTime64(toStartOfHour(e.timestamp + INTERVAL 3599999999 MICROSECOND), 6, 'UTC')
        AS hour_end,
    e.event_type AS event_type,
    count() AS num,
    count(e.cost_usd) AS num_cost,
    sum(e.cost_usd) AS cost_usd,
    count(e.latency_ms) AS num_latency,
    sum(e.latency_ms) AS latency_ms,
    min(e.timestamp) AS first_at,
    max(e.timestamp) AS last_at,
    max(e.received_at) AS last_received_at
FROM events AS e
GROUP BY e.event_type, hour_end, e.tenant_id
SETTINGS aggregate_functions_null_for_empty = 0;

-- Who may append: the greatest name. Rows are added, never changed.
CREATE TABLE IF NOT EXISTS ebbtide_writer (
    writer     String,
    claimed_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY writer
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
