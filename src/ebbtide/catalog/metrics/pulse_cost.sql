/*---
name     = "pulse_cost"
title    = "LLM cost since a moment"
question = "What did today's model calls cost so far?"
status   = "stable"
unit     = "USD"
grain    = ["all"]
relation = "event_counts"
window   = "all"
inputs   = ["LLM_CALL_MADE", "LLM_CALL_FAILED"]
null     = "no call is a cost of 0; calls of which no cost is known are null"
source   = "pulse/2"
differs  = "asked from 00:00 UTC of the day of as_of on; pulse_counts.cost_usd is of 24 hours and of every type"
owner    = "operations"

[columns]
num_calls = "calls, failed ones too; null when there are none"
num_cost  = "calls whose cost is known"
cost_usd  = "their cost; null when none is known"

[values.cost_today_usd]
title   = "Known cost of model calls on the UTC date of as_of"
unit    = "USD"
formula = "pulse/2"
null    = "there were calls and of none of them a cost is known (insufficient_data)"
---*/
SELECT SUM(num) AS num_calls,
       SUM(num_cost) AS num_cost,
       SUM(cost_usd) AS cost_usd,
       MAX(last_received_at) AS freshness
FROM event_counts
