/*---
name     = "incident_cells"
title    = "Incidents by model, policy and version"
question = "What is breaking, and is it systemic?"
status   = "stable"
unit     = "incidents"
grain    = ["model", "policy_id", "policy_version"]
relation = "events"
window   = "all"
inputs   = ["INCIDENT_CREATED"]
null     = "no row: no incident; a null in the grain is a model or policy that was not said"
source   = "incident_heatmap/1"
differs  = "asked from a moment on; the heatmap adds its cells up to rows"
owner    = "operations"

[columns]
model          = "the model that answered"
policy_id      = "the policy that fired"
policy_version = "its version"
num            = "incidents"
num_severity   = "incidents whose severity is known"
severity       = "sum of known severities; null when none is known"
---*/
SELECT model,
       policy_id,
       policy_version,
       COUNT(*) AS num,
       COUNT(severity) AS num_severity,
       SUM(severity) AS severity,
       MAX(received_at) AS freshness
FROM events
GROUP BY model, policy_id, policy_version
