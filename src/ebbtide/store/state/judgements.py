"""What people said of blocked calls: rightly blocked, or wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import BLOCK_JUDGEMENTS


@dataclass(frozen=True, slots=True)
class Judgement:
    """One person's word about one policy on one call."""

    tenant_id: str
    call_id: str
    policy_id: str
    is_wrong: bool
    note: str | None
    judged_at: datetime
    judged_by: str


class Judgements:
    """Judgements are added, never made over; the newest of a call and policy holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Judgement) -> None:
        """Write one down."""
        with self._database.write() as connection:
            connection.execute(
                sa.insert(BLOCK_JUDGEMENTS).values(
                    tenant_uuid=to_uuid_text(one.tenant_id),
                    call_id=one.call_id,
                    policy_id=one.policy_id,
                    is_wrong=one.is_wrong,
                    note=one.note,
                    judged_at=one.judged_at,
                    judged_by=one.judged_by,
                )
            )

    def of_policy(self, policy_id: str, at: datetime | None = None) -> dict[tuple[str, str], bool]:
        """Whether a block is wrong, by ``(tenant_uuid, call_id)``; what nobody judged is not here.

        Args:
            at: as it was known at this moment; None means now.
        """
        table = BLOCK_JUDGEMENTS
        query = sa.select(table).where(table.c.policy_id == policy_id).order_by(table.c.id)
        if at is not None:
            query = query.where(table.c.judged_at <= at)
        with self._database.read() as connection:
            return {
                (row.tenant_uuid, row.call_id): row.is_wrong for row in connection.execute(query)
            }


def forget_judgements(connection: sa.Connection, tenant_uuid: str) -> None:
    """Delete what was said about a tenant's calls."""
    table = BLOCK_JUDGEMENTS
    connection.execute(sa.delete(table).where(table.c.tenant_uuid == tenant_uuid))
