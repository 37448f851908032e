/*---
name     = "policy_blocks"
title    = "Repeated policy blocks by policy"
question = "Which policy holds this customer up again and again, and does it get better?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id", "policy_id"]
relation = "events"
window   = "14d"
windows  = ["7d"]
inputs   = ["POLICY_BLOCK_REPEAT"]
null     = "no row: not blocked in 14 days; an event that names no policy belongs to none and is not counted"
source   = "playbook policy_friction"
differs  = "friction_events counts the same events whatever the policy"
owner    = "customer-intelligence"

[columns]
tenant_id     = "the tenant"
policy_id     = "the policy that blocked"
num_7d        = "POLICY_BLOCK_REPEAT in 7 days"
num_7d_before = "the same in the 7 days before"
---*/
SELECT tenant_id,
       policy_id,
       SUM(CASE WHEN timestamp > :start_7d THEN 1 ELSE 0 END) AS num_7d,
       SUM(CASE WHEN timestamp <= :start_7d THEN 1 ELSE 0 END) AS num_7d_before,
       MAX(received_at) AS freshness
FROM events
WHERE policy_id IS NOT NULL
GROUP BY tenant_id, policy_id
ORDER BY tenant_id, policy_id
