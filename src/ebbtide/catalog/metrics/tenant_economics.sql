/*---
name     = "tenant_economics"
title    = "Model costs and API calls of two months"
question = "Does this customer cost more while it uses more?"
status   = "stable"
unit     = "USD and calls"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "60d"
windows  = ["30d"]
inputs   = ["LLM_CALL_MADE", "LLM_CALL_FAILED", "API_CALL_RECEIVED"]
null     = "a tenant without a call in 60 days has no row; a cost is null when no call said its cost"
source   = "formulas 10 and 13, for the rule of pricing"
owner    = "customer-intelligence"

[columns]
tenant_id                = "the tenant"
llm_cost_usd_30d         = "known costs of model calls, failed ones too, in 30 days; exact"
llm_cost_usd_30d_before  = "the same in the 30 days before"
num_api_calls_30d        = "API_CALL_RECEIVED in 30 days"
num_api_calls_30d_before = "the same in the 30 days before"
---*/
SELECT tenant_id,
       SUM(CASE WHEN event_type <> 'API_CALL_RECEIVED' AND last_at > :start_30d THEN cost_usd END) AS llm_cost_usd_30d,
       SUM(CASE WHEN event_type <> 'API_CALL_RECEIVED' AND last_at <= :start_30d THEN cost_usd END) AS llm_cost_usd_30d_before,
       SUM(CASE WHEN event_type = 'API_CALL_RECEIVED' AND last_at > :start_30d THEN num ELSE 0 END) AS num_api_calls_30d,
       SUM(CASE WHEN event_type = 'API_CALL_RECEIVED' AND last_at <= :start_30d THEN num ELSE 0 END) AS num_api_calls_30d_before,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
