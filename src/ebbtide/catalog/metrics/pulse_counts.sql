/*---
name     = "pulse_counts"
title    = "What happened in 24 hours, over all customers"
question = "Is my business healthy right now?"
status   = "stable"
unit     = "events"
grain    = ["all"]
relation = "event_counts"
window   = "24h"
inputs   = ["all"]
null     = "sums of nothing are null and num_events is null: nothing came in 24 hours, so the pulse is unknown"
source   = "pulse/2"
owner    = "operations"

[columns]
num_tenants    = "customers with an event of any type"
num_events     = "events of any type"
num_incidents  = "INCIDENT_CREATED"
num_replays    = "REPLAY_EXECUTED"
num_exports    = "EXPORT_GENERATED"
num_llm_made   = "LLM_CALL_MADE"
num_llm_failed = "LLM_CALL_FAILED"
cost_usd       = "known cost of all events; null when no cost is known"
newest_at      = "timestamp of the newest event"

[values.system_state]
title   = "STABLE, SILENT_DEGRADATION, ACTIVE_FAILURE or UNKNOWN"
unit    = "word"
formula = "pulse/2"
null    = "never; what cannot be seen is UNKNOWN"
---*/
SELECT COUNT(DISTINCT tenant_id) AS num_tenants,
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
