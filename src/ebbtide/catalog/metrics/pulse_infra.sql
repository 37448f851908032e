/*---
name     = "pulse_infra"
title    = "Newest reported fill of each resource in 24 hours"
question = "What is close to its limit?"
status   = "stable"
unit     = "events"
grain    = ["resource", "event_uuid"]
relation = "events"
window   = "24h"
inputs   = ["INFRA_LIMIT_HIT"]
null     = "no row: nothing was reported of this resource in 24 hours"
source   = "pulse/2"
differs  = "several rows of one moment are all here; the one that came last counts"
owner    = "operations"

[columns]
resource    = "what is getting full"
timestamp   = "when it was measured"
received_at = "when we were told"
event_uuid  = "the event"
metadata    = "JSON with current and limit"

[values.infra_saturation]
title   = "Fill of the fullest resource"
unit    = "fraction; percent in infra_saturation_pct"
formula = "pulse/2"
null    = "no sample in 24 hours (no_activity)"
---*/
SELECT resource,
       timestamp,
       received_at,
       event_uuid,
       metadata,
       received_at AS freshness
FROM (
    SELECT resource, timestamp, received_at, event_uuid, metadata,
           MAX(timestamp) OVER (PARTITION BY resource) AS newest_at
    FROM events
) AS reported
WHERE timestamp = newest_at
ORDER BY resource, received_at, event_uuid
