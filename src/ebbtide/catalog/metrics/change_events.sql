/*---
name     = "change_events"
title    = "What became different for a customer"
question = "What changed before this customer began to decline?"
status   = "experimental"
unit     = "moments"
grain    = ["tenant_id", "kind", "subject", "value", "at"]
relation = "events"
window   = "all"
inputs   = ["all"]
null     = "no row: nothing of this kind was ever seen"
source   = "recent_changes and decay_correlation of risk_signal/1"
differs  = "the first model, plan or version of a policy is a start, not a change; that is told apart afterwards"
owner    = "customer-intelligence"

[columns]
tenant_id = "the tenant"
at        = "when it happened, or when it was first seen"
kind      = "freeze, subscription, model or policy_version"
subject   = "of a freeze what was stopped, of a version its policy; null for others or when it was not said"
value     = "the plan, the model, or the version; null for a freeze or when it was not said"
metadata  = "JSON text of a freeze's or a subscription's own event; null for others"
---*/
SELECT tenant_id,
       seen_at AS "at",
       kind,
       subject,
       value,
       metadata,
       freshness
FROM (
    SELECT tenant_id,
           timestamp AS seen_at,
           CASE WHEN event_type = 'FREEZE_ACTIVATED' THEN 'freeze' ELSE 'subscription' END AS kind,
           CASE WHEN event_type = 'FREEZE_ACTIVATED' THEN entity_type END AS subject,
           CASE WHEN event_type = 'SUBSCRIPTION_STARTED' THEN plan END AS value,
           metadata,
           received_at AS freshness
    FROM events
    WHERE event_type IN ('FREEZE_ACTIVATED', 'SUBSCRIPTION_STARTED')
    UNION ALL
    SELECT tenant_id,
           MIN(timestamp) AS seen_at,
           'model' AS kind,
           NULL AS subject,
           model AS value,
           NULL AS metadata,
           MAX(received_at) AS freshness
    FROM events
    WHERE model IS NOT NULL
    GROUP BY tenant_id, model
    UNION ALL
    SELECT tenant_id,
           MIN(timestamp) AS seen_at,
           'policy_version' AS kind,
           policy_id AS subject,
           policy_version AS value,
           NULL AS metadata,
           MAX(received_at) AS freshness
    FROM events
    WHERE policy_version IS NOT NULL
    GROUP BY tenant_id, policy_id, policy_version
) AS seen
ORDER BY tenant_id, seen_at, kind, subject, value
