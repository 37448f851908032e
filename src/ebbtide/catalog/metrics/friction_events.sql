/*---
name     = "friction_events"
title    = "Each friction event of 7 days"
question = "What holds this customer up, and is it one bad hour or every day?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "event_uuid"]
relation = "events"
window   = "7d"
inputs   = [
    "REPLAY_ABORTED", "EXPORT_ABORTED", "REPLAY_FAILED", "EXPORT_FAILED", "POLICY_BLOCK_REPEAT",
    "SESSION_IDLE_TIMEOUT", "INCIDENT_VIEWED_NO_ACTION",
]
null     = "no row: no friction in 7 days, which is a real zero"
source   = "friction/2"
differs  = "friction_counts has four types, other weights and 14 days"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
timestamp  = "when it happened"
event_uuid = "the event"
event_type = "the type of friction"
session_id = "the session in which it happened; null or empty when it was in none"
policy_id  = "the policy that blocked; null for other types, or when it was not said"

[weights]                                # of one event
REPLAY_ABORTED            = 3
EXPORT_ABORTED            = 2.5
REPLAY_FAILED             = 2
EXPORT_FAILED             = 2
POLICY_BLOCK_REPEAT       = 2
SESSION_IDLE_TIMEOUT      = 1.5
INCIDENT_VIEWED_NO_ACTION = 1

[values.friction_weighted_score]
title   = "Weighted friction of 7 days, at most 5 events of a session and 10 of a UTC day"
unit    = "weighted events"
formula = "friction/2"
null    = "never; no friction is 0"

[values.friction_events_7d]
title   = "Friction events of 7 days, all of them"
unit    = "events"
formula = "friction/2"
null    = "never; no friction is 0"

[values.top_friction_type]
title   = "The type with the largest weighted sum"
unit    = "event type"
formula = "friction/2"
null    = "no friction in 7 days"
---*/
SELECT tenant_id,
       timestamp,
       event_uuid,
       event_type,
       session_id,
       policy_id,
       received_at AS freshness
FROM events
ORDER BY tenant_id, timestamp, event_uuid
