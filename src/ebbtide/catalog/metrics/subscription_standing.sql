/*---
name     = "subscription_standing"
title    = "Newest start and cancellation of who ever cancelled, now and 30 days ago"
question = "Who was a customer a month ago, and who still is?"
status   = "stable"
unit     = "moments"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "all"
windows  = ["30d"]
inputs   = ["SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED"]
null     = "no row: the tenant never cancelled"
source   = "feature_retention/1"
owner    = "product"

[columns]
tenant_id        = "the tenant"
started_at       = "newest SUBSCRIPTION_STARTED"
cancelled_at     = "newest SUBSCRIPTION_CANCELLED"
started_at_30d   = "the newest start as it was 30 days ago"
cancelled_at_30d  = "the newest cancellation as it was 30 days ago"

[values.retention]
title   = "Customers of 30 days ago that are still there, with and without a feature"
unit    = "share"
formula = "feature_retention/1"
null    = "too few customers on one of the two sides (insufficient_data)"
---*/
SELECT tenant_id,
       MAX(CASE WHEN event_type = 'SUBSCRIPTION_STARTED'   THEN last_at END) AS started_at,
       MAX(CASE WHEN event_type = 'SUBSCRIPTION_CANCELLED' THEN last_at END) AS cancelled_at,
       MAX(CASE WHEN event_type = 'SUBSCRIPTION_STARTED'   AND last_at <= :start_30d THEN last_at END) AS started_at_30d,
       MAX(CASE WHEN event_type = 'SUBSCRIPTION_CANCELLED' AND last_at <= :start_30d THEN last_at END) AS cancelled_at_30d,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
HAVING SUM(CASE WHEN event_type = 'SUBSCRIPTION_CANCELLED' THEN num ELSE 0 END) > 0
ORDER BY tenant_id
