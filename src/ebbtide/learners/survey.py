"""Which of the named tables are there, and what of them the job can use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from ebbtide.learners.database import MOMENT_TYPES, NUMBER_TYPES, Table, look_at
from ebbtide.learners.sources import ActivitySource, Sources

RESULT_TABLE = "weekly_kpi"
RESULT_KEY = frozenset({"user_id", "week_start"})
_RESULT_TYPES = {
    "user_id": {"text", "varchar", "bpchar"},
    "week_start": {"date"},
    "kpis": {"jsonb"},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One source, its table, and why it will not be read; ``problem`` None: it will."""

    name: str
    table: str
    found: Table | None
    problem: str | None
    is_forbidden: bool = False  # it is there, and we may not look: that is not "no activity"


@dataclass(frozen=True, slots=True)
class Survey:
    """What the job would read and write."""

    activities: tuple[tuple[ActivitySource, Finding], ...]
    sessions: Finding
    scores: Finding
    score_columns: tuple[str, ...]  # those that could hold scores, in their order
    goals: Finding
    ability: Finding
    ability_moments: tuple[str, ...]
    result: Finding
    has_updated_at: bool  # whether the result table has such a column

    @property
    def usable(self) -> tuple[ActivitySource, ...]:
        """The activity sources that can be read."""
        return tuple(source for source, finding in self.activities if finding.problem is None)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What will be left out, with the reason; an ability table may be missing by design."""
        missing = [finding for _, finding in self.activities] + [self.goals, self.ability]
        told = {(one.table, one.problem) for one in missing}
        texts = [
            f"{one.name} ({one.problem})"
            for one in missing
            if one.problem and not (one is self.ability and one.found is None)
        ]
        for part in (self.sessions, self.scores):
            if part.problem and (part.table, part.problem) not in told:
                texts.append(f"{part.name} of {part.table} ({part.problem})")
        return tuple(texts)

    @property
    def blockers(self) -> tuple[str, ...]:
        """Why the job cannot run at all; empty: it can."""
        found = []
        if self.result.problem is not None:
            found.append(f"{RESULT_TABLE}: {self.result.problem}")
        if not self.usable:
            found.append("none of the activity tables can be read")
        readable = {source.name for source in self.usable}
        for source, finding in self.activities:
            if finding.is_forbidden and source.covered_by not in readable:
                found.append(f"{source.name}: {finding.problem}")
        return tuple(found)


def survey(connection: psycopg.Connection[Any], sources: Sources) -> Survey:
    """Look at every table that the sources name, and at the one that is written.

    Raises:
        psycopg.Error: the database does not answer.
    """
    tables: dict[str, Table | None] = {}

    def table(name: str) -> Table | None:
        if name not in tables:
            tables[name] = look_at(connection, name)
        return tables[name]

    activities = tuple((one, _activity(one, table(one.table))) for one in sources.activities)
    exams, goals, ability = sources.exams, sources.goals, sources.ability
    found = table(exams.table)
    score_columns = tuple(
        name
        for name in exams.score
        if found is not None and found.columns.get(name) in NUMBER_TYPES
    )
    in_time = (exams.person, *exams.moment)
    sessions = _finding("sessions", exams.table, found, (*in_time, exams.session), exams.moment)
    scores = _finding("scores", exams.table, found, in_time, exams.moment)
    if scores.problem is None and not score_columns:
        scores = Finding("scores", exams.table, found, _no_columns(exams.score))
    goal_table = table(goals.table)
    estimates = table(ability.table)
    moments = tuple(
        name
        for name in ability.moment
        if estimates is not None and estimates.columns.get(name) in MOMENT_TYPES
    )
    return Survey(
        activities,
        sessions,
        scores,
        score_columns,
        _finding(
            "goals", goals.table, goal_table, goals.columns, (), (goals.level, goals.priority)
        ),
        _finding(
            "ability", ability.table, estimates, ability.columns, (), (ability.mean, ability.sd)
        ),
        moments,
        _result(table(RESULT_TABLE)),
        "updated_at" in getattr(table(RESULT_TABLE), "columns", ()),
    )


def _activity(source: ActivitySource, table: Table | None) -> Finding:
    return _finding(source.name, source.table, table, source.columns, source.moment)


def _finding(
    name: str,
    table_name: str,
    table: Table | None,
    columns: Iterable[str],
    moments: Iterable[str] = (),
    numbers: Iterable[str] = (),
) -> Finding:
    if table is None:
        return Finding(name, table_name, None, "no such table")
    if not table.is_readable:
        return Finding(name, table_name, table, "we may not read it", is_forbidden=True)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        return Finding(name, table_name, table, _no_columns(missing))
    for kind, allowed, chosen in (
        ("moment", MOMENT_TYPES, moments),
        ("number", NUMBER_TYPES, numbers),
    ):
        for column in chosen:
            if table.columns[column] not in allowed:
                problem = f"column {column} is of type {table.columns[column]}, no {kind}"
                return Finding(name, table_name, table, problem)
    return Finding(name, table_name, table, None)


def _no_columns(names: Iterable[str]) -> str:
    names = tuple(names)
    return f"no column {names[0]}" if len(names) == 1 else f"no columns {', '.join(names)}"


def _result(table: Table | None) -> Finding:
    finding = _finding(RESULT_TABLE, RESULT_TABLE, table, _RESULT_TYPES)
    if table is None or finding.problem is not None:
        return finding
    problem = None
    for column, allowed in _RESULT_TYPES.items():
        if table.columns[column] not in allowed:
            problem = f"column {column} is of type {table.columns[column]}"
    keys = [
        one
        for one in table.indexes
        if one.is_unique and frozenset(one.columns[: one.num_keys]) == RESULT_KEY
    ]
    if not table.is_writable:
        problem = "we may not write it"
    elif not keys:
        problem = "it has no unique index on (user_id, week_start)"
    elif not all(one.is_immediate for one in keys):  # one is enough for PostgreSQL to refuse
        problem = (
            "its unique key on (user_id, week_start) is deferrable, which ON CONFLICT cannot use"
        )
    return Finding(RESULT_TABLE, RESULT_TABLE, table, problem)
