"""Causes of incidents as people corrected them: the newest row of an incident holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import INCIDENT_ATTRIBUTIONS


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody said about one incident, named by its event."""

    tenant_uuid: str
    event_uuid: str
    attribution: str
    note: str | None
    changed_at: datetime
    changed_by: str


class Attributions:
    """Corrections are added, never made over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, correction: Correction) -> None:
        """Write one down; it holds from its ``changed_at`` on."""
        row = {column: getattr(correction, column) for column in Correction.__dataclass_fields__}
        with self._database.write() as connection:
            connection.execute(sa.insert(INCIDENT_ATTRIBUTIONS), row)

    def effective(
        self, at: datetime | None = None, *, tenant_uuid: str | None = None
    ) -> dict[tuple[str, str], Correction]:
        """What holds, by ``(tenant_uuid, event_uuid)``.

        Args:
            at: as it was known at this moment; None means now.
            tenant_uuid: only of this tenant.
        """
        table = INCIDENT_ATTRIBUTIONS
        query = sa.select(table).order_by(table.c.id)
        if at is not None:
            query = query.where(table.c.changed_at <= at)
        if tenant_uuid is not None:
            query = query.where(table.c.tenant_uuid == tenant_uuid)
        with self._database.read() as connection:
            return {
                (row.tenant_uuid, row.event_uuid): Correction(
                    row.tenant_uuid,
                    row.event_uuid,
                    row.attribution,
                    row.note,
                    row.changed_at,
                    row.changed_by,
                )
                for row in connection.execute(query)
            }
