"""What is known of each resource at a moment, and what is to be expected of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ebbtide.domain.resource import Origin, ResourceSample, StoredProjection
from ebbtide.limits.projection import FORMULA, SAMPLES_MIN, project
from ebbtide.limits.series import STRETCHES_MAX, Sample
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.resources import Resources

HISTORY = timedelta(days=45)  # that a projection rests on: older growth says little
LONG = STRETCHES_MAX * timedelta(hours=1)
FRESH = timedelta(hours=24)  # an older sample is not what is in use now
OWN_SOURCE = "ebbtide"  # of the INFRA_LIMIT_HIT events that are sent here; their samples are known

_HITS = """
SELECT timestamp, resource, metadata FROM events
WHERE event_type = 'INFRA_LIMIT_HIT' AND timestamp > :since AND timestamp <= :as_of
  AND source <> :own
"""


def reported(
    events: EventStore, since: datetime, as_of: datetime, known_at: datetime | None = None
) -> dict[str, list[ResourceSample]]:
    """Samples that stand in INFRA_LIMIT_HIT events of others, oldest first, by resource.

    Args:
        known_at: events that were received later do not count; None means that all do.

    Raises:
        StoreUnavailable: the event store does not answer.
    """
    found: dict[str, list[ResourceSample]] = {}
    asked: dict[str, Any] = {"since": since, "as_of": as_of, "own": OWN_SOURCE}
    sql = _HITS
    if known_at is not None:
        sql, asked = f"{sql}  AND received_at <= :known_at\n", asked | {"known_at": known_at}
    for at, resource, text in events.query(f"{sql}ORDER BY timestamp", asked):
        metadata: Mapping[str, Any] = json.loads(text)
        used, limit = float(metadata["current"]), float(metadata["limit"])
        if resource is None or not limit > 0 or not math.isfinite(used):
            continue  # a limit of nothing says nothing
        unit = metadata.get("unit")
        sample = ResourceSample(resource, at, used, limit, unit, Origin.EVENT)
        found.setdefault(resource, []).append(sample)
    return found


def expect(
    shelf: Resources,
    newest: ResourceSample,
    others: Iterable[ResourceSample],
    as_of: datetime,
    *,
    is_first_of_day: bool = False,
) -> StoredProjection:
    """Project one resource from the samples that are kept of it.

    Args:
        newest: what is in use. It names the limit; without a limit the growth is all that can be
            said.
        others: samples that are not kept, such as those of events; events count where few others
            are kept.
        as_of: the moment to project from, not before ``newest``.
    """
    since = as_of - HISTORY
    first = shelf.first_at(newest.resource, since)
    # In a long series a stretch is an hour at least, and its peak is all that counts.
    is_long = first is not None and as_of - first > LONG
    read = shelf.hourly_peaks if is_long else shelf.values
    found = dict(read(newest.resource, since, as_of))
    # Events speak up from 80 % on only, and then often: beside samples that are taken anyway, they
    # would make the end of a series look higher than its beginning.
    is_sampled = len(found) >= SAMPLES_MIN and as_of - max(found) <= FRESH
    for one in [*others, newest]:
        if since < one.at <= as_of and (one.origin is not Origin.EVENT or not is_sampled):
            found.setdefault(one.at, one.used)
    limit = newest.limit if newest.limit is not None and newest.limit > 0 else None
    samples = [Sample(at, found[at]) for at in sorted(found)]
    said = project(samples, math.inf if limit is None else limit, as_of)
    if limit is not None and newest.used >= limit:
        said = project([Sample(newest.at, newest.used)], limit, as_of)
    return StoredProjection(
        resource=newest.resource,
        as_of=as_of,
        formula=FORMULA,
        used=newest.used,
        limit=limit,
        status=said.status.value,
        days_to_limit=said.days_to_limit,
        days_low=said.days_low,
        days_high=said.days_high,
        growth_per_day=said.growth_per_day,
        num_samples=said.num_samples,
        span_days=said.span_days,
        num_steps=said.num_steps,
        is_first_of_day=is_first_of_day,
    )
