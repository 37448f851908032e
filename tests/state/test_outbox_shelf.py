"""Alert states, channels and the outbox on their shelves, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.domain.alert import (
    AlertState,
    AlertStatus,
    Channel,
    ChannelKind,
    DeliveryStatus,
    Group,
    Matter,
    Message,
)
from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.outbox import Ending

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
LEASE = timedelta(minutes=2)


def channel(name: str = "ops") -> Channel:
    return Channel(
        f"id-{name}",
        name,
        ChannelKind.WEBHOOK,
        "https://hooks.example/a",
        (),
        "OPS",
        AlertStatus.WARNING,
        False,
        T0,
        "key k",
    )


def message(number: int = 1, name: str = "ops", tenant: str | None = None) -> Message:
    named = frozenset() if tenant is None else frozenset({to_uuid_text(tenant)})
    return Message(f"msg_{number}", f"id-{name}", Matter.ALERTS, '{"a":1}', T0, named)


def put(store: StateStore, *messages: Message) -> None:
    for one in messages:
        store.outbox.put_now(one)


def alert(rule: str = "job:a", tenant: str | None = None) -> AlertState:
    uuid = None if tenant is None else to_uuid_text(tenant)
    return AlertState(rule, Group.PLATFORM, AlertStatus.ALERT, "A", "It fails", uuid, T0, T0)


def keep(store: StateStore, *states: AlertState) -> None:
    for one in states:
        run = store.alerts
        with store._database.write() as transaction:
            run.take_turn(transaction)
            run.write(transaction, [one], [])


def test_states_are_kept_whole_changed_and_forgotten(store: StateStore) -> None:
    full = replace(
        alert(),
        told=AlertStatus.WARNING,
        told_at=T0,
        starts_at=T0,
        ok_since=T0,
        acked_at=T0,
        acked_by="k",
        note="mine",
        snoozed_until=T0 + LEASE,
        snoozed_by="k",
    )
    keep(store, full, alert("job:b"))
    assert store.alerts.list() == [full, alert("job:b")]
    changed = store.alerts.change(full.alert_id, lambda one: replace(one, note="yours"))
    assert changed.note == "yours" and store.alerts.list()[0] == changed
    with pytest.raises(NotFound):
        store.alerts.change("nobody", lambda one: one)
    with store._database.write() as transaction:
        store.alerts.write(transaction, [], [alert("job:b")])
    assert store.alerts.list() == [changed]


def test_one_attempt_at_a_time_and_the_next_when_its_lease_is_over(store: StateStore) -> None:
    store.outbox.add_channel(channel())
    put(store, message())
    put(store, message())  # the same id is the same message
    assert store.outbox.due_channels(T0) == ["id-ops"]
    first = store.outbox.begin(T0, LEASE, 10)
    assert first is not None and first.channel == channel()
    assert first.delivery.status is DeliveryStatus.SENDING and first.delivery.num_attempts == 1
    assert store.outbox.begin(T0 + LEASE - timedelta(seconds=1), LEASE, 10) is None
    second = store.outbox.begin(T0 + LEASE, LEASE, 10)
    assert second is not None and second.delivery.num_attempts == 2
    assert second.delivery.delivery_id == first.delivery.delivery_id
    assert not store.outbox.end(first, Ending(T0 + LEASE)), "the first one lost its turn"
    assert store.outbox.end(second, Ending(T0 + LEASE))
    done = store.outbox.get("msg_1")
    assert done.status is DeliveryStatus.DELIVERED and done.ended_at == T0 + LEASE
    assert store.outbox.begin(T0 + 9 * LEASE, LEASE, 10) is None


def test_what_vanishes_at_every_attempt_is_given_up(store: StateStore) -> None:
    store.outbox.add_channel(channel())
    put(store, message())
    now = T0
    for _ in range(3):
        assert store.outbox.begin(now, LEASE, 3) is not None
        now += LEASE
    assert store.outbox.begin(now, LEASE, 3) is None
    dead = store.outbox.get("msg_1")
    assert (dead.status, dead.reason) == (DeliveryStatus.DEAD, "vanished")


def test_a_channel_that_is_gone_or_off_leaves_nothing_waiting(store: StateStore) -> None:
    for name in ("ops", "other", "third"):
        store.outbox.add_channel(channel(name))
    with pytest.raises(WrongState):
        store.outbox.add_channel(replace(channel(), channel_id="another"))
    put(store, message(1), message(2, "other"), message(3, "third"))
    attempt = store.outbox.begin(T0, LEASE, 10, channel_id="id-third")
    assert attempt is not None
    store.outbox.remove_channel("id-ops", T0)
    assert store.outbox.switch("id-other", "by hand", T0).disabled_reason == "by hand"
    store.outbox.end(attempt, Ending(T0, "http_410", disables=True))
    reasons = {one.delivery_id: one.reason for _, one in store.outbox.list_newest()}
    assert reasons == {"msg_1": "no_channel", "msg_2": "channel_off", "msg_3": "http_410"}
    assert {one.status for _, one in store.outbox.list_newest()} == {DeliveryStatus.DEAD}
    assert [one.is_enabled for one in store.outbox.channels()] == [False, False]
    assert store.outbox.switch("id-other", None, T0).is_enabled
    for call in (lambda: put(store, message(4)), lambda: store.outbox.remove_channel("x", T0)):
        with pytest.raises(NotFound):
            call()


def test_a_failed_attempt_waits_for_its_moment(store: StateStore) -> None:
    store.outbox.add_channel(channel())
    put(store, message())
    attempt = store.outbox.begin(T0, LEASE, 10)
    assert attempt is not None
    store.outbox.end(attempt, Ending(T0, "http_500", T0 + timedelta(hours=1)))
    assert store.outbox.due_channels(T0 + timedelta(minutes=59)) == []
    waiting = store.outbox.get("msg_1")
    assert (waiting.status, waiting.reason) == (DeliveryStatus.PENDING, "http_500")
    assert store.outbox.begin(T0 + timedelta(hours=1), LEASE, 10) is not None


def test_an_erased_tenant_is_in_no_alert_and_no_message(store: StateStore) -> None:
    store.outbox.add_channel(channel())
    put(store, message(1, tenant="acme"), message(2, tenant="other"))
    keep(store, alert("customer:1", "acme"), alert("customer:2", "other"))
    store.erase_tenant("acme", T0)
    assert [one.rule for one in store.alerts.list()] == ["customer:2"]
    gone, kept = store.outbox.get("msg_1"), store.outbox.get("msg_2")
    assert (gone.status, gone.reason, gone.body) == (DeliveryStatus.DEAD, "tenant_erased", "")
    assert kept.status is DeliveryStatus.PENDING and kept.body


def test_old_deliveries_are_forgotten_and_pages_follow_on(store: StateStore) -> None:
    store.outbox.add_channel(channel())
    put(store, *(message(number, tenant="acme") for number in range(5)))
    newest = store.outbox.list_newest(limit=2)
    rest = store.outbox.list_newest(before=newest[-1][0])
    assert [one.delivery_id for _, one in [*newest, *rest]] == [f"msg_{n}" for n in (4, 3, 2, 1, 0)]
    attempt = store.outbox.begin(T0, LEASE, 10)
    assert attempt is not None
    store.outbox.end(attempt, Ending(T0))
    assert len(store.outbox.list_newest(status=DeliveryStatus.DELIVERED)) == 1
    with store._database.write() as transaction:
        store.outbox.forget_ended(transaction, T0 + LEASE)
    assert len(store.outbox.list_newest()) == 4
