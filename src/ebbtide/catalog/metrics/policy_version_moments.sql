/*---
name     = "policy_version_moments"
title    = "When each version of each policy checked a call"
question = "How soon could a bad version have been seen?"
status   = "stable"
unit     = "calls"
grain    = ["tenant_id", "policy_id", "policy_version", "timestamp"]
relation = "events"
window   = "all"
inputs   = ["POLICY_EVALUATED"]
null     = "no row: no call was checked"
source   = "regression/1"
differs  = "asked from the first moment of a version on, and only of one that is a regression"
owner    = "operations"

[columns]
tenant_id      = "the tenant"
policy_id      = "the policy"
policy_version = "its version"
timestamp      = "when it checked a call"
---*/
SELECT tenant_id,
       policy_id,
       policy_version,
       timestamp,
       received_at AS freshness
FROM events
WHERE policy_id IS NOT NULL AND policy_version IS NOT NULL
ORDER BY timestamp
