"""How well S and P foresee: a real course at some of its days against what came after.

S and P are those of the inactivity job itself, run at the end of each day over everybody who was
ever active. It knows nothing of what came later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebbtide.learners.course import Course, Student
from ebbtide.learners.job import detect_inactivity
from ebbtide.learners.report import FORMULAS
from ebbtide.learners.settings import LearnerSettings
from ebbtide.learners.sources import Sources

if TYPE_CHECKING:
    from ebbtide.learners.tables import Connection
DAYS = (14, 28, 56, 84, 112)
HORIZON_DAYS = 14
NUM_BINS = 10  # of the calibration tables
DRAWS = 1000  # of whole students, for the doubt about a figure
SEED = 7

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Called after each day with the number done.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One student at the end of one day.

    Attributes:
        s: None for somebody without any activity so far, whom the job does not list.
        silent_days: whole days since the newest activity; None as above.
        leaves: whether the withdrawal came within the horizon.
        passes: whether the course ended with a pass or a distinction; None: it is not known.
    """

    day: int
    user_id: str
    s: float | None
    p: float | None
    silent_days: int | None
    leaves: bool
    passes: bool | None


def run(
    connection: Connection,
    course: Course,
    settings: LearnerSettings,
    sources: Sources,
    progress: Progress,
    days: Sequence[int] = DAYS,
) -> list[Case]:
    """Every student of every day who had joined and had not left."""
    cases: list[Case] = []
    for num, day in enumerate(days, 1):
        report = detect_inactivity(
            connection,
            settings,
            as_of=course.end_of(day),
            threshold_days=0,  # at the end of a day nobody is active, so everybody is listed
            dry_run=False,
            sources=sources,
        )
        scores = {one.user_id: one for one in report.scores()}
        for student in _present(course, day):
            found = scores.get(student.user_id)
            cases.append(
                Case(
                    day,
                    student.user_id,
                    None if found is None else found.s,
                    None if found is None else found.p,
                    None if found is None else found.silent_days,
                    student.left_on is not None and student.left_on <= day + HORIZON_DAYS,
                    student.is_passed,
                )
            )
        progress(num)
    return cases


def _present(course: Course, day: int) -> Iterator[Student]:
    for one in course.students:
        has_joined = one.joined_on is None or one.joined_on <= day
        if has_joined and (one.left_on is None or one.left_on > day):
            yield one


def report(course: Course, cases: Sequence[Case]) -> dict[str, Any]:
    """The figures of a back-test; None where there is nothing to count."""
    scored = [one for one in cases if one.s is not None]
    judged = [one for one in scored if one.p is not None and one.passes is not None]
    return {
        "formulas": list(FORMULAS),
        "course": course.name,
        "is_simulated": course.is_simulated,
        "num_students": len(course.students),
        "horizon_days": HORIZON_DAYS,
        "days": [
            {"day": day, "num_left": _num_left(course, day), **_figures(_of_day(cases, day))}
            for day in sorted({one.day for one in cases})
        ],
        "all": _figures(cases),
        "calibration_s": _calibration([(one.s, one.leaves) for one in scored]),
        "calibration_p": _calibration([(one.p, bool(one.passes)) for one in judged]),
    }


def _num_left(course: Course, day: int) -> int:
    return sum(one.left_on is not None and one.left_on <= day for one in course.students)


def _of_day(cases: Sequence[Case], day: int) -> list[Case]:
    return [one for one in cases if one.day == day]


def _figures(cases: Sequence[Case]) -> dict[str, Any]:
    scored = [one for one in cases if one.s is not None]
    silent = [one for one in cases if one.s is None]
    judged = [one for one in scored if one.p is not None and one.passes is not None]
    leaves = np.array([one.leaves for one in scored], dtype=np.bool_)
    passes = np.array([one.passes for one in judged], dtype=np.bool_)
    users = [one.user_id for one in scored]
    judged_users = [one.user_id for one in judged]
    return {
        "num_cases": len(cases),
        "num_never_active": len(silent),
        "num_never_active_who_left": sum(one.leaves for one in silent),
        "withdrawal": {
            "num": len(scored),
            "num_leaving": int(leaves.sum()),
            "s": _auc_with_doubt(_values(one.s for one in scored), leaves, users),
            "recency": _auc_with_doubt(_values(one.silent_days for one in scored), leaves, users),
            "mean_s": _mean([one.s for one in scored]),
        },
        "success": {
            "num": len(judged),
            "num_passing": int(passes.sum()),
            "p": _auc_with_doubt(_values(one.p for one in judged), passes, judged_users),
            "recency": _auc_with_doubt(
                -_values(one.silent_days for one in judged), passes, judged_users
            ),
            "mean_p": _mean([one.p for one in judged]),
        },
    }


def _values(found: Iterator[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in found], dtype=np.float64)


def auc(values: Floats, is_true: Bools) -> float | None:
    """How often one that came true has the higher value than one that did not; a tie is a half.

    Returns:
        None when all came true, or none did.
    """
    num_true = int(is_true.sum())
    num_false = len(is_true) - num_true
    if not num_true or not num_false:
        return None
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle_rank[place][is_true].sum()
    return float((ranks - num_true * (num_true + 1) / 2) / (num_true * num_false))


def _auc_with_doubt(values: Floats, is_true: Bools, users: Sequence[str]) -> dict[str, Any]:
    """AUC, and what it lies between in 95 of 100 draws of whole students."""
    found = auc(values, is_true)
    if found is None:
        return {"auc": None, "auc_95": None}
    names, of_user = np.unique(users, return_inverse=True)
    order = np.argsort(of_user, kind="stable")
    starts = np.searchsorted(of_user[order], np.arange(len(names) + 1))
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        chosen = random.integers(len(names), size=len(names))
        lengths = starts[chosen + 1] - starts[chosen]
        # The places of all cases of the chosen students, one student after another.
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        cases = order[np.repeat(starts[chosen], lengths) + np.arange(lengths.sum()) - before]
        one = auc(values[cases], is_true[cases])
        if one is not None:
            drawn.append(one)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"auc": found, "auc_95": [float(low), float(high)]}


def _calibration(pairs: Sequence[tuple[float | None, bool]]) -> list[dict[str, Any]]:
    """What was said beside what came, in ten bins; empty bins are left out."""
    said = np.array([value for value, _ in pairs], dtype=np.float64)
    came = np.array([is_true for _, is_true in pairs], dtype=np.bool_)
    bins = np.minimum((said * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "from": number / NUM_BINS,
            "to": (number + 1) / NUM_BINS,
            "num": int(inside.sum()),
            "mean_said": float(said[inside].mean()),
            "share_came": float(came[inside].mean()),
        }
        for number in range(NUM_BINS)
        if (inside := bins == number).any()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return float(np.mean(known)) if known else None
