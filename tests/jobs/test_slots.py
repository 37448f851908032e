"""Slots lie on one grid, whoever looks and whenever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.time import EPOCH
from ebbtide.jobs.slots import newest_due, next_slot

MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))
PERIODS = st.sampled_from([timedelta(minutes=n) for n in (1, 5, 15, 60, 1440, 7 * 1440)])


@given(MOMENTS, PERIODS)
def test_the_newest_slot_is_the_last_one_that_is_over(now: datetime, every: timedelta) -> None:
    slot = newest_due(now, every)
    assert slot <= now < slot + every == next_slot(now, every)
    assert (slot - EPOCH) % every == timedelta(0)
    assert newest_due(slot, every) == slot  # a slot is due at its own instant


@given(MOMENTS, PERIODS, st.integers(-14 * 60, 14 * 60))
def test_the_zone_of_a_clock_does_not_matter(now: datetime, every: timedelta, offset: int) -> None:
    elsewhere = now.astimezone(timezone(timedelta(minutes=offset)))
    assert newest_due(elsewhere, every) == newest_due(now, every)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z"])
def test_famous_moments(text: str) -> None:
    now = datetime.fromisoformat(text)
    assert newest_due(now, timedelta(minutes=15)) <= now


def test_days_begin_at_midnight_in_utc() -> None:
    now = datetime(2026, 3, 29, 1, 59, 59, 999999, UTC)  # a night with a change to summer time
    assert newest_due(now, timedelta(days=1)) == datetime(2026, 3, 29, tzinfo=UTC)
    assert newest_due(now, timedelta(hours=1)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
