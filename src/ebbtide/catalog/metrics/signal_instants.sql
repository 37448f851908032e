/*---
name     = "signal_instants"
title    = "When each counted event happened"
question = "Which events leave a window, and when?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "event_type", "timestamp"]
relation = "events"
window   = "all"
inputs   = [
    "INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED",
    "REPLAY_ABORTED", "EXPORT_ABORTED", "POLICY_BLOCK_REPEAT", "SESSION_IDLE_TIMEOUT",
]
null     = "no row: nothing of this type happened at this moment"
source   = "stickiness/2, friction/1"
differs  = "stickiness and friction_counts count the same events in windows"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "the type of event"
timestamp  = "when it happened"
num        = "how many happened at this very moment"
---*/
SELECT tenant_id,
       event_type,
       timestamp,
       COUNT(*) AS num,
       MAX(received_at) AS freshness
FROM events
GROUP BY tenant_id, event_type, timestamp
ORDER BY tenant_id, event_type, timestamp
