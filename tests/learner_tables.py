"""Writes learners into their tables, and runs the inactivity job on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from typing import Any
from uuid import UUID

import psycopg

from ebbtide.learners.job import detect_inactivity
from ebbtide.learners.report import InactivityReport, LearnerScore
from ebbtide.learners.settings import LearnerSettings, read_learner_settings
from ebbtide.learners.sources import Sources, load_sources

AS_OF = datetime(2026, 3, 12, 8, 30, tzinfo=UTC)  # a Thursday
WEEK = date(2026, 3, 9)


def ago(days: float) -> datetime:
    """So many days before the moment that tests ask for."""
    return AS_OF - timedelta(days=days)


def md5_uuid(user_id: str) -> str:
    """The UUID under which a view knows a user id."""
    return str(UUID(md5(user_id.encode(), usedforsecurity=False).hexdigest()))


@dataclass
class Learners:
    """A database with learners."""

    connection: psycopg.Connection[Any]
    said: list[str] = field(default_factory=list)
    _num: int = 0

    def execute(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it has any."""
        cursor = self.connection.execute(text, values or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def exam(
        self,
        user_id: str | None,
        at: datetime,
        *,
        score: float | None = None,
        session: str | None = None,
        created: datetime | None = None,
        questions: Any = (),
    ) -> None:
        """A row of exam_results."""
        self._num += 1
        self.execute(
            "INSERT INTO exam_results (session_id, user_id, result_json, score_scaled, created_at,"
            " updated_at) VALUES (%s, %s, %s, %s, %s, %s)",
            session or f"exam-{self._num}",
            user_id,
            json.dumps({"questions": list(questions) if questions == () else questions}),
            score,
            created or at,
            at,
        )

    def features(self, user_id: str, at: datetime | None) -> None:
        """A row of features_topic_daily."""
        self._num += 1
        self.execute(
            "INSERT INTO features_topic_daily (user_id, topic_id, date, last_seen_at)"
            " VALUES (%s, %s, %s, %s)",
            user_id,
            f"topic-{self._num}",
            AS_OF.date(),
            at,
        )

    def session(self, user_id: str, started: datetime, ended: datetime | None) -> None:
        """A row of session."""
        self._num += 1
        self.execute(
            "INSERT INTO session (id, user_id, started_at, ended_at) VALUES (%s, %s, %s, %s)",
            f"session-{self._num}",
            user_id,
            started,
            ended,
        )

    def session_in(self, table: str, user_id: str) -> None:
        """A session of yesterday in a table of the same form under another name."""
        self.execute(f"INSERT INTO {table} (id, user_id) VALUES ('x', %s)", user_id)

    def goal(self, user_id: str, level: float | None, priority: int = 0) -> None:
        """A row of interest_goal."""
        self._num += 1
        self.execute(
            "INSERT INTO interest_goal (user_id, topic_id, target_level, priority)"
            " VALUES (%s, %s, %s, %s)",
            user_id,
            f"topic-{self._num}",
            level,
            priority,
        )

    def kpis(self, user_id: str, kpis: Any, week: date = WEEK) -> None:
        """A row of weekly_kpi."""
        self.execute(
            "INSERT INTO weekly_kpi (user_id, week_start, kpis) VALUES (%s, %s, %s)",
            user_id,
            week,
            json.dumps(kpis),
        )

    def run(
        self,
        *,
        threshold: int = 7,
        as_of: datetime = AS_OF,
        dry_run: bool = False,
        sources: Sources | None = None,
        settings: LearnerSettings | None = None,
        **options: Any,
    ) -> InactivityReport:
        """Run the job; what it says stands in ``said``."""
        self.said.clear()
        return detect_inactivity(
            self.connection,
            settings or read_learner_settings(),
            as_of=as_of,
            threshold_days=threshold,
            dry_run=dry_run,
            sources=sources or load_sources(),
            say=self.said.append,
            **options,
        )

    def scores(self, **options: Any) -> dict[str, LearnerScore]:
        """Run the job; the scores by user."""
        return {one.user_id: one for one in self.run(**options).scores()}

    def stored(self) -> dict[str, Any]:
        """The kpis of this week by user."""
        rows = self.execute("SELECT user_id, kpis FROM weekly_kpi WHERE week_start = %s", WEEK)
        return dict(rows)
