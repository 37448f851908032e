/*---
name     = "first_since_sign_up"
title    = "First event of each type from sign-up on"
question = "What did this customer come for, and how fast did it get there?"
status   = "stable"
unit     = "moments"
grain    = ["tenant_id", "event_type"]
relation = "events"
window   = "all"
inputs   = [
    "SUBSCRIPTION_STARTED", "INCIDENT_CREATED", "INCIDENT_VIEWED", "REPLAY_EXECUTED",
    "EXPORT_GENERATED",
]
null     = "no row: none of this type from sign-up on"
source   = "intent/1"
differs  = "activity_spans has the first of each type at any time; they differ where a tenant used the product before it signed up"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
event_type = "the type of event"
first_at   = "timestamp of its first event at or after the first SUBSCRIPTION_STARTED, or of all when there is none: then sign-up is the tenant's first event"

[values.inferred_buyer_type]
title   = "What the customer came for"
unit    = "word"
formula = "intent/1"
null    = "never"

[values.intent_confidence]
title   = "How sure that is"
unit    = "share"
formula = "intent/1"
null    = "never"

[values.time_to_first_incident_h]
title   = "From sign-up to the first incident"
unit    = "hours"
formula = "intent/1"
null    = "no incident since"

[values.time_to_first_view_h]
title   = "From sign-up to the first view"
unit    = "hours"
formula = "intent/1"
null    = "no view since"

[values.time_to_first_replay_h]
title   = "From sign-up to the first replay"
unit    = "hours"
formula = "intent/1"
null    = "no replay since"

[values.time_to_first_export_h]
title   = "From sign-up to the first export"
unit    = "hours"
formula = "intent/1"
null    = "no export since"
---*/
SELECT e.tenant_id AS tenant_id,
       e.event_type AS event_type,
       MIN(e.timestamp) AS first_at,
       MAX(e.received_at) AS freshness
FROM events AS e
LEFT JOIN (
    SELECT tenant_id, MIN(first_at) AS signed_up_at
    FROM event_counts
    WHERE event_type = 'SUBSCRIPTION_STARTED'
    GROUP BY tenant_id
) AS s ON s.tenant_id = e.tenant_id
WHERE e.event_type <> 'SUBSCRIPTION_STARTED'
  AND (s.signed_up_at IS NULL OR e.timestamp >= s.signed_up_at)
GROUP BY e.tenant_id, e.event_type
ORDER BY e.tenant_id, e.event_type
