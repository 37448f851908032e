"""What is known of each resource at a moment, and what is to be expected of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ebbtide.domain.resource import Origin, ResourceSample, StoredProjection
from ebbtide.limits.projection import FORMULA, project
from ebbtide.limits.series import Sample
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.resources import Resources

HISTORY = timedelta(days=45)  # that a projection rests on: older growth says little
OWN_SOURCE = "ebbtide"  # of the INFRA_LIMIT_HIT events that are sent here; their samples are known

_HITS = """
SELECT timestamp, resource, metadata FROM events
WHERE event_type = 'INFRA_LIMIT_HIT' AND timestamp > :since AND timestamp <= :as_of
  AND source <> :own
ORDER BY timestamp
"""


def reported(
    events: EventStore, since: datetime, as_of: datetime
) -> dict[str, list[ResourceSample]]:
    """Samples that stand in INFRA_LIMIT_HIT events of others, oldest first, by resource.

    Raises:
        StoreUnavailable: the event store does not answer.
    """
    found: dict[str, list[ResourceSample]] = {}
    rows = events.query(_HITS, {"since": since, "as_of": as_of, "own": OWN_SOURCE})
    for at, resource, text in rows:
        metadata: Mapping[str, Any] = json.loads(text)
        used, limit = float(metadata["current"]), float(metadata["limit"])
        if resource is None or not limit > 0 or not math.isfinite(used):
            continue  # a limit of nothing says nothing
        unit = metadata.get("unit")
        sample = ResourceSample(resource, at, used, limit, unit, Origin.EVENT)
        found.setdefault(resource, []).append(sample)
    return found


def known(
    shelf: Resources, resource: str, hits: Sequence[ResourceSample], as_of: datetime
) -> list[ResourceSample]:
    """All samples of a resource that a projection rests on, oldest first.

    Args:
        hits: its samples out of events; where there is one of our own at that moment, ours counts.
    """
    found = {one.at: one for one in hits if as_of - HISTORY < one.at <= as_of}
    found |= {one.at: one for one in shelf.window(resource, as_of - HISTORY, as_of)}
    return [found[at] for at in sorted(found)]


def expect(
    samples: Sequence[ResourceSample], as_of: datetime, *, is_first_of_day: bool
) -> StoredProjection:
    """Project one resource.

    Args:
        samples: at least one, oldest first. The newest one names the limit; without a limit the
            growth is all that can be said.
    """
    newest = samples[-1]
    limit = newest.limit if newest.limit is not None and newest.limit > 0 else None
    found = project(
        [Sample(one.at, one.used) for one in samples], math.inf if limit is None else limit, as_of
    )
    return StoredProjection(
        resource=newest.resource,
        as_of=as_of,
        formula=FORMULA,
        used=newest.used,
        limit=limit,
        status=found.status.value,
        days_to_limit=found.days_to_limit,
        days_low=found.days_low,
        days_high=found.days_high,
        growth_per_day=found.growth_per_day,
        num_samples=found.num_samples,
        span_days=found.span_days,
        num_steps=found.num_steps,
        is_first_of_day=is_first_of_day,
    )
