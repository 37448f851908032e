"""Writes a file of made-up history, large and realistic in shape, for measurements.

Ids are random (the dearest kind), tenants follow a steep distribution, days have a rhythm.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

_QUERY = """
WITH drawn AS (
    SELECT i,
           hash(i * 7 + $seed) % 1000000 / 1000000.0 AS tenant_draw,
           hash(i * 11 + $seed) % 1000 AS kind,
           hash(i * 13 + $seed) AS h
    FROM range($num_events) AS t(i)
), shaped AS (
    SELECT *,
           CAST(floor(pow(tenant_draw, 3) * $tenants) AS INTEGER) AS tenant,
           TIMESTAMP '2026-09-01' + to_microseconds(
               CAST($days * 86400000000.0 * (i + (h % 1000) / 1000.0) / $num_events AS BIGINT)
           ) AS moment
    FROM drawn
)
SELECT CAST(uuid() AS VARCHAR) AS event_id,
       strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ') AS timestamp,
       'tenant-' || tenant AS tenant_id,
       'user-' || tenant || '-' || (h % 9) AS user_id,
       'session-' || (i // 12) AS session_id,
       CASE WHEN kind < 430 THEN 'API_CALL_RECEIVED'
            WHEN kind < 850 THEN 'LLM_CALL_MADE'
            WHEN kind < 930 THEN 'POLICY_EVALUATED'
            WHEN kind < 950 THEN 'INCIDENT_CREATED'
            WHEN kind < 970 THEN 'INCIDENT_VIEWED'
            WHEN kind < 980 THEN 'REPLAY_EXECUTED'
            WHEN kind < 985 THEN 'EXPORT_GENERATED'
            ELSE 'LOGIN' END AS event_type,
       CASE WHEN kind BETWEEN 930 AND 949 THEN CAST(1 + h % 5 AS INTEGER) END AS severity,
       CASE WHEN kind < 850 THEN CAST(20 + h % 3000 AS BIGINT) END AS latency_ms,
       CASE WHEN kind BETWEEN 430 AND 849 THEN
            CAST(h % 20000 AS DECIMAL(18, 6)) / 1000000 END::DECIMAL(18, 6) AS cost_usd,
       'history' AS source,
       CASE WHEN kind < 430 THEN '{"endpoint":"/v1/chat","method":"POST","status_code":200}'
            WHEN kind < 850 THEN '{"model":"gpt-4o-mini","tokens_in":' || (h % 4000) ||
                 ',"tokens_out":' || (h % 900) || '}'
            WHEN kind < 930 THEN '{"policy_id":"CONTENT_ACCURACY","result":"allowed"}'
            WHEN kind < 950 THEN '{"model":"gpt-4o-mini","policy_id":"CONTENT_ACCURACY",' ||
                 '"policy_version":"v12"}'
            ELSE '{}' END AS metadata
FROM shaped ORDER BY i
"""


def write_history(
    path: Path, *, num_events: int, tenants: int = 300, days: int = 80, seed: int = 1
) -> Path:
    """Write a Parquet file with our own column names, in order of time."""
    con = duckdb.connect(config={"threads": "2", "memory_limit": "2GB"})
    select = _QUERY
    for name, value in (
        ("$seed", seed),
        ("$num_events", num_events),
        ("$tenants", tenants),
        ("$days", days),
    ):
        select = select.replace(name, str(value))
    con.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 122880)")
    con.close()
    return path
