/*---
name     = "incident_events"
title    = "Each incident with its evidence"
question = "Why did this happen?"
status   = "stable"
unit     = "incidents"
grain    = ["tenant_id", "event_uuid"]
relation = "events"
window   = "all"
inputs   = ["INCIDENT_CREATED"]
null     = "no row: no incident"
source   = "attribution/1"
differs  = "asked from a moment on"
owner    = "operations"

[columns]
tenant_id      = "the tenant"
timestamp      = "when it was created"
event_uuid     = "the event"
entity_id      = "the incident's own id; null when it was not said"
severity       = "1 to 5; null when it was not said"
model          = "the model that answered"
policy_id      = "the policy that fired"
policy_version = "its version"
error_type     = "class of the upstream error"
metadata       = "JSON with the rest of the evidence"

[values.attribution]
title   = "The cause, always one of six"
unit    = "word"
formula = "attribution/1"
null    = "never; where no rule matches it says needs_review"
---*/
SELECT tenant_id,
       timestamp,
       event_uuid,
       entity_id,
       severity,
       model,
       policy_id,
       policy_version,
       error_type,
       metadata,
       received_at AS freshness
FROM events
ORDER BY timestamp, tenant_id, event_uuid
