/*---
name     = "activity_spans"
title    = "First and newest event of each type"
question = "Since when is this customer with us, and when did it last do what?"
status   = "stable"
unit     = "moments"
grain    = ["tenant_id", "event_type"]
relation = "event_counts"
window   = "all"
inputs   = ["all"]
null     = "no row: the tenant never had an event of this type"
source   = "silent_churn/2, stickiness/2, intent/1"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "the type of event"
first_at   = "timestamp of the first one"
last_at    = "timestamp of the newest one"

[values.last_api_call]
title   = "Newest API_CALL_RECEIVED"
unit    = "moment"
formula = "silent_churn/2"
null    = "the tenant never called the API"

[values.last_investigation]
title   = "Newest view, replay or export"
unit    = "moment"
formula = "silent_churn/2"
null    = "nobody of the tenant ever looked into an incident"

[values.is_silent_churn]
title   = "It pays, its machines call, and nobody looks any more"
unit    = "yes or no"
formula = "silent_churn/2"
null    = "never"

[values.investigation_gap_days]
title   = "Days since the newest investigation, else since the first API call"
unit    = "days"
formula = "silent_churn/2"
null    = "neither an investigation nor an API call exists"

[values.last_friction_event]
title   = "Newest event of the seven friction types"
unit    = "moment"
formula = "friction/2"
null    = "the tenant never met friction"
---*/
SELECT tenant_id,
       event_type,
       MIN(first_at) AS first_at,
       MAX(last_at) AS last_at,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id, event_type
ORDER BY tenant_id, event_type
