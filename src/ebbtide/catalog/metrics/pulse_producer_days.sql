/*---
name     = "pulse_producer_days"
title    = "Who sent events in the same three hours of the seven days before"
question = "Has somebody gone silent who is usually there?"
status   = "stable"
unit     = "events"
grain    = ["source", "newest_at"]
relation = "events"
window   = "171h"
windows  = ["24h", "27h", "48h", "51h", "72h", "75h", "96h", "99h", "120h", "123h", "144h", "147h", "168h", "171h"]
inputs   = ["all"]
null     = "no row: nothing of this producer in these hours of that day, which is a real zero"
source    = "pulse/2"
differs  = "asked only when a producer of pulse_producers is quiet; one selection a day lets engines skip what lies between"
owner    = "operations"

[columns]
source    = "the producer, as its events name it"
newest_at = "timestamp of the newest of them; it says which day"
num       = "its events of the 3 hours that end so many days before as_of"

[values.is_silent]
title   = "It is usually there at this time of day, and was not in the last 3 hours"
unit    = "yes or no"
formula = "pulse/2"
null    = "never"
---*/
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_27h AND timestamp <= :start_24h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_51h AND timestamp <= :start_48h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_75h AND timestamp <= :start_72h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_99h AND timestamp <= :start_96h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_123h AND timestamp <= :start_120h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_147h AND timestamp <= :start_144h
GROUP BY source
UNION ALL
SELECT source, MAX(timestamp) AS newest_at, COUNT(*) AS num, MAX(received_at) AS freshness
FROM events
WHERE timestamp > :start_171h AND timestamp <= :start_168h
GROUP BY source
