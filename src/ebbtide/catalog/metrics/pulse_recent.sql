/*---
name     = "pulse_recent"
title    = "Events of the last 5 minutes"
question = "Do events come in right now?"
status   = "stable"
unit     = "events"
grain    = ["all"]
relation = "events"
window   = "5m"
inputs   = ["all"]
null     = "never; none is 0"
source   = "pulse/2"
owner    = "operations"

[columns]
num = "events of any type"

[values.events_per_minute]
title   = "Events a minute over the last 5 minutes"
unit    = "events per minute"
formula = "pulse/2"
null    = "the store cannot answer (unavailable)"
---*/
SELECT COUNT(*) AS num,
       MAX(received_at) AS freshness
FROM events
