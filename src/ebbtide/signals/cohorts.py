"""Weekly cohorts: of the customers that began in one week, how many are active in each later one.

Weeks are those of the calendar, Monday 00:00 UTC to the next one. A customer belongs to the week of
the first event that counts as active, so each cohort is whole in its own week.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.product import Feature
from ebbtide.signals.activity import COLUMN_OF, INVESTIGATION, ActivityReader
from ebbtide.signals.weeks import WEEK, end_of, monday_of

WEEKS, WEEKS_MAX = 12, 52
ANY, INVESTIGATING = "any", "investigation"


@dataclass(frozen=True, slots=True)
class Cell:
    """Active customers of a cohort so many weeks after its first; that one is week 0."""

    week: int
    num_active: int
    share: Fraction | None  # None when the cohort is empty
    is_complete: bool  # False: the week is not over


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers whose first week began on a Monday."""

    monday: datetime
    num_tenants: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Triangle:
    """Cohorts, oldest first.

    Attributes:
        overall: all cohorts together, week by week; only weeks that are over count.
        num_earlier: customers that began before the first cohort.
        members: customers of each cohort, by its Monday.
        active: customers that were active, by the Monday of the week.
    """

    as_of: datetime
    cohorts: Sequence[Cohort]
    overall: Sequence[Cell]
    num_earlier: int
    members: Mapping[datetime, Set[str]]
    active: Mapping[datetime, Set[str]]
    freshness: datetime | None

    def who(self, monday: datetime, week: int, *, is_active: bool) -> list[str]:
        """The customers of a cohort that were active in a week, or that were not."""
        active = self.active[monday + week * WEEK]
        members = self.members[monday]
        return sorted(members & active if is_active else members - active)


def triangle_of(
    earlier: Set[str], weeks: Mapping[datetime, Set[str]], as_of: datetime
) -> tuple[list[Cohort], dict[datetime, Set[str]]]:
    """Sort customers into cohorts and follow them.

    Args:
        earlier: who was active before the first week; they belong to none of the cohorts.
        weeks: who was active in each week, by its Monday, one after another.

    Returns:
        A cohort for each week, empty ones too, and who is in it.
    """
    seen = set(earlier)
    members: dict[datetime, Set[str]] = {}
    for monday, active in weeks.items():
        members[monday] = frozenset(active - seen)
        seen |= active
    cohorts = []
    for monday, cohort in members.items():
        cells = tuple(
            _cell((other - monday) // WEEK, len(cohort & active), len(cohort), other, as_of)
            for other, active in weeks.items()
            if other >= monday
        )
        cohorts.append(Cohort(monday, len(cohort), cells))
    return cohorts, members


def _cell(week: int, num_active: int, num: int, monday: datetime, as_of: datetime) -> Cell:
    share = Fraction(num_active, num) if num else None
    return Cell(week, num_active, share, end_of(monday) <= as_of)


def overall_of(cohorts: Iterable[Cohort]) -> list[Cell]:
    """All cohorts together: of those that could be seen for so many weeks, who was active."""
    sums: dict[int, tuple[int, int]] = {}
    for cohort in cohorts:
        for cell in cohort.cells:
            if cell.is_complete:
                num_active, num = sums.get(cell.week, (0, 0))
                sums[cell.week] = num_active + cell.num_active, num + cohort.num_tenants
    return [
        Cell(week, num_active, Fraction(num_active, num) if num else None, True)
        for week, (num_active, num) in sorted(sums.items())
    ]


def columns_of(features: Iterable[Feature]) -> dict[str, tuple[str, ...]]:
    """What may count as active, by its name in questions, and the counts that say so."""
    named = {one.name: (COLUMN_OF[one.event_type],) for one in features}
    return {ANY: ("num_events",), INVESTIGATING: INVESTIGATION} | named


class CohortReader:
    """Reads cohorts at any moment. From any thread."""

    def __init__(self, catalog: Catalog, activity: ActivityReader) -> None:
        self.activities = columns_of(catalog.signals.product.features.features)
        self._activity = activity

    def at(
        self,
        as_of: datetime,
        *,
        num_weeks: int = WEEKS,
        activity: str = ANY,
        known_at: datetime | None = None,
    ) -> Triangle:
        """The cohorts of the last weeks, that of the moment among them.

        Args:
            num_weeks: 1 or more.
            activity: what counts as active, a key of :attr:`activities`.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        columns = self.activities[activity]
        first = monday_of(as_of) - (num_weeks - 1) * WEEK
        before, found = self._activity.by_week(first, as_of, known_at=known_at)
        weeks = {first + number * WEEK: one.who(columns) for number, one in enumerate(found)}
        earlier = before.who(columns)
        cohorts, members = triangle_of(earlier, weeks, as_of)
        freshness = [one.freshness for one in (before, *found)]
        return Triangle(
            as_of,
            cohorts,
            overall_of(cohorts),
            len(earlier),
            members,
            weeks,
            max(filter(None, freshness), default=None),
        )
