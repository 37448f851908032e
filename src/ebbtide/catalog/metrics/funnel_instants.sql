/*---
name     = "funnel_instants"
title    = "When each step of the funnel was taken"
question = "How far do customers get, from an incident to a verified certificate?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "event_type", "timestamp"]
relation = "events"
window   = "all"
inputs   = [
    "INCIDENT_CREATED", "INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED", "CERT_VERIFIED",
]
null     = "no row: nothing of this type happened at this moment"
source   = "funnel/1"
differs  = "a row for each event, two at one moment are two rows; signal_instants counts them"
owner    = "product"

[columns]
tenant_id  = "the tenant"
event_type = "the step"
timestamp  = "when it was taken"

[values.num_tenants]
title   = "Customers that reached a step in 30 days"
unit    = "customers"
formula = "funnel/1"
null    = "never; none is 0"

[values.rate_pct]
title   = "Customers of a step, of those of the step before"
unit    = "percent"
formula = "funnel/1"
null    = "nobody reached the step before (no_activity)"
---*/
SELECT tenant_id,
       event_type,
       timestamp,
       received_at AS freshness
FROM events
