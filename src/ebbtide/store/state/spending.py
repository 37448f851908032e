"""What replays may spend: set aside before each call, settled after it, counted for ever.

Amounts are whole units of 10^-10 US dollars, so sums are exact on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal

import sqlalchemy as sa

from ebbtide.domain.errors import SpendingCapReached
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.replay import Caps, Spending
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import REPLAY_SPENDING

_UNIT = Decimal("1e-10")


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money for one call, set aside before it is made."""

    reservation_id: str
    replay_id: str
    number: int
    tenant_id: str
    amount_usd: Decimal


@dataclass(frozen=True, slots=True)
class Spent:
    """What was set aside for a call, and what came of it."""

    reserved_usd: Decimal
    spent_usd: Decimal | None
    is_certain: bool

    def and_(self, other: Spent) -> Spent:
        """Both together; nothing is settled before both are."""
        spent = None
        if self.spent_usd is not None and other.spent_usd is not None:
            spent = self.spent_usd + other.spent_usd
        reserved = self.reserved_usd + other.reserved_usd
        return Spent(reserved, spent, self.is_certain and other.is_certain)


class SpendingShelf:
    """Reservations of this installation; all processes on it share the caps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, one: Reservation, caps: Caps, now: datetime) -> None:
        """Set money aside, if every cap leaves room for it.

        Raises:
            SpendingCapReached: one does not; nothing was written.
            ValueError: the amount is below zero.
        """
        if one.amount_usd < 0:
            raise ValueError("an amount below zero would make room for others")
        table = REPLAY_SPENDING.c
        uuid, day, amount = to_uuid_text(one.tenant_id), _day(now), _units(one.amount_usd)
        limits = (
            ("run", caps.run_usd, table.replay_id == one.replay_id),
            (
                "tenant's day",
                caps.tenant_day_usd,
                sa.and_(table.day == day, table.tenant_uuid == uuid),
            ),
            ("day", caps.day_usd, table.day == day),
        )
        with self._database.write() as connection:
            # Whoever comes second reads what the first one wrote: a sum alone is no lock.
            self._database.take_turn(connection, "replay spending")
            for name, cap_usd, which in limits:
                counted = connection.scalar(sa.select(_counted()).where(which))
                left = _units(cap_usd, down=True) - int(counted or 0)
                if amount > left:
                    raise SpendingCapReached(
                        f"the cap of {cap_usd:f} USD for a {name} leaves"
                        f" {max(Decimal(0), left * _UNIT):f} USD, and this call may cost"
                        f" {one.amount_usd:f}"
                    )
            connection.execute(
                sa.insert(REPLAY_SPENDING).values(
                    reservation_id=one.reservation_id,
                    replay_id=one.replay_id,
                    number=one.number,
                    tenant_uuid=uuid,
                    day=day,
                    reserved=amount,
                    reserved_at=now,
                )
            )

    def settle(self, reservation_id: str, spent_usd: Decimal | None, now: datetime) -> bool:
        """Say what a call cost.

        Args:
            spent_usd: None when nobody saw it: all that was set aside counts as spent.

        Returns:
            False when it was settled already; nothing changes then.
        """
        table = REPLAY_SPENDING
        is_open = (table.c.reservation_id == reservation_id) & table.c.settled_at.is_(None)
        spent = table.c.reserved if spent_usd is None else _units(spent_usd)
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(table)
                .where(is_open)
                .values(spent=spent, is_certain=spent_usd is not None, settled_at=now)
            )
        return changed.rowcount == 1

    def of_day(self, day: date, cap_usd: Decimal, tenant_id: str | None = None) -> Spending:
        """What replays of a UTC day cost so far, a tenant's or everybody's."""
        table = REPLAY_SPENDING.c
        which = table.day == day.isoformat()
        if tenant_id is not None:
            which &= table.tenant_uuid == to_uuid_text(tenant_id)
        is_open = table.settled_at.is_(None)
        query = sa.select(
            sa.func.sum(table.spent),
            sa.func.sum(sa.case((table.is_certain, 0), else_=table.spent)),
            sa.func.sum(sa.case((is_open, table.reserved), else_=0)),
        ).where(which)
        with self._database.read() as connection:
            spent, uncertain, reserved = connection.execute(query).one()
        return Spending(day, tenant_id, _usd(spent), _usd(uncertain), _usd(reserved), cap_usd)


def spent_by_sample(
    connection: sa.Connection, replay_ids: list[str]
) -> dict[tuple[str, int], Spent]:
    """By replay and number of the sample; of all reservations of one together."""
    table = REPLAY_SPENDING
    query = sa.select(table).where(table.c.replay_id.in_(replay_ids))
    found: dict[tuple[str, int], Spent] = {}
    for row in connection.execute(query):
        one = Spent(
            _usd(row.reserved),
            None if row.spent is None else _usd(row.spent),
            row.is_certain is not False,
        )
        other = found.get((row.replay_id, row.number))
        found[row.replay_id, row.number] = one if other is None else one.and_(other)
    return found


def settle_lost(connection: sa.Connection, replay_ids: list[str], now: datetime) -> None:
    """Count as spent what was set aside for calls whose end nobody saw."""
    table = REPLAY_SPENDING
    connection.execute(
        sa.update(table)
        .where(table.c.replay_id.in_(replay_ids), table.c.settled_at.is_(None))
        .values(spent=table.c.reserved, is_certain=False, settled_at=now)
    )


def forget_spender(connection: sa.Connection, tenant_uuid: str) -> None:
    """Take a tenant out; what was spent stays spent."""
    table = REPLAY_SPENDING
    connection.execute(
        sa.update(table).where(table.c.tenant_uuid == tenant_uuid).values(tenant_uuid=None)
    )


def _counted() -> sa.ColumnElement[int]:
    table = REPLAY_SPENDING.c
    return sa.func.sum(sa.func.coalesce(table.spent, table.reserved))


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()


def _units(usd: Decimal, *, down: bool = False) -> int:
    """Whole units; what is spent is rounded up, so that no cap is passed by rounding."""
    if down:
        return int(usd / _UNIT)
    return int((usd / _UNIT).to_integral_value(ROUND_CEILING))


def _usd(units: int | Decimal | None) -> Decimal:
    return int(units or 0) * _UNIT
