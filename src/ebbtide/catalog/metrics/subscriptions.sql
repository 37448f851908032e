/*---
name     = "subscriptions"
title    = "Starts and cancellations of subscriptions"
question = "Since when does this customer pay, and how much?"
status   = "stable"
unit     = "moments"
grain    = ["tenant_id", "timestamp", "event_type"]
relation = "events"
window   = "all"
inputs   = ["SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED"]
null     = "no row: no such event; whether the tenant pays is then unknown"
source   = "formulas 10 and 13"
owner    = "customer-intelligence"

[columns]
tenant_id  = "the tenant"
timestamp  = "when it happened"
event_type = "a start or a cancellation"
plan       = "the plan; null when it was not said"
metadata   = "JSON text of the event; price_usd is the price of 30 days"
---*/
SELECT tenant_id,
       timestamp,
       event_type,
       plan,
       metadata,
       received_at AS freshness
FROM events
ORDER BY tenant_id, timestamp, event_type
