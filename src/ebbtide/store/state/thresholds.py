"""Thresholds as this installation has changed them: the newest row of a name holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

import sqlalchemy as sa

from ebbtide.catalog.pulse import Threshold
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import ALERT_THRESHOLDS


@dataclass(frozen=True, slots=True)
class Edit:
    """Who changed a threshold when."""

    name: str
    is_default: bool
    changed_at: datetime
    changed_by: str


class Thresholds:
    """Changes are added, never made over: what held at a moment can be told later."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def effective(
        self, defaults: Sequence[Threshold], at: datetime | None = None
    ) -> tuple[Threshold, ...]:
        """The thresholds that hold, in the order of the defaults.

        Args:
            defaults: as the catalog defines them.
            at: as they held at this moment; None means now.
        """
        rows = self._newest(at)
        return tuple(_edited(one, rows.get(one.name)) for one in defaults)

    def edits(self, at: datetime | None = None) -> dict[str, Edit]:
        """The newest change of each threshold that was ever changed, by name."""
        return {
            name: Edit(name, row.is_default, row.changed_at, row.changed_by)
            for name, row in self._newest(at).items()
        }

    def put(
        self,
        changed: Iterable[Threshold],
        at: datetime,
        by: str,
        *,
        reset: Iterable[str] = (),
    ) -> None:
        """Change some thresholds, all or none.

        Args:
            changed: as they are to hold; their kind and title stay the catalog's.
            at: from when on, UTC-aware.
            by: who says so.
            reset: names of those for which the definition is to hold again.
        """
        about = {"changed_at": at, "changed_by": by}
        rows = [
            about
            | {
                "name": one.name,
                "is_default": False,
                "than": str(one.than),
                "level": one.level,
                "min_baseline": one.min_baseline,
                "is_enabled": one.is_enabled,
            }
            for one in changed
        ]
        with self._database.write() as connection:
            for row in rows:
                connection.execute(sa.insert(ALERT_THRESHOLDS), row)
            for name in reset:
                row = about | {"name": name, "is_default": True}
                connection.execute(sa.insert(ALERT_THRESHOLDS), row)

    def _newest(self, at: datetime | None) -> dict[str, sa.Row[tuple[object, ...]]]:
        query = sa.select(ALERT_THRESHOLDS).order_by(ALERT_THRESHOLDS.c.id)
        if at is not None:
            query = query.where(ALERT_THRESHOLDS.c.changed_at <= at)
        with self._database.read() as connection:
            return {row.name: row for row in connection.execute(query)}


def _edited(threshold: Threshold, row: sa.Row[tuple[object, ...]] | None) -> Threshold:
    if row is None or row.is_default:
        return threshold
    return replace(
        threshold,
        than=Fraction(row.than),
        level=row.level,
        min_baseline=row.min_baseline,
        is_enabled=row.is_enabled,
    )
