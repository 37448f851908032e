/*---
name     = "investigation_hours"
title    = "Views, replays and exports by the hour"
question = "On which days did this customer investigate, and how much?"
status   = "stable"
unit     = "actions"
grain    = ["tenant_id", "event_type", "last_at"]
relation = "event_counts"
window   = "all"
inputs   = ["INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"]
null     = "no row: nothing of this type in this hour"
source   = "stickiness/2"
differs  = "rows are additive: several may stand for one hour, none reaches over a full hour"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "which action"
last_at    = "newest timestamp of these actions; all lie in the hour that ends at or after it"
num        = "how many"

[values.peak_stickiness]
title   = "Highest weighted actions of 7 days at any 00:00 UTC, or now"
unit    = "weighted actions"
formula = "stickiness/2"
null    = "never; a tenant that never investigated has 0"
---*/
SELECT tenant_id,
       event_type,
       last_at,
       num,
       last_received_at AS freshness
FROM event_counts
