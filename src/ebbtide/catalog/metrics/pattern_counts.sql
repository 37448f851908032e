/*---
name     = "pattern_counts"
title    = "Blocks, failed calls, limits and freezes in 24 hours and 7 days"
question = "What happens more often than it did?"
status   = "stable"
unit     = "events"
grain    = ["event_type", "tenant_id"]
relation = "event_counts"
window   = "7d"
windows  = ["24h", "7d"]
inputs   = ["POLICY_BLOCKED", "LLM_CALL_FAILED", "INFRA_LIMIT_HIT", "FREEZE_ACTIVATED"]
null     = "no row: nothing of this type in 7 days, which is a real zero"
source   = "incident_patterns/1"
owner    = "operations"

[columns]
event_type = "the pattern"
tenant_id  = "the tenant"
num_24h    = "events of 24 hours"
num_7d     = "events of 7 days, the last 24 hours among them"
---*/
SELECT event_type,
       tenant_id,
       SUM(CASE WHEN last_at > :start_24h THEN num ELSE 0 END) AS num_24h,
       SUM(CASE WHEN last_at > :start_7d THEN num ELSE 0 END) AS num_7d,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY event_type, tenant_id
ORDER BY event_type, tenant_id
