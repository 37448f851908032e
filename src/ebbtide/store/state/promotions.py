"""Promotions: which version was given after which review, and what became of it.

To whom it was given stands with the assignment that it made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound
from ebbtide.domain.replay import PromotionState
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import POLICY_PROMOTIONS


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promotion as it is kept; see :class:`ebbtide.domain.replay.Promotion`."""

    promotion_id: str
    assignment_id: str
    policy_id: str
    version: str
    review_id: str
    promoted_by: str
    promoted_at: datetime
    watched_until: datetime
    state: PromotionState = PromotionState.WATCHED
    ended_at: datetime | None = None
    reason: str | None = None


class Promotions:
    """Promotions of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Promoted) -> None:
        """Write one down."""
        fields = {name: getattr(one, name) for name in Promoted.__dataclass_fields__}
        with self._database.write() as connection:
            connection.execute(sa.insert(POLICY_PROMOTIONS), fields)

    def watched(self) -> list[Promoted]:
        """Those whose watch goes on, oldest first."""
        return self._ask(POLICY_PROMOTIONS.c.state == PromotionState.WATCHED)

    def of_policy(self, policy_id: str) -> list[Promoted]:
        """All of a policy, oldest first."""
        return self._ask(POLICY_PROMOTIONS.c.policy_id == policy_id)

    def get(self, promotion_id: str) -> Promoted:
        """One promotion.

        Raises:
            NotFound: there is none with this id.
        """
        found = self._ask(POLICY_PROMOTIONS.c.promotion_id == promotion_id)
        if not found:
            raise NotFound("there is no such promotion")
        return found[0]

    def end(
        self, promotion_id: str, state: PromotionState, at: datetime, reason: str | None = None
    ) -> bool:
        """End a watch; False when it had ended already, and nothing changes."""
        table = POLICY_PROMOTIONS.c
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(POLICY_PROMOTIONS)
                .where(table.promotion_id == promotion_id, table.state == PromotionState.WATCHED)
                .values(state=state, ended_at=at, reason=reason)
            )
        return changed.rowcount == 1

    def _ask(self, which: sa.ColumnElement[bool]) -> list[Promoted]:
        query = sa.select(POLICY_PROMOTIONS).where(which).order_by(POLICY_PROMOTIONS.c.id)
        with self._database.read() as connection:
            return [_promoted(row) for row in connection.execute(query)]


def _promoted(row: sa.Row[Any]) -> Promoted:
    fields = {name: row._mapping[name] for name in Promoted.__dataclass_fields__}
    return Promoted(**fields | {"state": PromotionState(row.state)})
