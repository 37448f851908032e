"""The outbox: channels, and what waits to be sent over them.

A message is written in the transaction of what it tells. Each attempt begins and ends with a row of
its own making: whoever dies in between leaves it ``sending``, and from ``due_at`` on another
attempt may begin, under the same id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.alert import (
    AlertStatus,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryStatus,
    Matter,
    Message,
)
from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import ALERT_CHANNELS, ALERT_DELIVERIES, ALERT_DELIVERY_TENANTS

CHANNELS_MAX = 50  # each may hold a thread while its receiver is slow
ERASED = "tenant_erased"
_OPEN = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery that the holder of this may try to send, this once."""

    channel: Channel
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        reason: how it failed; None when it was delivered.
        next_at: when to try again; None when it is not tried again.
        disables: whether the channel is to be switched off.
    """

    at: datetime
    reason: str | None = None
    next_at: datetime | None = None
    disables: bool = False


class Outbox:
    """Channels and deliveries of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- channels ------------------------------------------------------------------------------

    def channels(self, transaction: Transaction | None = None) -> list[Channel]:
        """All channels, by name."""
        query = sa.select(ALERT_CHANNELS).order_by(ALERT_CHANNELS.c.name)
        if transaction is not None:
            return [_channel(row) for row in transaction.execute(query)]
        with self._database.read() as connection:
            return [_channel(row) for row in connection.execute(query)]

    def add_channel(self, channel: Channel) -> None:
        """Make a channel.

        Raises:
            WrongState: there is one of this name, or there are too many.
        """
        with self._database.write() as connection:
            self._database.take_turn(connection, "channels")
            standing = self.channels(connection)
            if any(one.name == channel.name for one in standing):
                raise WrongState("there is a channel of this name")
            if len(standing) >= CHANNELS_MAX:
                raise WrongState(f"there are {CHANNELS_MAX} channels, which is the most")
            connection.execute(sa.insert(ALERT_CHANNELS), _channel_row(channel))

    def switch(self, channel_id: str, disabled_reason: str | None, at: datetime) -> Channel:
        """Switch a channel on, or off for a reason; what waits for one that is off is given up.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.write() as connection:
            self._switch(connection, channel_id, disabled_reason, at)
            return _get_channel(connection, channel_id)

    def remove_channel(self, channel_id: str, at: datetime) -> None:
        """Delete a channel; what waits for it is given up.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.write() as connection:
            _get_channel(connection, channel_id)
            connection.execute(
                sa.delete(ALERT_CHANNELS).where(ALERT_CHANNELS.c.channel_id == channel_id)
            )
            _give_up(connection, ALERT_DELIVERIES.c.channel_id == channel_id, "no_channel", at)

    def _switch(
        self, connection: sa.Connection, channel_id: str, reason: str | None, at: datetime
    ) -> None:
        _get_channel(connection, channel_id)
        connection.execute(
            sa.update(ALERT_CHANNELS)
            .where(ALERT_CHANNELS.c.channel_id == channel_id)
            .values(disabled_reason=reason)
        )
        if reason is not None:
            _give_up(connection, ALERT_DELIVERIES.c.channel_id == channel_id, "channel_off", at)

    # -- deliveries ----------------------------------------------------------------------------

    def put(self, transaction: Transaction, messages: Iterable[Message]) -> None:
        """Write messages; one whose id is there already is not written again."""
        for one in messages:
            written = transaction.execute(
                self._database.insert(ALERT_DELIVERIES)
                .values(
                    delivery_id=one.delivery_id,
                    channel_id=one.channel_id,
                    matter=one.matter,
                    body=one.body,
                    status=DeliveryStatus.PENDING,
                    num_attempts=0,
                    created_at=one.created_at,
                    due_at=one.created_at,
                )
                .on_conflict_do_nothing()
                .returning(ALERT_DELIVERIES.c.id)
            ).first()
            if written is not None and one.tenant_uuids:
                transaction.execute(
                    sa.insert(ALERT_DELIVERY_TENANTS),
                    [
                        {"delivery_id": one.delivery_id, "tenant_uuid": uuid}
                        for uuid in sorted(one.tenant_uuids)
                    ],
                )

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction for messages and for what they tell of: both are kept, or neither is."""
        with self._database.write() as connection:
            yield connection

    def put_now(self, message: Message) -> None:
        """Write one message in a transaction of its own."""
        with self._database.write() as connection:
            _get_channel(connection, message.channel_id)
            self.put(connection, [message])

    def due_channels(self, now: datetime) -> list[str]:
        """Ids of the channels for which something is due, whoever waits longest first."""
        table = ALERT_DELIVERIES.c
        query = (
            sa.select(table.channel_id)
            .where(table.due_at <= now)
            .group_by(table.channel_id)
            .order_by(sa.func.min(table.due_at))
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def begin(
        self,
        now: datetime,
        lease: timedelta,
        attempts_max: int,
        *,
        channel_id: str | None = None,
        delivery_id: str | None = None,
    ) -> Attempt | None:
        """Begin an attempt at what is due and was not tried for longest.

        Args:
            lease: the attempt ends before this, or its process is dead.
            attempts_max: what was tried this often is given up.
            channel_id: only of this channel.
            delivery_id: only this one.

        Returns:
            None when nothing is due.
        """
        table = ALERT_DELIVERIES.c
        conditions = [table.due_at <= now]
        if channel_id is not None:
            conditions.append(table.channel_id == channel_id)
        if delivery_id is not None:
            conditions.append(table.delivery_id == delivery_id)
        query = sa.select(ALERT_DELIVERIES).where(*conditions).order_by(table.due_at, table.id)
        with self._database.write() as connection:
            self._database.take_turn(connection, "outbox")
            for row in connection.execute(query).all():
                is_this = table.delivery_id == row.delivery_id
                found = _find_channel(connection, row.channel_id)
                if found is None or not found.is_enabled:
                    why = "no_channel" if found is None else "channel_off"
                    _give_up(connection, is_this, why, now)
                    continue
                if row.num_attempts >= attempts_max:
                    # The last attempt never ended: its process died, or the machine did.
                    _give_up(connection, is_this, row.reason or "vanished", now)
                    continue
                connection.execute(
                    sa.update(ALERT_DELIVERIES)
                    .where(is_this)
                    .values(
                        status=DeliveryStatus.SENDING,
                        num_attempts=row.num_attempts + 1,
                        due_at=now + lease,
                    )
                )
                return Attempt(found, _get_delivery(connection, row.delivery_id))
        return None

    def end(self, attempt: Attempt, ending: Ending) -> bool:
        """Write down how an attempt ended.

        Returns:
            False when the delivery was settled otherwise meanwhile; nothing was written then.
        """
        table, delivery = ALERT_DELIVERIES.c, attempt.delivery
        is_ended = ending.next_at is None
        status = DeliveryStatus.DEAD if is_ended else DeliveryStatus.PENDING
        if ending.reason is None:
            status = DeliveryStatus.DELIVERED
        with self._database.write() as connection:
            self._database.take_turn(connection, "outbox")
            changed = connection.execute(
                sa.update(ALERT_DELIVERIES)
                .where(
                    table.delivery_id == delivery.delivery_id,
                    table.status == DeliveryStatus.SENDING,
                    table.num_attempts == delivery.num_attempts,
                )
                .values(
                    status=status,
                    reason=ending.reason,
                    due_at=ending.next_at,
                    ended_at=ending.at if is_ended else None,
                )
            )
            if ending.disables and _find_channel(connection, delivery.channel_id) is not None:
                self._switch(connection, delivery.channel_id, ending.reason, ending.at)
        return changed.rowcount == 1

    def get(self, delivery_id: str) -> Delivery:
        """One delivery.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.read() as connection:
            return _get_delivery(connection, delivery_id)

    def list_newest(
        self,
        *,
        status: DeliveryStatus | None = None,
        channel_id: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, Delivery]]:
        """A page of deliveries with their row numbers, newest first; empty at the end.

        Args:
            before: row number of the last one of the page before; None at first.
        """
        table = ALERT_DELIVERIES.c
        query = sa.select(ALERT_DELIVERIES).order_by(table.id.desc()).limit(limit)
        if status is not None:
            query = query.where(table.status == status)
        if channel_id is not None:
            query = query.where(table.channel_id == channel_id)
        if before is not None:
            query = query.where(table.id < before)
        with self._database.read() as connection:
            return [(row.id, _delivery(row)) for row in connection.execute(query)]

    def forget_ended(self, transaction: Transaction, before: datetime) -> None:
        """Delete deliveries that ended before a moment."""
        old = ALERT_DELIVERIES.c.ended_at < before
        ids = sa.select(ALERT_DELIVERIES.c.delivery_id).where(old)
        transaction.execute(
            sa.delete(ALERT_DELIVERY_TENANTS).where(ALERT_DELIVERY_TENANTS.c.delivery_id.in_(ids))
        )
        transaction.execute(sa.delete(ALERT_DELIVERIES).where(old))


def forget_deliveries(connection: sa.Connection, tenant_uuid: str, at: datetime) -> None:
    """Take a tenant out of the outbox: what names it is emptied, and not sent any more."""
    named = ALERT_DELIVERY_TENANTS.c
    ids = list(
        connection.execute(
            sa.select(named.delivery_id).where(named.tenant_uuid == tenant_uuid)
        ).scalars()
    )
    is_about = ALERT_DELIVERIES.c.delivery_id.in_(ids)
    _give_up(connection, is_about, ERASED, at)
    connection.execute(sa.update(ALERT_DELIVERIES).where(is_about).values(body=""))
    connection.execute(sa.delete(ALERT_DELIVERY_TENANTS).where(named.delivery_id.in_(ids)))


def _give_up(
    connection: sa.Connection, which: sa.ColumnElement[bool], reason: str, at: datetime
) -> None:
    connection.execute(
        sa.update(ALERT_DELIVERIES)
        .where(which, ALERT_DELIVERIES.c.status.in_(_OPEN))
        .values(status=DeliveryStatus.DEAD, reason=reason, due_at=None, ended_at=at)
    )


def _find_channel(connection: sa.Connection, channel_id: str) -> Channel | None:
    query = sa.select(ALERT_CHANNELS).where(ALERT_CHANNELS.c.channel_id == channel_id)
    row = connection.execute(query).first()
    return None if row is None else _channel(row)


def _get_channel(connection: sa.Connection, channel_id: str) -> Channel:
    found = _find_channel(connection, channel_id)
    if found is None:
        raise NotFound("there is no such channel")
    return found


def _get_delivery(connection: sa.Connection, delivery_id: str) -> Delivery:
    query = sa.select(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.delivery_id == delivery_id)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound("there is no such delivery")
    return _delivery(row)


def _channel(row: sa.Row[Any]) -> Channel:
    fields = dict(row._mapping)
    return Channel(
        **fields
        | {
            "kind": ChannelKind(row.kind),
            "recipients": tuple(json.loads(row.recipients)),
            "least": AlertStatus(row.least),
        }
    )


def _channel_row(channel: Channel) -> dict[str, Any]:
    return asdict(channel) | {"recipients": json.dumps(channel.recipients)}


def _delivery(row: sa.Row[Any]) -> Delivery:
    fields = {name: row._mapping[name] for name in Delivery.__dataclass_fields__}
    return Delivery(**fields | {"status": DeliveryStatus(row.status), "matter": Matter(row.matter)})
