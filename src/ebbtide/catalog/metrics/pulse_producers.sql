/*---
name     = "pulse_producers"
title    = "Who sends events, and in these three hours of which of the last days"
question = "Has somebody gone silent who is usually there?"
status   = "stable"
unit     = "events"
grain    = ["source"]
relation = "events"
window   = "171h"
windows  = ["3h", "24h", "27h", "48h", "51h", "72h", "75h", "96h", "99h", "120h", "123h", "144h", "147h", "168h", "171h"]
inputs   = ["all"]
null     = "no row: this producer sent nothing in 171 hours"
source   = "pulse/2"
owner    = "operations"

[columns]
source     = "the producer, as its events name it"
newest_at  = "timestamp of its newest event"
newest_received_at = "when its newest event came"
num_24h    = "its events of 24 hours"
num_3h     = "its events of the 3 hours before as_of"
num_3h_1d  = "the same 3 hours, 1 day earlier"
num_3h_2d  = "the same 3 hours, 2 days earlier"
num_3h_3d  = "the same 3 hours, 3 days earlier"
num_3h_4d  = "the same 3 hours, 4 days earlier"
num_3h_5d  = "the same 3 hours, 5 days earlier"
num_3h_6d  = "the same 3 hours, 6 days earlier"
num_3h_7d  = "the same 3 hours, 7 days earlier"

[values.is_silent]
title   = "It is usually there at this time of day, and was not in the last 3 hours"
unit    = "yes or no"
formula = "pulse/2"
null    = "never"
---*/
SELECT source,
       MAX(timestamp) AS newest_at,
       MAX(received_at) AS newest_received_at,
       SUM(CASE WHEN timestamp > :start_24h THEN 1 ELSE 0 END) AS num_24h,
       SUM(CASE WHEN timestamp > :start_3h THEN 1 ELSE 0 END) AS num_3h,
       SUM(CASE WHEN timestamp > :start_27h AND timestamp <= :start_24h THEN 1 ELSE 0 END) AS num_3h_1d,
       SUM(CASE WHEN timestamp > :start_51h AND timestamp <= :start_48h THEN 1 ELSE 0 END) AS num_3h_2d,
       SUM(CASE WHEN timestamp > :start_75h AND timestamp <= :start_72h THEN 1 ELSE 0 END) AS num_3h_3d,
       SUM(CASE WHEN timestamp > :start_99h AND timestamp <= :start_96h THEN 1 ELSE 0 END) AS num_3h_4d,
       SUM(CASE WHEN timestamp > :start_123h AND timestamp <= :start_120h THEN 1 ELSE 0 END) AS num_3h_5d,
       SUM(CASE WHEN timestamp > :start_147h AND timestamp <= :start_144h THEN 1 ELSE 0 END) AS num_3h_6d,
       SUM(CASE WHEN timestamp > :start_171h AND timestamp <= :start_168h THEN 1 ELSE 0 END) AS num_3h_7d,
       MAX(received_at) AS freshness
FROM events
GROUP BY source
ORDER BY source
