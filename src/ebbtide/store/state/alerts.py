"""How each rule of alerts stands, and what people said to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.alert import AlertState, AlertStatus, Group
from ebbtide.domain.errors import NotFound
from ebbtide.domain.job_run import RunStatus
from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import ALERT_STATES, CUSTOMER_SEGMENTS, JOB_RUNS

_FIELDS = tuple(AlertState.__dataclass_fields__)


class Alerts:
    """One row for each rule that is not simply well."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[AlertState]:
        """All of them, by rule."""
        with self._database.read() as connection:
            return _read(connection)

    def take_turn(self, transaction: Transaction) -> dict[str, AlertState]:
        """All of them by rule, for whoever is about to change them in this transaction."""
        self._database.take_turn(transaction, "alerts")
        return {one.rule: one for one in _read(transaction)}

    def write(
        self, transaction: Transaction, states: Iterable[AlertState], gone: Iterable[AlertState]
    ) -> None:
        """Keep states, and forget those that say nothing any more."""
        rows = [_row(one) for one in states]
        if rows:
            insert = self._database.insert(ALERT_STATES)
            changed = {name: insert.excluded[name] for name in rows[0] if name != "alert_id"}
            transaction.execute(
                insert.on_conflict_do_update(index_elements=["alert_id"], set_=changed), rows
            )
        for one in gone:
            transaction.execute(
                sa.delete(ALERT_STATES).where(ALERT_STATES.c.alert_id == one.alert_id)
            )

    def change(self, alert_id: str, step: Callable[[AlertState], AlertState]) -> AlertState:
        """Change one as a person says.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.write() as connection:
            found = {one.alert_id: one for one in self.take_turn(connection).values()}
            if alert_id not in found:
                raise NotFound("there is no such alert")
            changed = step(found[alert_id])
            self.write(connection, [changed], [])
        return changed

    def critical_customers(self) -> Sequence[sa.RowMapping]:
        """Customers at critical risk: ``tenant_uuid``, ``tenant_id``, ``risk_reason``, by id."""
        table = CUSTOMER_SEGMENTS.c
        query = (
            sa.select(table.tenant_uuid, table.tenant_id, table.risk_reason)
            .where(table.risk_level == "critical", table.is_on_list.is_(True))
            .order_by(table.tenant_id)
        )
        with self._database.read() as connection:
            return connection.execute(query).mappings().all()

    def forget_looks(self, transaction: Transaction, job: str, before: datetime) -> None:
        """Delete runs of the job that looks, which came through before a moment.

        One a minute would be half a million rows a year of which each says the same.
        """
        transaction.execute(
            sa.delete(JOB_RUNS).where(
                JOB_RUNS.c.job == job,
                JOB_RUNS.c.status == RunStatus.COMPLETED,
                JOB_RUNS.c.finished_at < before,
            )
        )


def forget_states(connection: sa.Connection, tenant_uuid: str) -> None:
    """Delete what is known of a tenant."""
    connection.execute(sa.delete(ALERT_STATES).where(ALERT_STATES.c.tenant_uuid == tenant_uuid))


def _read(connection: sa.Connection) -> list[AlertState]:
    rows = connection.execute(sa.select(ALERT_STATES).order_by(ALERT_STATES.c.rule))
    return [_state(row) for row in rows]


def _state(row: sa.Row[Any]) -> AlertState:
    fields = {name: row._mapping["alert_group" if name == "group" else name] for name in _FIELDS}
    fields["group"] = Group(fields["group"])
    fields["status"] = AlertStatus(fields["status"])
    fields["told"] = None if fields["told"] is None else AlertStatus(fields["told"])
    return AlertState(**fields)


def _row(state: AlertState) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in _FIELDS if name != "group"}
    return row | {"alert_id": state.alert_id, "alert_group": state.group}
