/*---
name     = "daily_timeline"
title    = "Events of 30 days by type and hour"
question = "What did this customer do day by day?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "event_type", "last_at"]
relation = "event_counts"
window   = "30d"
windows  = ["7d"]
inputs   = ["all"]
null     = "no row: nothing of this type in this hour"
source   = "the timeline of a customer's profile"
differs  = "rows are additive: several may stand for one hour; none reaches over a full hour, nor over the moment 7 days ago"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "the type of event"
last_at    = "newest timestamp of these events; all lie in the hour that ends at or after it"
num        = "how many"
---*/
SELECT tenant_id,
       event_type,
       last_at,
       num,
       last_received_at AS freshness
FROM event_counts
ORDER BY tenant_id, event_type, last_at
