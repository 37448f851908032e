/*---
name     = "active_days"
title    = "Days active and DAU/MAU"
question = "How often, and how many people of this customer, look into incidents?"
status   = "stable"
unit     = "days and users"
grain    = ["tenant_id"]
relation = "events"
window   = "30d"
windows  = [
    "1d", "2d", "3d", "4d", "5d", "6d", "7d", "8d", "9d", "10d", "11d", "12d", "13d", "14d",
    "15d", "16d", "17d", "18d", "19d", "20d", "21d", "22d", "23d", "24d", "25d", "26d",
    "27d", "28d", "29d", "30d",
]
inputs   = ["INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"]
null     = "a tenant that did not investigate in 30 days has no row; its days are then real zeros"
source   = "stickiness/2"
differs  = "this is what the field calls stickiness; stickiness counts weighted actions"
owner    = "customer-intelligence"

[columns]
tenant_id       = "the tenant"
active_days_7d  = "of the last 7 days of 24 hours, how many hold an investigation"
active_days_30d = "of the last 30 days of 24 hours, how many hold one"
users_24h       = "different users who investigated in 24 hours; events without a user do not count"
users_30d       = "different users who investigated in 30 days"

[values.active_days_7d]
title   = "Active days of the last 7"
unit    = "days"
formula = "stickiness/2"
null    = "never; no investigation is 0"

[values.active_days_30d]
title   = "Active days of the last 30"
unit    = "days"
formula = "stickiness/2"
null    = "never; no investigation is 0"

[values.dau_mau]
title   = "Share of the month's users who were there in the last 24 hours"
unit    = "ratio"
formula = "stickiness/2"
null    = "no user investigated in 30 days"
---*/
SELECT tenant_id,
       COUNT(DISTINCT CASE WHEN timestamp > :start_1d THEN 1
                           WHEN timestamp > :start_2d THEN 2
                           WHEN timestamp > :start_3d THEN 3
                           WHEN timestamp > :start_4d THEN 4
                           WHEN timestamp > :start_5d THEN 5
                           WHEN timestamp > :start_6d THEN 6
                           WHEN timestamp > :start_7d THEN 7
                      END) AS active_days_7d,
       COUNT(DISTINCT CASE WHEN timestamp > :start_1d THEN 1
                           WHEN timestamp > :start_2d THEN 2
                           WHEN timestamp > :start_3d THEN 3
                           WHEN timestamp > :start_4d THEN 4
                           WHEN timestamp > :start_5d THEN 5
                           WHEN timestamp > :start_6d THEN 6
                           WHEN timestamp > :start_7d THEN 7
                           WHEN timestamp > :start_8d THEN 8
                           WHEN timestamp > :start_9d THEN 9
                           WHEN timestamp > :start_10d THEN 10
                           WHEN timestamp > :start_11d THEN 11
                           WHEN timestamp > :start_12d THEN 12
                           WHEN timestamp > :start_13d THEN 13
                           WHEN timestamp > :start_14d THEN 14
                           WHEN timestamp > :start_15d THEN 15
                           WHEN timestamp > :start_16d THEN 16
                           WHEN timestamp > :start_17d THEN 17
                           WHEN timestamp > :start_18d THEN 18
                           WHEN timestamp > :start_19d THEN 19
                           WHEN timestamp > :start_20d THEN 20
                           WHEN timestamp > :start_21d THEN 21
                           WHEN timestamp > :start_22d THEN 22
                           WHEN timestamp > :start_23d THEN 23
                           WHEN timestamp > :start_24d THEN 24
                           WHEN timestamp > :start_25d THEN 25
                           WHEN timestamp > :start_26d THEN 26
                           WHEN timestamp > :start_27d THEN 27
                           WHEN timestamp > :start_28d THEN 28
                           WHEN timestamp > :start_29d THEN 29
                           WHEN timestamp > :start_30d THEN 30
                      END) AS active_days_30d,
       COUNT(DISTINCT CASE WHEN timestamp > :start_1d THEN user_id END) AS users_24h,
       COUNT(DISTINCT user_id) AS users_30d,
       MAX(received_at) AS freshness
FROM events
GROUP BY tenant_id
ORDER BY tenant_id
