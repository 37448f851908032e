"""Says what the inactivity job would find in a database, and what it would leave out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ebbtide.learners.database import Connection, Table, count_up_to, covering_index
from ebbtide.learners.sources import Sources
from ebbtide.learners.survey import Finding, Survey, survey

COUNTED_MAX = 10_000  # read in some milliseconds


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that the job reads or writes, as it was found.

    Attributes:
        part: an activity source, sessions, scores, goals, ability, or weekly_kpi.
        use: for what.
        status: ``used``; ``skipped``: the job does without it; ``blocks``: it cannot run.
        columns: those of the table that are used.
        num_rows: as PostgreSQL last estimated it; None: it did not, as for a view.
        num_counted: rows that were counted where there is no estimate, up to `COUNTED_MAX`; None:
            there is one, or they cannot be counted quickly.
        index: columns of an index with all that is read, which spares the rows; None: there is
            none, and the table is read as a whole.
    """

    part: str
    table: str
    use: str
    status: str
    problem: str | None
    kind: str | None
    columns: tuple[str, ...]
    num_rows: int | None
    num_counted: int | None
    index: tuple[str, ...] | None

    @property
    def has_more(self) -> bool:
        """Whether counting ended before the rows did."""
        return self.num_counted == COUNTED_MAX


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Whether the job can run here, and on what."""

    rows: tuple[Row, ...]
    blockers: tuple[str, ...]
    skipped: tuple[str, ...]
    advice: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "can_run": not self.blockers,
            "blockers": list(self.blockers),
            "skipped": list(self.skipped),
            "advice": list(self.advice),
            "tables": [
                {
                    "part": row.part,
                    "table": row.table,
                    "use": row.use,
                    "status": row.status,
                    "problem": row.problem,
                    "kind": row.kind,
                    "columns": list(row.columns),
                    "num_rows_estimated": row.num_rows,
                    "num_rows_counted": row.num_counted,
                    "has_more_rows": row.has_more,
                    "index": None if row.index is None else list(row.index),
                }
                for row in self.rows
            ],
        }


def diagnose(connection: Connection, sources: Sources) -> Diagnosis:
    """Look at the tables, and change nothing; rows are read only to count some of them."""
    with connection.transaction(force_rollback=True):
        seen = survey(connection, sources)
        findings = [*(one for _, one in seen.activities), seen.goals, seen.ability, seen.result]
        counted = {
            one.table: count_up_to(connection, one.table, COUNTED_MAX)
            for one in findings
            if one.found is not None and one.found.is_readable and _lacks_estimate(one.found)
        }
    rows = [
        _row(seen, source.name, "activity", finding, source.columns)
        for source, finding in seen.activities
    ]
    exams, goals, ability = sources.exams, sources.goals, sources.ability
    in_time = (exams.person, *exams.moment)
    rows += [
        _row(seen, "sessions", "S", seen.sessions, (*in_time, exams.session)),
        _row(seen, "scores", "P", seen.scores, (*in_time, *seen.score_columns)),
        _row(seen, "goals", "P", seen.goals, goals.columns),
        _row(seen, "ability", "P", seen.ability, (*ability.columns, *seen.ability_moments)),
        _row(seen, "weekly_kpi", "result", seen.result, ("user_id", "week_start", "kpis")),
    ]
    rows = [replace(row, num_counted=counted.get(row.table)) for row in rows]
    return Diagnosis(tuple(rows), seen.blockers, seen.skipped, tuple(_advice(rows)))


def _row(seen: Survey, part: str, use: str, finding: Finding, columns: tuple[str, ...]) -> Row:
    table = finding.found
    has_all = table is not None and all(one in table.columns for one in columns)
    index = covering_index(table, columns) if table is not None and has_all else None
    if finding.problem is None:
        status = "used"
    else:
        stops = any(one.startswith(f"{part}:") for one in seen.blockers)
        status = "blocks" if stops else "skipped"
    return Row(
        part,
        finding.table,
        use,
        status,
        finding.problem,
        None if table is None else table.kind,
        columns if has_all else (),
        None if table is None else table.num_rows,
        None,
        index,
    )


def _lacks_estimate(table: Table) -> bool:
    """Whether nobody has looked yet how large it is; what a view costs to read nobody knows.

    A table that was empty when somebody looked may have rows since.
    """
    return not table.num_rows and table.kind == "table"


#: Below this a table is read faster than anybody notices.
_MANY_ROWS = 1_000_000


def _advice(rows: Iterable[Row]) -> Iterable[str]:
    for row in rows:
        is_wide = row.use == "activity" and row.kind == "table" and row.status == "used"
        if is_wide and row.index is None and (row.num_rows or 0) >= _MANY_ROWS:
            yield (
                f"{row.table} is read as a whole; an index on ({', '.join(row.columns)}) would "
                "spare its rows"
            )
