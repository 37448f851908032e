/*---
name     = "stickiness"
title    = "Stickiness: weighted actions"
question = "Is this customer investigating more or less than before?"
status   = "stable"
unit     = "actions"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "30d"
windows  = ["3d", "7d", "30d"]
inputs   = ["INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"]
null     = "a tenant without any action in 30 days has no row; its counts are real zeros when it has an event of any type and age"
source   = "stickiness/2"
differs  = "what the field calls stickiness (days active, DAU/MAU) is active_days"
owner    = "customer-intelligence"

[columns]
tenant_id       = "the tenant"
num_views_3d    = "INCIDENT_VIEWED in 3 days"
num_replays_3d  = "REPLAY_EXECUTED in 3 days"
num_exports_3d  = "EXPORT_GENERATED in 3 days"
num_views_7d    = "INCIDENT_VIEWED in 7 days"
num_replays_7d  = "REPLAY_EXECUTED in 7 days"
num_exports_7d  = "EXPORT_GENERATED in 7 days"
num_views_30d   = "INCIDENT_VIEWED in 30 days"
num_replays_30d = "REPLAY_EXECUTED in 30 days"
num_exports_30d = "EXPORT_GENERATED in 30 days"

[weights]                                # of one action; the only place where they stand
view   = 0.2
replay = 0.3
export = 0.5

[values.stickiness_7d]
title   = "Weighted actions of the last 7 days"
unit    = "weighted actions"
formula = "stickiness/2"
null    = "never; no action in 7 days is 0"

[values.stickiness_30d]
title   = "Weighted actions of the last 30 days, brought to one week"
unit    = "weighted actions per 7 days"
formula = "stickiness/2"
null    = "never; no action in 30 days is 0"

[values.stickiness_delta]
title   = "Ratio of the last 7 days to the usual week"
unit    = "ratio"
formula = "stickiness/2"
null    = "no action in 30 days: there is nothing to compare with (no_activity)"

[values.stickiness_trend]
title   = "Rising, stable or falling, by the ratio"
unit    = "word"
formula = "stickiness/2"
null    = "never; silent when actions are older than 30 days, unknown when there never was one"

[values.stickiness_decayed]
title   = "Weighted actions of 7 days, those of 3 days and older count half"
unit    = "weighted actions"
formula = "stickiness/2"
null    = "never; no action in 7 days is 0"
---*/
SELECT tenant_id,
       SUM(CASE WHEN event_type = 'INCIDENT_VIEWED'  AND last_at > :start_3d THEN num ELSE 0 END) AS num_views_3d,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED'  AND last_at > :start_3d THEN num ELSE 0 END) AS num_replays_3d,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' AND last_at > :start_3d THEN num ELSE 0 END) AS num_exports_3d,
       SUM(CASE WHEN event_type = 'INCIDENT_VIEWED'  AND last_at > :start_7d THEN num ELSE 0 END) AS num_views_7d,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED'  AND last_at > :start_7d THEN num ELSE 0 END) AS num_replays_7d,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' AND last_at > :start_7d THEN num ELSE 0 END) AS num_exports_7d,
       SUM(CASE WHEN event_type = 'INCIDENT_VIEWED'  THEN num ELSE 0 END) AS num_views_30d,
       SUM(CASE WHEN event_type = 'REPLAY_EXECUTED'  THEN num ELSE 0 END) AS num_replays_30d,
       SUM(CASE WHEN event_type = 'EXPORT_GENERATED' THEN num ELSE 0 END) AS num_exports_30d,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
