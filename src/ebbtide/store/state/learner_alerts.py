"""Which alerts about learners were told, and in which week."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

import sqlalchemy as sa

from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import LEARNER_ALERTS

PAGE = 5_000


class LearnerAlerts:
    """One row for each alert about a learner that was told and lasts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_turn(self, transaction: Transaction) -> None:
        """Let nobody else change them until this transaction ends."""
        self._database.take_turn(transaction, "learner alerts")

    def known(self, ids: Collection[str], transaction: Transaction | None = None) -> set[str]:
        """Which of these ids, a thousand or so, were told."""
        query = sa.select(LEARNER_ALERTS.c.alert_id).where(LEARNER_ALERTS.c.alert_id.in_(ids))
        if transaction is not None:
            return set(transaction.execute(query).scalars())
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def told_before(self, week: date) -> Iterator[list[str]]:
        """The ids of all that were told in earlier weeks, some at a time."""
        table = LEARNER_ALERTS.c
        query = (
            sa.select(table.alert_id)
            .where(table.told_week < week.isoformat())
            .order_by(table.alert_id)
            .limit(PAGE)
        )
        last = ""
        while True:
            with self._database.read() as connection:
                page = list(connection.execute(query.where(table.alert_id > last)).scalars())
            if not page:
                return
            yield page
            last = page[-1]

    def write(self, transaction: Transaction, told: Collection[str], week: date) -> None:
        """Keep what is told in a week; none of it may be known."""
        if told:
            transaction.execute(
                sa.insert(LEARNER_ALERTS),
                [{"alert_id": one, "told_week": week.isoformat()} for one in told],
            )

    def forget(self, transaction: Transaction, over: Collection[str], week: date) -> None:
        """Forget what is over, unless it was told in this week."""
        if over:
            table = LEARNER_ALERTS.c
            transaction.execute(
                sa.delete(LEARNER_ALERTS).where(
                    table.alert_id == sa.bindparam("gone"), table.told_week < week.isoformat()
                ),
                [{"gone": one} for one in over],
            )
