/*---
name     = "pulse_latency"
title    = "How many API calls took how long in 24 hours"
question = "Is the product fast right now?"
status   = "stable"
unit     = "ms"
grain    = ["latency_ms"]
relation = "events"
window   = "24h"
inputs   = ["API_CALL_RECEIVED"]
null     = "no row: no call in 24 hours names its latency"
source   = "pulse/2"
differs  = "engines disagree in their percentiles; from counts by value it is computed exactly, outside"
owner    = "operations"

[columns]
latency_ms = "a latency"
num        = "calls that took exactly so long"

[values.latency_ms_p95]
title   = "95th percentile of API latency in 24 hours, linear between neighbours"
unit    = "ms"
formula = "pulse/2"
null    = "no call in 24 hours names its latency (no_activity)"
---*/
SELECT latency_ms,
       COUNT(*) AS num,
       MAX(received_at) AS freshness
FROM events
WHERE latency_ms IS NOT NULL
GROUP BY latency_ms
ORDER BY latency_ms
