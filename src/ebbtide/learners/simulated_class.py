"""A simulated class, for whoever has no real course at hand. Nobody in it is real."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ebbtide.learners.course import Advance, Course, Student, copy_batches

if TYPE_CHECKING:
    import psycopg

CLASS_START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
NAME = "simulated class"
EXAM_EVERY_DAYS = 7
TOPICS = ("algebra", "geometry", "statistics")
GOAL_LEVEL = 0.5  # of those who aim high; scores are told apart by the class's own spread


def fill_class(
    connection: psycopg.Connection[Any],
    *,
    seed: int,
    num_learners: int,
    num_days: int,
    advance: Advance = lambda _num: None,
) -> Course:
    """Fill the tables, which must be there and empty, in one transaction.

    The same seed gives the same class. Half of the learners come steadily, a third come less and
    less, and the others stop from one day to the next.

    Args:
        advance: told of each learner.
    """
    learners = [_Learner(seed, number, num_days) for number in range(num_learners)]
    with connection.transaction(), connection.cursor() as cursor:
        for one in learners:
            one.live()
            advance(1)
        for table, columns in _COLUMNS.items():
            rows = [row for one in learners for row in one.rows[table]]
            batch = pa.RecordBatch.from_arrays(
                [pa.array(column) for column in zip(*rows, strict=True)], names=columns
            )
            copy_batches(cursor, table, columns, [batch])
    return Course(
        NAME, CLASS_START, num_days - 1, tuple(one.student for one in learners), is_simulated=True
    )


_COLUMNS = {
    "session": ["id", "user_id", "started_at", "ended_at", "status"],
    "features_topic_daily": ["user_id", "topic_id", "date", "attempts", "correct", "last_seen_at"],
    "exam_results": ["session_id", "user_id", "score_scaled", "result_json", "created_at",
                     "updated_at"],
    "interest_goal": ["user_id", "topic_id", "target_level", "priority"],
}  # fmt: skip


class _Learner:
    """One learner's days."""

    def __init__(self, seed: int, number: int, num_days: int) -> None:
        self.user_id = f"simulated-{number + 1:04d}"
        self.rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
        # Of the generator only random() is used: it promises the same numbers in every version.
        self._draw = random.Random(f"{seed}/{number}").random
        kind = self._draw()
        self._is_fading = 0.5 <= kind < 0.83
        self._num_days = num_days
        self._stops_on = num_days if kind < 0.83 else int(num_days * (0.1 + 0.8 * self._draw()))
        self._habit = 0.25 + 0.5 * self._draw()  # share of days on which this one comes
        self._skill = 2 * self._draw() - 1
        self.student = Student(self.user_id, 0, None, None)

    def live(self) -> None:
        """Fill the rows of all days."""
        if self._draw() < 0.5:
            self.rows["interest_goal"].append((self.user_id, TOPICS[0], GOAL_LEVEL, 1))
        for day in range(min(self._stops_on, self._num_days)):
            fade = 1 - 0.95 * day / self._num_days if self._is_fading else 1.0
            if self._draw() < self._habit * fade:
                self._come(day)
        left = None if self._stops_on == self._num_days else self._stops_on
        exams = [row[2] for row in self.rows["exam_results"]]
        is_passed = left is None and bool(exams) and sum(exams) / len(exams) >= 40
        self.student = Student(self.user_id, 0, left, is_passed)

    def _come(self, day: int) -> None:
        began = CLASS_START + timedelta(days=day, hours=8 + int(12 * self._draw()))
        ended = began + timedelta(minutes=10 + int(80 * self._draw()))
        self.rows["session"].append((f"{self.user_id}/{day}", self.user_id, began, ended, "ended"))
        topic = TOPICS[int(len(TOPICS) * self._draw())]
        attempts = 1 + int(12 * self._draw())
        correct = sum(self._draw() < 0.5 + 0.3 * self._skill for _ in range(attempts))
        self.rows["features_topic_daily"].append(
            (self.user_id, topic, began.date(), attempts, correct, ended)
        )
        if day % EXAM_EVERY_DAYS in (3, 4):
            score = round(min(100.0, max(0.0, 55 + 25 * self._skill + 30 * (self._draw() - 0.5))))
            self.rows["exam_results"].append(
                (
                    f"{self.user_id}/exam/{day}",
                    self.user_id,
                    score,
                    '{"questions":[]}',
                    ended,
                    ended,
                )
            )
