"""Reads a real course into the tables that the inactivity job reads: each enrolment is a user.

The files are those of the Open University's learning analytics data set (OULAD) as Parquet. They
know whole days only, counted from the first day of the course. How they are read:

- day 0 of every course is Monday 7 October 2013, and what was done on a day was done at its noon;
- a day with clicks is a ``session``, and one row of ``features_topic_daily`` for each kind of page;
- a submitted assessment is a row of ``exam_results``, with one question, right from 40 points on;
- nobody has goals, so P asks whether somebody is better than the average of all.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from ebbtide.domain.errors import NotFound

if TYPE_CHECKING:
    import psycopg

FILES = ("students", "registrations", "assessments", "sites", "clicks")
COURSE_START = datetime(2013, 10, 7, tzinfo=UTC)
PASS_SCORE = 40  # of 100, as the university has it
PASSED = frozenset({"Pass", "Distinction"})
_UNKNOWN = "?"
_BATCH_ROWS = 65_536
_COURSE_KEY = ("code_module", "code_presentation", "id_student")

#: Called with the number of rows that came in since the call before.
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Student:
    """What became of one enrolment. Days count from the first day of the course.

    Attributes:
        joined_on: day of the registration; None when it is not known.
        left_on: day of the withdrawal; None for those who stayed.
        is_passed: whether it ended with a pass or a distinction; None when it is not known.
    """

    user_id: str
    joined_on: int | None
    left_on: int | None
    is_passed: bool | None


@dataclass(frozen=True, slots=True)
class Course:
    """A course that lies in a database. ``last_day`` is the last one with activity."""

    name: str
    start: datetime
    last_day: int
    students: tuple[Student, ...]
    is_simulated: bool

    def end_of(self, day: int) -> datetime:
        """The moment at which all of a day has happened, UTC."""
        return self.start + timedelta(days=day + 1)


def find_course(folder: Path) -> Path:
    """The folder that holds the files: the one given, or ``learners`` in it.

    Raises:
        NotFound: neither does.
    """
    for place in (folder, folder / "learners"):
        if all((place / f"{name}.parquet").is_file() for name in FILES):
            return place
    wanted = ", ".join(f"{name}.parquet" for name in FILES)
    raise NotFound(f"{folder} holds no course: {wanted} are looked for, in it or in learners/")


def num_rows(folder: Path) -> int:
    """Rows that :func:`load_course` is going to read, for a progress bar."""
    return sum(
        parquet.ParquetFile(folder / f"{name}.parquet").metadata.num_rows
        for name in ("clicks", "assessments")
    )


def load_course(
    connection: psycopg.Connection[Any], folder: Path, advance: Advance = lambda _num: None
) -> Course:
    """Fill the tables, which must be there and empty, in one transaction.

    Clicks stream through in batches and are counted by the database, so memory stays small.

    Args:
        folder: as :func:`find_course` gives it.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_STAGE)
        clicks, assessments = (folder / f"{name}.parquet" for name in ("clicks", "assessments"))
        copy_batches(cursor, "course_site", ["site", "kind"], [_sites(folder / "sites.parquet")])
        columns = ["user_id", "site", "day", "clicks"]
        copy_batches(cursor, "course_click", columns, _clicks(clicks), advance)
        columns = ["user_id", "assessment", "day", "score"]
        copy_batches(cursor, "course_exam", columns, _exams(assessments), advance)
        for statement in _FILL:
            cursor.execute(statement, {"start": COURSE_START, "pass_score": PASS_SCORE})
        cursor.execute("SELECT max(day) FROM (TABLE course_day) AS days")
        row = cursor.fetchone()
        cursor.execute("DROP TABLE course_site, course_click, course_exam, course_day")
    students = tuple(_students(folder))
    names = sorted({one.user_id.rpartition("-")[0] for one in students})
    return Course(", ".join(names), COURSE_START, (row and row[0]) or 0, students, False)


def copy_batches(
    cursor: psycopg.Cursor[Any],
    table: str,
    columns: Sequence[str],
    batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch],
    advance: Advance = lambda _num: None,
) -> None:
    """Stream batches into a table; the names are ours, and never come from outside."""
    options = csv.WriteOptions(include_header=False)
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)") as copy:
        for batch in batches:
            text = io.BytesIO()
            csv.write_csv(batch.select(list(columns)), text, options)
            copy.write(text.getbuffer())
            advance(batch.num_rows)


_STAGE = """
CREATE TEMP TABLE course_site (site bigint, kind text);
CREATE TEMP TABLE course_click (user_id text, site bigint, day integer, clicks bigint);
CREATE TEMP TABLE course_exam (user_id text, assessment bigint, day integer, score numeric);
"""

# Statements with parameters are sent one by one.
_FILL = (
    """
    CREATE TEMP TABLE course_day AS
    SELECT click.user_id, COALESCE(site.kind, 'page') AS kind, click.day,
           sum(click.clicks)::integer AS clicks
    FROM course_click AS click LEFT JOIN course_site AS site USING (site)
    GROUP BY 1, 2, 3
    """,
    """
    INSERT INTO features_topic_daily (user_id, topic_id, date, attempts, last_seen_at, computed_at)
    SELECT user_id, kind, (at AT TIME ZONE 'UTC')::date, clicks, at, at
    FROM (SELECT *, %(start)s::timestamptz + make_interval(days => day, hours => 12) AS at
          FROM course_day) AS days
    """,
    """
    INSERT INTO session (id, user_id, started_at, ended_at, status, created_at)
    SELECT user_id || '/day/' || day, user_id, at, at, 'ended', at
    FROM (SELECT DISTINCT user_id, day,
                 %(start)s::timestamptz + make_interval(days => day, hours => 12) AS at
          FROM course_day) AS days
    """,
    """
    INSERT INTO exam_results (id, session_id, user_id, result_json, score_raw, score_scaled,
                              created_at, updated_at)
    SELECT md5(user_id || '/assessment/' || assessment)::uuid,
           user_id || '/assessment/' || assessment, user_id,
           jsonb_build_object('questions', jsonb_build_array(jsonb_build_object(
               'question_id', assessment, 'is_correct', COALESCE(score >= %(pass_score)s, FALSE)))),
           score, score, at, at
    FROM (SELECT *, %(start)s::timestamptz + make_interval(days => day, hours => 12) AS at
          FROM course_exam) AS exams
    """,
)


def _user_ids(batch: pa.RecordBatch | pa.Table) -> Any:
    parts = [batch[name].cast(pa.string()) for name in _COURSE_KEY]
    return pc.binary_join_element_wise(*parts, "-")


def _whole_numbers(column: Any) -> Any:
    """Texts as whole numbers; a question mark is unknown."""
    texts = column.cast(pa.string())
    return pc.if_else(pc.equal(texts, _UNKNOWN), None, texts).cast(pa.int64())


def _sites(file: Path) -> pa.RecordBatch:
    table = parquet.read_table(file, columns=["id_site", "activity_type"])
    (batch,) = table.rename_columns(["site", "kind"]).combine_chunks().to_batches() or [None]
    return batch


def _clicks(file: Path) -> Iterator[pa.RecordBatch]:
    columns = [*_COURSE_KEY, "id_site", "date", "sum_click"]
    for batch in parquet.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns):
        yield pa.RecordBatch.from_arrays(
            [_user_ids(batch), batch["id_site"], batch["date"], batch["sum_click"]],
            names=["user_id", "site", "day", "clicks"],
        )


def _exams(file: Path) -> Iterator[pa.RecordBatch]:
    columns = [*_COURSE_KEY, "id_assessment", "date_submitted", "score"]
    for batch in parquet.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns):
        score = batch["score"].cast(pa.string())
        yield pa.RecordBatch.from_arrays(
            [
                _user_ids(batch),
                batch["id_assessment"],
                batch["date_submitted"],
                pc.if_else(pc.equal(score, _UNKNOWN), None, score),
            ],
            names=["user_id", "assessment", "day", "score"],
        )


def _students(folder: Path) -> Iterator[Student]:
    columns = [*_COURSE_KEY, "date_registration", "date_unregistration"]
    registered = parquet.read_table(folder / "registrations.parquet", columns=columns)
    columns = [*_COURSE_KEY, "final_result"]
    known = parquet.read_table(folder / "students.parquet", columns=columns)
    results = dict(
        zip(_user_ids(known).to_pylist(), known["final_result"].to_pylist(), strict=True)
    )
    for user_id, joined_on, left_on in zip(
        _user_ids(registered).to_pylist(),
        _whole_numbers(registered["date_registration"]).to_pylist(),
        _whole_numbers(registered["date_unregistration"]).to_pylist(),
        strict=True,
    ):
        result = results.get(user_id)
        is_passed = None if result in (None, _UNKNOWN) else result in PASSED
        yield Student(user_id, joined_on, left_on, is_passed)
