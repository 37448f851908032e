-- Texts sort by code point on every engine, hence COLLATE "C".
-- metadata is text, not jsonb: jsonb turns 1e23 into an integer that differs from the float sent.
CREATE TABLE events (
    event_uuid     uuid NOT NULL,
    event_id       text COLLATE "C",   -- as sent; null when it is the UUID itself
    timestamp      timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    user_id        text COLLATE "C",
    session_id     text COLLATE "C",
    event_type     text COLLATE "C" NOT NULL,
    entity_type    text COLLATE "C",
    entity_id      text COLLATE "C",
    severity       smallint,
    latency_ms     bigint,
    cost_usd       numeric(18, 10),
    source         text COLLATE "C" NOT NULL,
    metadata       text COLLATE "C" NOT NULL,   -- compact JSON text of an object
    model          text COLLATE "C",
    policy_id      text COLLATE "C",
    policy_version text COLLATE "C",
    status_code    integer,
    attribution    text COLLATE "C",
    error_type     text COLLATE "C",
    tokens_in      bigint,
    tokens_out     bigint,
    resource       text COLLATE "C",
    plan           text COLLATE "C",
    PRIMARY KEY (tenant_id, event_uuid)          -- the identity: this is what makes repeats harmless
);

CREATE INDEX events_by_type ON events (event_type, timestamp);
CREATE INDEX events_by_tenant ON events (tenant_id, timestamp);
-- Edge hours of a window, over all tenants and types: events lie on disk about in order of time.
CREATE INDEX events_by_time ON events USING brin (timestamp)
    WITH (pages_per_range = 32, autosummarize = on);

-- Free space on each page lets the newest hours be updated in place, without touching an index.
CREATE TABLE event_rollup (
    tenant_id        text COLLATE "C" NOT NULL,
    hour_end         timestamptz NOT NULL,
    event_type       text COLLATE "C" NOT NULL,
    num              bigint NOT NULL,
    num_cost         bigint NOT NULL,
    cost_usd         numeric(38, 10),
    num_latency      bigint NOT NULL,
    latency_ms       numeric(38, 0),             -- a sum of bigints outgrows bigint
    first_at         timestamptz NOT NULL,
    last_at          timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hour_end, event_type)
) WITH (fillfactor = 60);

CREATE INDEX event_rollup_by_type ON event_rollup (event_type, hour_end);
