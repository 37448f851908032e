"""Makes histories of many customers, for measuring what their scores cost.

The mix is that of an LLM proxy: nearly all events are calls, some percent are investigations and
friction. A few dozen customers stop investigating in the last two weeks.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from ebbtide.store.events.base import EVENT_SCHEMA

CHUNK = 200_000
SILENT_EVERY = 25  # one customer in so many stops looking

_QUERY = """
WITH drawn AS (
    SELECT i, hash(i * 7 + $seed) % 1000000 / 1000000.0 AS tenant_draw,
           hash(i * 11 + $seed) % 1000 AS drawn_kind, hash(i * 13 + $seed) AS h
    FROM range($first, $last) AS t(i)
), shaped AS (
    SELECT *, CASE WHEN i < $tenants THEN i
                   ELSE CAST(floor(pow(tenant_draw, 1.5) * $tenants) AS INTEGER) END AS tenant,
           $start + to_microseconds(CAST($span_us * (i + 1.0) / $num_events AS BIGINT)) AS moment
    FROM drawn
), kinds AS (
    SELECT *, CASE WHEN i < $tenants THEN 1000
                   WHEN tenant % $silent_every = 7 AND drawn_kind BETWEEN 920 AND 973
                        AND moment > $quiet_from THEN 0
                   -- Friction is the lot of some customers; the others look at an incident.
                   WHEN drawn_kind BETWEEN 964 AND 973 AND tenant % 5 <> 3 AND h % 8 <> 0 THEN 920
                   ELSE drawn_kind END AS kind
    FROM shaped
)
SELECT unhex(replace(CAST(uuid() AS VARCHAR), '-', '')) AS event_uuid,
       CAST(NULL AS VARCHAR) AS event_id, moment AS timestamp, moment AS received_at,
       'tenant-' || tenant AS tenant_id, 'user-' || tenant || '-' || (h % 9) AS user_id,
       'session-' || (i // 12) AS session_id,
       CASE WHEN kind = 1000 THEN 'SUBSCRIPTION_STARTED'
            WHEN kind < 430 THEN 'API_CALL_RECEIVED'
            WHEN kind < 840 THEN 'LLM_CALL_MADE'
            WHEN kind < 900 THEN 'POLICY_EVALUATED'
            WHEN kind < 920 THEN 'INCIDENT_CREATED'
            WHEN kind < 945 THEN 'INCIDENT_VIEWED'
            WHEN kind < 958 THEN 'REPLAY_EXECUTED'
            WHEN kind < 964 THEN 'EXPORT_GENERATED'
            WHEN kind < 967 THEN 'REPLAY_ABORTED'
            WHEN kind < 969 THEN 'EXPORT_ABORTED'
            WHEN kind < 971 THEN 'POLICY_BLOCK_REPEAT'
            WHEN kind < 973 THEN 'SESSION_IDLE_TIMEOUT'
            WHEN kind < 974 THEN 'INCIDENT_VIEWED_NO_ACTION'
            WHEN kind < 976 THEN 'CERT_VERIFIED'
            ELSE 'LOGIN' END AS event_type,
       CAST(NULL AS VARCHAR) AS entity_type, CAST(NULL AS VARCHAR) AS entity_id,
       CAST(CASE WHEN kind BETWEEN 900 AND 919 THEN 1 + h % 5 END AS TINYINT) AS severity,
       CASE WHEN kind < 840 THEN CAST(20 + h % 3000 AS BIGINT) END AS latency_ms,
       CAST(CASE WHEN kind BETWEEN 430 AND 839 THEN CAST(h % 20000 AS DECIMAL(18, 6)) / 1000000 END
            AS DECIMAL(18, 10)) AS cost_usd,
       'history' AS source, '{}' AS metadata,
       CASE WHEN kind BETWEEN 430 AND 839 THEN 'gpt-4o-mini' END AS model,
       CASE WHEN kind BETWEEN 969 AND 970 THEN 'PII_FILTER' END AS policy_id,
       CAST(NULL AS VARCHAR) AS policy_version, CAST(NULL AS INTEGER) AS status_code,
       CAST(NULL AS VARCHAR) AS attribution, CAST(NULL AS VARCHAR) AS error_type,
       CAST(NULL AS BIGINT) AS tokens_in, CAST(NULL AS BIGINT) AS tokens_out,
       CAST(NULL AS VARCHAR) AS resource, CAST(NULL AS VARCHAR) AS plan
FROM kinds ORDER BY i
"""


def make_history(
    *, num_events: int, tenants: int, start: datetime, end: datetime, seed: int = 1
) -> Iterator[pa.RecordBatch]:
    """Events of all customers in order of time, evenly over ``(start, end]``.

    The first ones are the customers' subscriptions.

    Yields:
        Batches in the shape in which events enter a store.
    """
    con = duckdb.connect(config={"threads": "2"})
    con.execute("SET TimeZone = 'UTC'")
    for first in range(0, num_events, CHUNK):
        params = {
            "seed": seed,
            "first": first,
            "last": min(first + CHUNK, num_events),
            "num_events": num_events,
            "tenants": tenants,
            "start": start,
            "span_us": (end - start) // timedelta(microseconds=1),
            "silent_every": SILENT_EVERY,
            "quiet_from": end - timedelta(days=15),
        }
        table = con.sql(_QUERY, params=params).to_arrow_table()
        columns = [
            table.column(field.name).combine_chunks().cast(field.type) for field in EVENT_SCHEMA
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
    con.close()


def make_fresh(
    *, num_events: int, tenants: int, start: datetime, end: datetime, seed: int
) -> pa.RecordBatch:
    """New events of the same customers and the same mix, spread over ``(start, end]``."""
    history = make_history(
        num_events=tenants + num_events, tenants=tenants, start=start, end=end, seed=seed
    )
    return next(history).slice(tenants)
