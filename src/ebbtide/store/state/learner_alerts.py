"""Which alerts about learners were told, and in which week."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import sqlalchemy as sa

from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import LEARNER_ALERTS


class LearnerAlerts:
    """One row for each alert about a learner that was told and lasts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_turn(self, transaction: Transaction) -> dict[str, date]:
        """All of them, id to the Monday of the week they were told in.

        For whoever is about to change them in this transaction; others wait until it ends.
        """
        self._database.take_turn(transaction, "learner alerts")
        rows = transaction.execute(sa.select(LEARNER_ALERTS))
        return {row.alert_id: date.fromisoformat(row.told_week) for row in rows}

    def write(
        self, transaction: Transaction, told: Collection[str], week: date, over: Collection[str]
    ) -> None:
        """Keep what is told in a week, and forget what is over."""
        if over:
            transaction.execute(
                sa.delete(LEARNER_ALERTS).where(LEARNER_ALERTS.c.alert_id == sa.bindparam("gone")),
                [{"gone": one} for one in over],
            )
        if told:
            transaction.execute(
                sa.insert(LEARNER_ALERTS),
                [{"alert_id": one, "told_week": week.isoformat()} for one in told],
            )
