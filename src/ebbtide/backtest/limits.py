"""How true days-to-limit is: projections from the past of real series against what came after.

Each series is taken twice: as a level that goes up and down (``level``), and added up, as what
fills a disk (``filled``). At three moments of it one knows only the past, and five limits are set
above the highest use so far. Which limits those are does not depend on what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from ebbtide.backtest.naive import NAIVE, days_to_limit
from ebbtide.backtest.public_series import PublicSeries
from ebbtide.domain.time import EPOCH
from ebbtide.limits.projection import FORMULA, INTERVAL, Projection, Status, project
from ebbtide.limits.series import Floats, Sample

MOMENTS = (0.4, 0.6, 0.75)  # shares of the series that are known
SATURATIONS = (0.5, 0.7, 0.8, 0.9, 0.95)  # highest use so far, as a share of the limit
GOAL = (0.75, 0.85)  # share of truths inside the interval
NEAR = 0.2  # an error up to this share of the truth counts as near
DRAWS = 1000  # of whole series, for the doubt about the share itself
SEED = 7
OURS = "damped trend"

#: Called after each series with the number done.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One projection and what happened.

    Attributes:
        group: collection and kind.
        truth_days: when the limit was reached; None when the series ends before.
        seen_days: how long the series goes on after the moment.
        naive: days to the limit by each naive estimator.
    """

    group: str
    series: str
    truth_days: float | None
    seen_days: float
    projection: Projection
    naive: tuple[float | None, ...]

    @property
    def collection(self) -> str:
        """Where its series comes from."""
        return self.series.partition("/")[0]

    @property
    def is_before(self) -> bool:
        """Whether the limit was reached before ``days_low``."""
        low = self.projection.days_low
        return self.truth_days is not None and (low is None or self.truth_days < low)

    @property
    def is_after(self) -> bool:
        """Whether the limit was reached, or is bound to be reached, after ``days_high``."""
        high = self.projection.days_high
        at_least = self.seen_days if self.truth_days is None else self.truth_days
        return high is not None and at_least > high

    @property
    def is_inside(self) -> bool:
        """Whether the limit was reached inside of the interval."""
        return self.truth_days is not None and not self.is_before and not self.is_after


def cases_of(series: PublicSeries) -> Iterator[Case]:
    """Every case of one series."""
    kinds = {"level": series.values}
    if series.values.min() >= 0:
        kinds["filled"] = np.cumsum(series.values)
    for kind, used in kinds.items():
        for moment in MOMENTS:
            num = int(len(used) * moment)
            if num >= 2 and used[:num].max() > 0:
                yield from _at(series, kind, used, num)


def _at(series: PublicSeries, kind: str, used: Floats, num: int) -> Iterator[Case]:
    days, now = series.days, series.days[num - 1]
    samples = [
        Sample(EPOCH + timedelta(days=float(day)), float(value))
        for day, value in zip(days[:num], used[:num], strict=True)
    ]
    for saturation in SATURATIONS:
        limit = float(used[:num].max()) / saturation
        reached = np.flatnonzero(used[num:] >= limit)
        yield Case(
            group=f"{series.collection} {kind}",
            series=f"{series.collection}/{series.name}",
            truth_days=float(days[num + reached[0]] - now) if len(reached) else None,
            seen_days=float(days[-1] - now),
            projection=project(samples, limit, samples[-1].at),
            naive=tuple(
                days_to_limit(slope, days[:num], used[:num], limit) for slope in NAIVE.values()
            ),
        )


def run(series: Sequence[PublicSeries], progress: Progress) -> list[Case]:
    """All cases of some series."""
    cases: list[Case] = []
    for num, one in enumerate(series, 1):
        cases += cases_of(one)
        progress(num)
    return cases


def report(cases: Sequence[Case]) -> dict[str, Any]:
    """The figures of a back-test; shares are fractions, None where there is nothing to count."""
    groups = sorted({case.group for case in cases})
    parts = [[case for case in cases if case.group == group] for group in groups]
    headline = _growing(cases)
    share = headline["inside"]
    return {
        "formula": FORMULA,
        "interval": INTERVAL,
        "goal": list(GOAL),
        "is_goal_met": None if share is None else GOAL[0] <= share <= GOAL[1],
        "num_series": len({case.series for case in cases}),
        "num_cases": len(cases),
        "growing": headline,
        "stable": _stable(cases),
        "num_insufficient": _num(cases, Status.INSUFFICIENT_DATA),
        "collections": [
            {"collection": name, "growing": _growing(part), "errors": _errors(part)}
            for name, part in _by_collection(cases)
        ],
        "inside_of_all_reached": _share([case.is_inside for case in _reached(cases)]),
        "groups": [
            {"group": group, "growing": _growing(part), "stable": _stable(part)}
            for group, part in zip(groups, parts, strict=True)
        ],
        "errors": _errors(cases),
    }


def _by_collection(cases: Sequence[Case]) -> Iterator[tuple[str, list[Case]]]:
    """The cases of each collection, levels and filled ones together."""
    for name in sorted({case.collection for case in cases}):
        yield name, [case for case in cases if case.collection == name]


def _growing(cases: Sequence[Case]) -> dict[str, Any]:
    """Cases with a day named: how often the truth lay inside, before and after the interval."""
    mine = _of(cases, Status.GROWING)
    reached = _reached(mine)
    widths = [
        case.projection.days_high / case.projection.days_low
        for case in reached
        if case.projection.days_low and case.projection.days_high
    ]
    return {
        "num_cases": len(mine),
        "num_reached": len(reached),
        "inside": _share([case.is_inside for case in reached]),
        "inside_95": _doubt(reached),
        "before": _share([case.is_before for case in reached]),
        "after": _share([case.is_after for case in reached]),
        "open_ended": _share([case.projection.days_high is None for case in reached]),
        "num_overdue": sum(case.is_after for case in mine if case.truth_days is None),
        "median_width": float(np.median(widths)) if widths else None,
    }


def _stable(cases: Sequence[Case]) -> dict[str, Any]:
    """Cases without a day: how many reached the limit all the same, before ``days_low``."""
    mine = _of(cases, Status.STABLE)
    return {
        "num_cases": len(mine),
        "num_reached": len(_reached(mine)),
        "before": _share([case.is_before for case in mine]),
    }


def _errors(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Ours beside the naive ones, on the same truths: those of which we named a day.

    An estimator that names no day for a limit that was reached is infinitely wrong there.
    """
    reached = _reached(_of(cases, Status.GROWING))
    answers: dict[str, list[float | None]] = {
        OURS: [case.projection.days_to_limit for case in reached]
    }
    for place, name in enumerate(NAIVE):
        answers[name] = [case.naive[place] for case in reached]
    rows = []
    for name, days in answers.items():
        errors = np.array(
            [
                np.inf if day is None else abs(day - (case.truth_days or 0.0))
                for day, case in zip(days, reached, strict=True)
            ]
        )
        truths = np.array([case.truth_days for case in reached])
        rows.append(
            {
                "estimator": name,
                "num_answers": sum(day is not None for day in days),
                "median_error_days": _finite_median(errors),
                "median_error_share": _finite_median(errors / truths) if len(truths) else None,
                "near": _share(list(errors <= NEAR * truths)) if len(truths) else None,
            }
        )
    return rows


def _doubt(reached: Sequence[Case]) -> list[float] | None:
    """What the share inside lies between in 95 of 100 draws of whole series."""
    names = sorted({case.series for case in reached})
    if not names:
        return None
    place = {name: i for i, name in enumerate(names)}
    inside, num = np.zeros(len(names)), np.zeros(len(names))
    for case in reached:
        inside[place[case.series]] += case.is_inside
        num[place[case.series]] += 1
    drawn = np.random.default_rng(SEED).integers(len(names), size=(DRAWS, len(names)))
    shares = inside[drawn].sum(axis=1) / num[drawn].sum(axis=1)
    return [float(end) for end in np.quantile(shares, (0.025, 0.975))]


def _of(cases: Sequence[Case], status: Status) -> list[Case]:
    return [case for case in cases if case.projection.status is status]


def _num(cases: Sequence[Case], status: Status) -> int:
    return len(_of(cases, status))


def _reached(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.truth_days is not None]


def _share(facts: Sequence[bool]) -> float | None:
    return sum(map(bool, facts)) / len(facts) if facts else None


def _finite_median(errors: Floats) -> float | None:
    median = float(np.median(errors)) if len(errors) else np.inf
    return median if np.isfinite(median) else None
