/*---
name     = "pulse_tenants"
title    = "What each customer did, as the pulse counts it"
question = "Is my business healthy right now?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "24h"
inputs   = ["all"]
null     = "no row: this customer did nothing in 24 hours"
source   = "pulse/2"
differs  = "pulse_counts by customer; stretches that lie side by side add up to one, customers counted once"
owner    = "operations"

[columns]
tenant_id      = "the tenant"
num_events     = "events of any type"
num_incidents  = "INCIDENT_CREATED"
num_replays    = "REPLAY_EXECUTED"
num_exports    = "EXPORT_GENERATED"
num_llm_made   = "LLM_CALL_MADE"
num_llm_failed = "LLM_CALL_FAILED"
cost_usd       = "known cost of all events; null when no cost is known"
newest_at      = "timestamp of the newest event"
---*/
SELECT tenant_id,
       SUM(num) AS num_events,
       SUM(CASE WHEN event_type = 'INCIDENT_CREATED' THEN num ELSE 0 END) AS num_incidents,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED'  THEN num ELSE 0 END) AS num_replays,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' THEN num ELSE 0 END) AS num_exports,
       SUM(CASE WHEN event_type = 'LLM_CALL_MADE'    THEN num ELSE 0 END) AS num_llm_made,
       SUM(CASE WHEN event_type = 'LLM_CALL_FAILED'  THEN num ELSE 0 END) AS num_llm_failed,
       SUM(cost_usd) AS cost_usd,
       MAX(last_at) AS newest_at,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
