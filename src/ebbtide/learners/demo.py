"""Runs the inactivity job once for each day of a course, as a timer would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ebbtide.learners.course import Course
from ebbtide.learners.formulas import HIGH_RISK
from ebbtide.learners.job import detect_inactivity
from ebbtide.learners.report import InactivityReport, LearnerScore
from ebbtide.learners.settings import LearnerSettings
from ebbtide.learners.sources import Sources

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class CourseDay:
    """What a day's run found beside that of the day before.

    Attributes:
        num_new: inactive now and not the day before.
        num_back: inactive the day before and not now.
        num_high: of those with S above the mark of alerts.
        num_new_high: of those who were not above it the day before.
        num_left: students who have withdrawn by now.
        worst: the inactive with the highest S, silent for longest first.
    """

    day: int
    as_of: datetime
    report: InactivityReport
    num_new: int
    num_back: int
    num_high: int
    num_new_high: int
    num_left: int
    worst: tuple[LearnerScore, ...]


def run_days(
    connection: psycopg.Connection[Any],
    course: Course,
    days: Sequence[int],
    settings: LearnerSettings,
    sources: Sources,
    *,
    num_worst: int = 5,
) -> Iterator[CourseDay]:
    """One run at the end of each day; the next begins when the caller asks for it."""
    inactive: set[str] = set()
    high: set[str] = set()
    for day in days:
        report = detect_inactivity(
            connection,
            settings,
            as_of=course.end_of(day),
            threshold_days=settings.inactivity_threshold_days,
            dry_run=False,
            sources=sources,
        )
        scores = list(report.scores())
        now_inactive = {one.user_id for one in scores}
        now_high = {one.user_id for one in scores if one.s > HIGH_RISK}
        yield CourseDay(
            day,
            course.end_of(day),
            report,
            num_new=len(now_inactive - inactive),
            num_back=len(inactive - now_inactive),
            num_high=len(now_high),
            num_new_high=len(now_high - high),
            num_left=sum(one.left_on is not None and one.left_on <= day for one in course.students),
            worst=tuple(
                sorted(scores, key=lambda one: (-one.s, -one.silent_days, one.user_id))[:num_worst]
            ),
        )
        inactive, high = now_inactive, now_high
