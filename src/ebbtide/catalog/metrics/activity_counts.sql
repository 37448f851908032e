/*---
name     = "activity_counts"
title    = "What each customer did in a stretch of time"
question = "Which feature keeps users, and do they come back week after week?"
status   = "stable"
unit     = "events"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "all"
inputs   = ["all"]
null     = "no row: the tenant has no event in the stretch"
source   = "features/1, feature_retention/1, cohorts/1"
differs  = "stretches that do not touch add up; what lies in past weeks is kept until something is stored there"
owner    = "product"

[columns]
tenant_id         = "the tenant"
num_events        = "events of any type"
num_incidents     = "INCIDENT_CREATED"
num_views         = "INCIDENT_VIEWED"
num_replays       = "REPLAY_EXECUTED"
num_exports       = "EXPORT_GENERATED"
num_verifications = "CERT_VERIFIED"

[values.total_actions_30d]
title   = "Uses of a feature in 30 days"
unit    = "events"
formula = "features/1"
null    = "never; no use is 0"

[values.unique_tenants]
title   = "Customers that used a feature in 30 days"
unit    = "customers"
formula = "features/1"
null    = "never; none is 0"

[values.avg_per_tenant]
title   = "Uses per customer that used the feature"
unit    = "events"
formula = "features/1"
null    = "nobody used it in 30 days (no_activity)"

[values.pct_of_active_tenants]
title   = "Customers that used a feature, of those with an event of any type in 30 days"
unit    = "percent"
formula = "features/1"
null    = "no customer has an event in 30 days (no_activity)"

[values.retention]
title   = "Customers of 30 days ago that are still there, with and without a feature"
unit    = "percent"
formula = "feature_retention/1"
null    = "too few customers on one of the two sides (insufficient_data)"

[values.share_pct]
title   = "Customers of a cohort that were active in a week after their first"
unit    = "percent"
formula = "cohorts/1"
null    = "the cohort is empty (no_activity)"
---*/
SELECT tenant_id,
       SUM(num) AS num_events,
       SUM(CASE WHEN event_type = 'INCIDENT_CREATED' THEN num ELSE 0 END) AS num_incidents,
       SUM(CASE WHEN event_type = 'INCIDENT_VIEWED'  THEN num ELSE 0 END) AS num_views,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED'  THEN num ELSE 0 END) AS num_replays,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' THEN num ELSE 0 END) AS num_exports,
       SUM(CASE WHEN event_type = 'CERT_VERIFIED'    THEN num ELSE 0 END) AS num_verifications,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
