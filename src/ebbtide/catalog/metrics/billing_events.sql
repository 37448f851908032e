/*---
name     = "billing_events"
title    = "What billing said of subscriptions and payments"
question = "Which subscriptions run, what do they bring, and who is about to leave?"
status   = "experimental"
unit     = "moments"
grain    = ["tenant_id", "timestamp", "event_uuid"]
relation = "events"
window   = "all"
inputs   = ["SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED", "BILLING_UPDATED", "CANCELLATION_SCHEDULED", "CANCELLATION_WITHDRAWN", "PAYMENT_FAILED", "PAYMENT_RECOVERED"]
null     = "no row: no such event; whether the tenant pays is then unknown"
source   = "formulas 10 and 13, docs/decisions/0010"
owner    = "revenue"

[columns]
tenant_id  = "the tenant"
timestamp  = "when it happened, as billing says"
event_type = "what happened"
event_uuid = "the event; decides between events of one moment"
plan       = "the plan; null when it was not said"
metadata   = "JSON text of the event: price_usd of 30 days, status, subscription_id, feedback, ..."
---*/
SELECT tenant_id,
       timestamp,
       event_type,
       event_uuid,
       plan,
       metadata,
       received_at AS freshness
FROM events
ORDER BY tenant_id, timestamp, event_type, event_uuid
