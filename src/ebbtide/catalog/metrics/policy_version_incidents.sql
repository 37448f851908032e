/*---
name     = "policy_version_incidents"
title    = "Incidents of each version of each policy, by tenant and severity"
question = "Is a new version of a policy worse than the one before?"
status   = "stable"
unit     = "incidents"
grain    = ["tenant_id", "policy_id", "policy_version", "severity"]
relation = "events"
window   = "14d"
inputs   = ["INCIDENT_CREATED"]
null     = "no row: no such incident in 14 days"
source   = "regression/1"
owner    = "operations"

[columns]
tenant_id      = "the tenant"
policy_id      = "the policy"
policy_version = "its version"
severity       = "1 to 5; null when it was not said"
num            = "incidents"
num_fired      = "incidents that do not say that no policy fired; only these can be the policy's doing"
first_at       = "timestamp of the first one in 14 days"

[values.is_regression]
title   = "Whether a version has more or worse incidents than the one before it, beyond chance"
unit    = "yes or no"
formula = "regression/1"
null    = "there is no version before it to compare with"
---*/
SELECT tenant_id,
       policy_id,
       policy_version,
       severity,
       COUNT(*) AS num,
       SUM(CASE WHEN metadata LIKE '%"policies_fired":[]%' THEN 0 ELSE 1 END) AS num_fired,
       MIN(timestamp) AS first_at,
       MAX(received_at) AS freshness
FROM events
WHERE policy_id IS NOT NULL AND policy_version IS NOT NULL
GROUP BY tenant_id, policy_id, policy_version, severity
ORDER BY tenant_id, policy_id, policy_version, severity
