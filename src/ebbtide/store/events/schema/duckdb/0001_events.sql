-- Instants are UTC in a plain TIMESTAMP: no session zone can touch them.
-- No primary key: exactly-once is held by the key index and this single writer (decision 0002).
CREATE TABLE events (
    event_uuid     UUID NOT NULL,
    event_id       VARCHAR,            -- as sent; null when it is the UUID itself
    timestamp      TIMESTAMP NOT NULL,
    received_at    TIMESTAMP NOT NULL,
    tenant_id      VARCHAR NOT NULL,
    user_id        VARCHAR,
    session_id     VARCHAR,
    event_type     VARCHAR NOT NULL,
    entity_type    VARCHAR,
    entity_id      VARCHAR,
    severity       TINYINT,
    latency_ms     BIGINT,
    cost_usd       DECIMAL(18, 10),
    source         VARCHAR NOT NULL,
    metadata       VARCHAR NOT NULL,   -- compact JSON text of an object
    model          VARCHAR,
    policy_id      VARCHAR,
    policy_version VARCHAR,
    status_code    INTEGER,
    attribution    VARCHAR,
    error_type     VARCHAR,
    tokens_in      BIGINT,
    tokens_out     BIGINT,
    resource       VARCHAR,
    plan           VARCHAR
);

-- Sums of closed batches, folded; a few rows may share a key, readers always sum.
CREATE TABLE rollup_folded (
    tenant_id        VARCHAR NOT NULL,
    hour_end         TIMESTAMP NOT NULL,
    event_type       VARCHAR NOT NULL,
    num              BIGINT NOT NULL,
    num_cost         BIGINT NOT NULL,
    cost_usd         DECIMAL(38, 10),
    num_latency      BIGINT NOT NULL,
    latency_ms       HUGEINT,
    first_at         TIMESTAMP NOT NULL,
    last_at          TIMESTAMP NOT NULL,
    last_received_at TIMESTAMP NOT NULL
);

-- Sums of the newest commits, appended in the transaction of their events.
CREATE TABLE rollup_fresh (
    tenant_id        VARCHAR NOT NULL,
    hour_end         TIMESTAMP NOT NULL,
    event_type       VARCHAR NOT NULL,
    num              BIGINT NOT NULL,
    num_cost         BIGINT NOT NULL,
    cost_usd         DECIMAL(38, 10),
    num_latency      BIGINT NOT NULL,
    latency_ms       HUGEINT,
    first_at         TIMESTAMP NOT NULL,
    last_at          TIMESTAMP NOT NULL,
    last_received_at TIMESTAMP NOT NULL
);

CREATE VIEW event_rollup AS
    SELECT * FROM rollup_folded UNION ALL SELECT * FROM rollup_fresh;
