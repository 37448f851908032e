"""What the same scores cost as one SQL statement over a plain event table in PostgreSQL.

The table has the columns and indexes that this product's first sketch gave it, and the statement
counts what that sketch counted: actions of 7 and 30 days, friction of 14 days and the newest
events, for every tenant with an event in 30 days. It is the comparison, not a way to go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import duckdb
import psycopg
import pyarrow as pa

_TABLE = """
CREATE TABLE ops_events (
    event_id UUID PRIMARY KEY, timestamp TIMESTAMPTZ NOT NULL, tenant_id TEXT NOT NULL,
    user_id TEXT, session_id TEXT, event_type VARCHAR(50) NOT NULL, entity_type VARCHAR(50),
    entity_id TEXT, severity INT, latency_ms INT, cost_usd NUMERIC(10, 6), metadata JSONB
)
"""
_INDEXES = (
    "CREATE INDEX ON ops_events (tenant_id, timestamp DESC)",
    "CREATE INDEX ON ops_events (event_type, timestamp DESC)",
    "CREATE INDEX ON ops_events (tenant_id, event_type)",
    "CREATE INDEX ON ops_events (entity_type, entity_id)",
    "CREATE INDEX ON ops_events (session_id, timestamp) WHERE session_id IS NOT NULL",
)
_SEGMENTS = """
CREATE TABLE segments (
    tenant_id TEXT PRIMARY KEY, stickiness_7d NUMERIC, stickiness_30d NUMERIC,
    friction_score NUMERIC, last_friction_event TIMESTAMPTZ, last_api_call TIMESTAMPTZ,
    last_investigation TIMESTAMPTZ, first_action_at TIMESTAMPTZ
)
"""


def _count(event_type: str, days: int) -> str:
    return (
        f"COUNT(*) FILTER (WHERE event_type = '{event_type}'"
        f" AND timestamp > %(as_of)s - INTERVAL '{days} days')"
    )


def _weighted(days: int) -> str:
    return (
        f"0.2 * {_count('INCIDENT_VIEWED', days)} + 0.3 * {_count('REPLAY_EXECUTED', days)}"
        f" + 0.5 * {_count('EXPORT_GENERATED', days)}"
    )


_FRICTION = (
    f"2 * {_count('REPLAY_ABORTED', 14)} + 1.5 * {_count('EXPORT_ABORTED', 14)}"
    f" + 3 * {_count('POLICY_BLOCK_REPEAT', 14)} + {_count('SESSION_IDLE_TIMEOUT', 14)}"
)
_COMPUTE = f"""
INSERT INTO segments
SELECT tenant_id, {_weighted(7)}, ({_weighted(30)}) / 4.28, LEAST({_FRICTION}, 50),
       MAX(timestamp) FILTER (WHERE event_type IN ('REPLAY_ABORTED', 'EXPORT_ABORTED',
                              'POLICY_BLOCK_REPEAT', 'SESSION_IDLE_TIMEOUT')),
       MAX(timestamp) FILTER (WHERE event_type = 'API_CALL_RECEIVED'),
       MAX(timestamp) FILTER (WHERE event_type IN ('INCIDENT_VIEWED', 'REPLAY_EXECUTED')),
       MIN(timestamp)
FROM ops_events
WHERE timestamp > %(as_of)s - INTERVAL '30 days' AND timestamp <= %(as_of)s
GROUP BY tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET
    stickiness_7d = excluded.stickiness_7d, stickiness_30d = excluded.stickiness_30d,
    friction_score = excluded.friction_score, last_friction_event = excluded.last_friction_event,
    last_api_call = excluded.last_api_call, last_investigation = excluded.last_investigation
"""


def measure_seed_sql(
    url: str, batches: Iterable[pa.RecordBatch], as_of: datetime, *, runs: int = 3
) -> dict[str, Any]:
    """Load the events, build the indexes, and time the statement.

    Args:
        url: of an empty PostgreSQL database.
        batches: the events, in the shape in which they enter a store.
    """
    with psycopg.connect(url, autocommit=True) as con:
        con.execute(_TABLE)
        con.execute(_SEGMENTS)
        began = time.monotonic()
        with con.cursor().copy("COPY ops_events FROM STDIN (FORMAT csv)") as copy:
            for text in _csv(batches):
                copy.write(text)
        for index in _INDEXES:
            con.execute(index)
        con.execute("VACUUM ANALYZE ops_events")
        load_s = time.monotonic() - began
        took = []
        for _ in range(runs):
            began = time.perf_counter()
            con.execute(_COMPUTE, {"as_of": as_of})
            took.append((time.perf_counter() - began) * 1e3)
    return {
        "load_s": round(load_s, 1),
        "compute_stickiness_ms": round(sorted(took)[len(took) // 2]),
    }


def _csv(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    path = f"/dev/shm/ebbtide-{os.getpid()}.csv" if os.path.isdir("/dev/shm") else "events.csv"
    try:
        for batch in batches:
            con.register("batch", pa.Table.from_batches([batch]))
            con.execute(
                "COPY (SELECT CAST(hex(event_uuid) AS VARCHAR), timestamp, tenant_id, user_id,"
                " session_id, event_type, entity_type, entity_id, severity, latency_ms,"
                f" CAST(cost_usd AS DECIMAL(10, 6)), metadata FROM batch) TO '{path}'"
                " (FORMAT csv, HEADER false)"
            )
            with open(path, "rb") as file:
                yield file.read()
    finally:
        if os.path.exists(path):
            os.unlink(path)
