/*---
name     = "pulse_producers"
title    = "Who sends events, and how fresh they are"
question = "Do events come in right now, and from everybody?"
status   = "stable"
unit     = "events"
grain    = ["source"]
relation = "events"
window   = "171h"
windows  = ["5m", "3h", "24h"]
inputs   = ["all"]
null     = "no row: this producer sent nothing in 171 hours"
source   = "pulse/2"
differs  = "171 hours reach as far back as pulse_producer_days"
owner    = "operations"

[columns]
source             = "the producer, as its events name it"
newest_at          = "timestamp of its newest event"
newest_received_at = "when its newest event came"
num_5m             = "its events of 5 minutes"
num_3h             = "its events of 3 hours"
num_24h            = "its events of 24 hours"

[values.events_per_minute]
title   = "Events a minute over the last 5 minutes, of all producers"
unit    = "events per minute"
formula = "pulse/2"
null    = "the store cannot answer (unavailable)"
---*/
SELECT source,
       MAX(timestamp) AS newest_at,
       MAX(received_at) AS newest_received_at,
       SUM(CASE WHEN timestamp > :start_5m THEN 1 ELSE 0 END) AS num_5m,
       SUM(CASE WHEN timestamp > :start_3h THEN 1 ELSE 0 END) AS num_3h,
       SUM(CASE WHEN timestamp > :start_24h THEN 1 ELSE 0 END) AS num_24h,
       MAX(received_at) AS freshness
FROM events
GROUP BY source
ORDER BY source
