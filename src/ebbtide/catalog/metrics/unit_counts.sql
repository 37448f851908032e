/*---
name     = "unit_counts"
title    = "Model costs and use, by tenant"
question = "What does each customer cost, and what does it do for that?"
status   = "experimental"
unit     = "USD and events"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "all"
inputs   = ["LLM_CALL_MADE", "LLM_CALL_FAILED", "API_CALL_RECEIVED", "INCIDENT_CREATED", "REPLAY_EXECUTED", "EXPORT_GENERATED"]
null     = "a tenant without any of these events has no row; a cost is null when no call has one"
source   = "unit_economics/1"
differs  = "asked from 30 days before as_of on; days that are over are kept and added up"
owner    = "revenue"

[columns]
tenant_id     = "the tenant"
num_llm_calls = "model calls, failed ones too"
num_llm_costs = "model calls whose cost is known"
llm_cost_usd  = "their cost; exact, null when none is known"
num_api_calls = "API_CALL_RECEIVED"
num_incidents = "INCIDENT_CREATED"
num_replays   = "REPLAY_EXECUTED"
num_exports   = "EXPORT_GENERATED"

[values.unit_economics]
title   = "Price, cost and margin of one customer over 30 days"
unit    = "USD"
formula = "unit_economics/1"
null    = "its price is not known in USD, or it made calls and of none the cost is known"
---*/
SELECT tenant_id,
       SUM(CASE WHEN event_type IN ('LLM_CALL_MADE', 'LLM_CALL_FAILED') THEN num ELSE 0 END) AS num_llm_calls,
       SUM(CASE WHEN event_type IN ('LLM_CALL_MADE', 'LLM_CALL_FAILED') THEN num_cost ELSE 0 END) AS num_llm_costs,
       SUM(CASE WHEN event_type IN ('LLM_CALL_MADE', 'LLM_CALL_FAILED') THEN cost_usd END) AS llm_cost_usd,
       SUM(CASE WHEN event_type = 'API_CALL_RECEIVED' THEN num ELSE 0 END) AS num_api_calls,
       SUM(CASE WHEN event_type = 'INCIDENT_CREATED' THEN num ELSE 0 END) AS num_incidents,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED' THEN num ELSE 0 END) AS num_replays,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' THEN num ELSE 0 END) AS num_exports,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
