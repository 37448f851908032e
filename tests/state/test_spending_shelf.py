"""What replays may spend: no cap is passed, whoever asks at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from ebbtide.domain.errors import SpendingCapReached
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.replay import Caps, Replay, ReplayState
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.spending import Reservation

if TYPE_CHECKING:  # every folder has its own conftest, so it is not imported at run time
    from conftest import Place

NOW = datetime(2026, 3, 12, 23, 59, tzinfo=UTC)
TOMORROW = NOW + timedelta(minutes=2)
CAPS = Caps(run_usd=Decimal(1), tenant_day_usd=Decimal(5), day_usd=Decimal(20))


def reservation(number: int, usd: str = "0.4", run: str = "rep_1", tenant: str = "acme"):  # type: ignore[no-untyped-def]
    return Reservation(f"{run}.{number}", run, number, tenant, Decimal(usd))


def test_each_cap_is_kept_to_the_last_digit(store: StateStore) -> None:
    shelf = store.spending
    shelf.reserve(reservation(1, "0.9999999999"), CAPS, NOW)
    with pytest.raises(SpendingCapReached, match="a run leaves 0.0000000001 USD"):
        shelf.reserve(reservation(2, "0.00000000011"), CAPS, NOW)  # rounded up, never down
    shelf.reserve(reservation(2, "0.0000000001"), CAPS, NOW)
    for n in range(2, 6):
        shelf.reserve(reservation(1, "1", f"rep_{n}"), CAPS, NOW)
    with pytest.raises(SpendingCapReached, match="tenant's day"):
        shelf.reserve(reservation(1, "0.1", "rep_9", "acme"), CAPS, NOW)
    for n in range(15):
        shelf.reserve(reservation(1, "1", f"rep_b{n}", f"tenant {n}"), CAPS, NOW)
    with pytest.raises(SpendingCapReached, match="cap of 20 USD for a day leaves 0"):
        shelf.reserve(reservation(1, "0.1", "rep_z", "globex"), CAPS, NOW)
    shelf.reserve(reservation(1, "0.1", "rep_z", "globex"), CAPS, TOMORROW)
    with pytest.raises(SpendingCapReached, match="run"):  # a run has one cap, whatever the day
        shelf.reserve(reservation(3, "0.1"), CAPS, TOMORROW)


def test_what_was_not_needed_is_free_again_and_what_nobody_saw_is_spent(store: StateStore) -> None:
    shelf = store.spending
    for number, spent in enumerate(["0.1", None], start=1):
        shelf.reserve(reservation(number), CAPS, NOW)
        assert shelf.settle(f"rep_1.{number}", None if spent is None else Decimal(spent), NOW)
    shelf.reserve(reservation(3), CAPS, NOW)
    assert not shelf.settle("rep_1.1", Decimal(0), NOW)  # once
    day = shelf.of_day(NOW.date(), CAPS.day_usd)
    assert (day.spent_usd, day.uncertain_usd, day.reserved_usd) == (
        Decimal("0.5"),
        Decimal("0.4"),
        Decimal("0.4"),
    )
    assert shelf.of_day(NOW.date(), CAPS.tenant_day_usd, "globex").spent_usd == 0
    with pytest.raises(SpendingCapReached, match="leaves 0.1"):
        shelf.reserve(reservation(4), CAPS, NOW)


def test_of_64_at_one_moment_no_more_go_through_than_a_cap_allows(
    store: StateStore, migrated_place: Place
) -> None:
    other = migrated_place.open()  # as a second process has it
    barrier = Barrier(64)
    caps = replace(CAPS, tenant_day_usd=Decimal("2.45"))

    def one(number: int) -> bool:
        barrier.wait()
        shelf = (store, other)[number % 2].spending
        try:
            shelf.reserve(reservation(1, "0.1", f"rep_{number}"), caps, NOW)
        except SpendingCapReached:
            return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(one, range(64))) == 24
    assert other.spending.of_day(NOW.date(), caps.day_usd, "acme").reserved_usd == Decimal("2.4")
    other.close()


def test_a_replay_whose_process_is_gone_fails_and_its_money_counts_as_spent(
    store: StateStore,
) -> None:
    one = Replay(
        "rep_1", "acme", "inc_1", "call_1", "m", False, (), 3, ReplayState.RUNNING, "k", NOW
    )
    due_at = NOW + timedelta(minutes=11)
    store.spending.reserve(reservation(1), CAPS, NOW)
    store.replays.start(one, b"sealed", due_at=due_at, keep_until=None, running_max=9)
    assert store.replays.begin_sample("rep_1", 1)
    assert store.replays.lapse(due_at - timedelta(microseconds=1)) == []
    assert store.replays.lapse(due_at) == ["rep_1"]
    assert store.replays.lapse(due_at) == []
    found = store.replays.get("rep_1").replay
    assert (found.state, found.error_type) == (ReplayState.FAILED, "interrupted")
    (sample,) = found.samples
    assert (sample.state, sample.spent_usd) == (ReplayState.FAILED, Decimal("0.4"))
    assert not sample.is_spending_certain
    assert not store.replays.begin_sample("rep_1", 2)
    assert not store.replays.end("rep_1", ReplayState.DONE, NOW)


def test_an_erased_tenant_leaves_sums_and_nothing_else(store: StateStore) -> None:
    one = Replay(
        "rep_1", "acme", "inc_1", "call_1", "m", False, (), 1, ReplayState.RUNNING, "k", NOW
    )
    store.spending.reserve(reservation(1), CAPS, NOW)
    store.replays.start(one, b"sealed", due_at=NOW, keep_until=NOW, running_max=9)
    store.replays.begin_sample("rep_1", 1)
    store.erase_tenant("acme", NOW)
    uuid = to_uuid_text("acme").encode()
    with store._database.read() as connection:
        for name in ("replays", "replay_samples"):
            assert connection.exec_driver_sql(f"SELECT * FROM {name}").all() == []
        left = str(connection.exec_driver_sql("SELECT * FROM replay_spending").all()).encode()
    assert uuid not in left
    assert store.spending.of_day(NOW.date(), CAPS.day_usd).reserved_usd == Decimal("0.4")
