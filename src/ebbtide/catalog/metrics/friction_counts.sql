/*---
name     = "friction_counts"
title    = "Friction in 14 days by type"
question = "How much is this customer held up?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "event_type"]
relation = "event_counts"
window   = "14d"
inputs   = ["REPLAY_ABORTED", "EXPORT_ABORTED", "POLICY_BLOCK_REPEAT", "SESSION_IDLE_TIMEOUT"]
null     = "no row: none of this type in 14 days, which is a real zero"
source   = "friction/1"
differs  = "friction_events has seven types, other weights, 7 days and caps"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "the type of friction"
num        = "how many"

[weights]                                # points of one event
REPLAY_ABORTED       = 2
EXPORT_ABORTED       = 1.5
POLICY_BLOCK_REPEAT  = 3
SESSION_IDLE_TIMEOUT = 1

[values.friction_score]
title   = "Friction points of 14 days, at most 50"
unit    = "points"
formula = "friction/1"
null    = "never; no friction is 0"
---*/
SELECT tenant_id,
       event_type,
       SUM(num) AS num,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id, event_type
ORDER BY tenant_id, event_type
