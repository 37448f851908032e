"""Scores of past moments: what every customer would have been said to be, from today's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ebbtide.jobs.job import Stores
from ebbtide.signals.refresh import refresher_of


@dataclass(frozen=True, slots=True)
class FilledMoment:
    """One moment that was computed.

    ``num_scores`` is how many results differed from those before and are kept from now on; none
    when the moment had been computed already. ``failed_tenants`` holds tenant id -> reason.
    """

    as_of: datetime
    num_tenants: int
    num_at_risk: int
    num_silent: int
    num_scores: int
    failed_tenants: Mapping[str, str]


def fill_moment(stores: Stores, as_of: datetime, now: datetime) -> FilledMoment:
    """Compute one moment in full and keep its scores; what is current stays as it is.

    Doing it again adds nothing, unless events of that time have come since.

    Args:
        as_of: UTC-aware.
        now: the present moment.

    Raises:
        StoreUnavailable: a store cannot answer; nothing was written.
    """
    refresher = refresher_of(stores.catalog, stores.events, stores.state)
    step = refresher.prepare_past(as_of, computed_at=now)
    with stores.state.scores.writing() as connection:
        refresher.write(step, connection)
    return FilledMoment(
        as_of,
        step.num_tenants,
        step.num_at_risk,
        step.num_silent,
        len(step.rows),
        dict(sorted(step.failed.items())),
    )
