/*---
name     = "policy_version_calls"
title    = "Calls that each version of each policy has checked, by tenant"
question = "Who is exposed to which version of a policy?"
status   = "stable"
unit     = "calls"
grain    = ["tenant_id", "policy_id", "policy_version"]
relation = "events"
window   = "14d"
inputs   = ["POLICY_EVALUATED"]
null     = "no row: this version checked no call of this tenant in 14 days"
source   = "regression/1"
owner    = "operations"

[columns]
tenant_id      = "the tenant"
policy_id      = "the policy"
policy_version = "its version"
num            = "calls"
first_at       = "timestamp of the first one in 14 days"
---*/
SELECT tenant_id,
       policy_id,
       policy_version,
       COUNT(*) AS num,
       MIN(timestamp) AS first_at,
       MAX(received_at) AS freshness
FROM events
WHERE policy_id IS NOT NULL AND policy_version IS NOT NULL
GROUP BY tenant_id, policy_id, policy_version
ORDER BY tenant_id, policy_id, policy_version
