"""Slots: the instants at which a job is due. They lie on one grid, whoever looks and whenever."""

from __future__ import annotations

from datetime import datetime, timedelta

from ebbtide.domain.time import EPOCH


def newest_due(now: datetime, every: timedelta) -> datetime:
    """The newest slot at or before a moment.

    Slots older than that one which have no result are not made up for one by one: the run of the
    newest covers them, because each run computes everything for its own moment.

    Args:
        now: UTC-aware.
        every: the period; it divides a day or is a number of days, counted from 1970 on.

    Example:
        >>> from datetime import UTC
        >>> newest_due(datetime(2026, 3, 12, 8, 44, tzinfo=UTC), timedelta(minutes=15)).isoformat()
        '2026-03-12T08:30:00+00:00'
    """
    return now - (now - EPOCH) % every


def next_slot(now: datetime, every: timedelta) -> datetime:
    """The first slot after a moment."""
    return newest_due(now, every) + every
