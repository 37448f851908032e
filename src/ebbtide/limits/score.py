"""Past projections held against what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from ebbtide.domain.resource import Edge, EdgeKind, StoredProjection
from ebbtide.limits.projection import Status


@dataclass(frozen=True, slots=True)
class Score:
    """How projections that named a day turned out.

    Attributes:
        num_projections: that named a day.
        num_settled: of those, whose limit was reached since, or is overdue.
        inside: share of the settled ones whose limit was reached inside of the interval.
        median_error_days: of those that were reached; None when none was.
    """

    num_projections: int
    num_settled: int
    inside: float | None
    median_error_days: float | None


def score(projections: Sequence[StoredProjection], edges: Sequence[Edge], as_of: datetime) -> Score:
    """Score the projections of one resource.

    Args:
        projections: one of each day, oldest first: those of five minutes later say the same.
        edges: all lines that it crossed up to ``as_of``, oldest first.
    """
    reached = [edge.at for edge in edges if edge.kind is EdgeKind.EXHAUSTED]
    named = [one for one in projections if one.status == Status.GROWING]
    inside: list[bool] = []
    errors: list[float] = []
    for one in named:
        truth = next((at for at in reached if at > one.as_of), None)
        if truth is not None:
            days = (truth - one.as_of) / timedelta(days=1)
            low = one.days_low or 0.0
            inside.append(low <= days and (one.days_high is None or days <= one.days_high))
            errors.append(abs(days - (one.days_to_limit or 0.0)))
        elif one.days_high is not None and (as_of - one.as_of) / timedelta(days=1) > one.days_high:
            inside.append(False)
    return Score(
        num_projections=len(named),
        num_settled=len(inside),
        inside=sum(inside) / len(inside) if inside else None,
        median_error_days=median(errors) if errors else None,
    )
