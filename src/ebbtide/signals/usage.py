"""On how many days and by how many users a customer investigated: the field's own stickiness."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ebbtide.metrics.compute import MetricTable


@dataclass(frozen=True, slots=True)
class Usage:
    """Days are the 24-hour slices that end at the moment; users are those who investigated."""

    active_days_7d: int = 0
    active_days_30d: int = 0
    users_24h: int = 0
    users_30d: int = 0

    @property
    def dau_mau(self) -> Fraction | None:
        """Users of 24 hours over users of 30 days; None when the 30 days have none."""
        return Fraction(self.users_24h, self.users_30d) if self.users_30d else None


NO_USAGE = Usage()


def usage_of(table: MetricTable) -> Usage:
    """The one row of ``active_days`` for one tenant; no row means nothing in 30 days."""
    if not table.rows:
        return NO_USAGE
    row = dict(zip(table.columns, table.rows[0], strict=True))
    del row["tenant_id"]
    return Usage(**row)
