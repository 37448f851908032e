"""A real course comes into the tables whole, and a simulated class says that it is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ebbtide.domain.errors import NotFound, SettingsError
from ebbtide.learners.course import COURSE_START, find_course, load_course, num_rows
from ebbtide.learners.simulated_class import fill_class
from ebbtide.learners.tables import MARK, make_demo_tables, tables_aside
from learner_tables import Learners
from small_course import STUDENTS, write_course

NOON = timedelta(hours=12)


def test_every_day_and_every_assessment_comes_in(learners: Learners, tmp_path: Path) -> None:
    folder = write_course(tmp_path)
    seen: list[int] = []
    course = load_course(learners.connection, folder, seen.append)
    assert sum(seen) == num_rows(folder)
    assert (course.name, course.last_day, course.is_simulated) == ("ZZZ-2020J", 59, False)
    assert {one.user_id: one.left_on for one in course.students} == {
        f"ZZZ-2020J-{one}": None if told[1] == "?" else int(told[1])
        for one, told in STUDENTS.items()
    }
    passed = {one.user_id[-1] for one in course.students if one.is_passed}
    assert passed == {"2", "6"}
    assert [one.joined_on for one in course.students][2] is None

    num_days = sum(len(told[3]) for told in STUDENTS.values())
    assert learners.connection.execute("SELECT count(*) FROM session").fetchone() == (num_days,)
    rows = learners.connection.execute(
        "SELECT topic_id, attempts, last_seen_at FROM features_topic_daily "
        "WHERE user_id = 'ZZZ-2020J-1' AND date = '2013-10-04' ORDER BY topic_id"
    ).fetchall()
    at = COURSE_START - timedelta(days=3) + NOON
    # Clicks of one kind of page add up; a page that is in no list is a page all the same.
    assert rows == [("forum", 4, at), ("page", 5, at), ("quiz", 3 + 6, at)]
    rows = learners.connection.execute(
        "SELECT session_id, score_scaled, updated_at FROM exam_results "
        "WHERE user_id = 'ZZZ-2020J-6' ORDER BY 1"
    ).fetchall()
    assert [(row[0].rpartition("/")[2], row[1]) for row in rows] == [
        ("100", None), ("101", 95), ("102", 99),
    ]  # fmt: skip
    assert rows[1][2] == COURSE_START + timedelta(days=31) + NOON
    correct = learners.connection.execute(
        "SELECT bool_and(correct) FROM attempt WHERE student_id = md5('ZZZ-2020J-3')::uuid"
    ).fetchone()
    assert correct == (False,)


def test_a_folder_without_a_course_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"students\.parquet"):
        find_course(tmp_path)
    folder = write_course(tmp_path)
    assert find_course(tmp_path) == find_course(folder) == folder


def test_a_simulated_class_is_the_same_every_time_and_says_what_it_is(learners: Learners) -> None:
    def rows() -> list[object]:
        return learners.connection.execute(
            "SELECT id, started_at, ended_at FROM session ORDER BY id"
        ).fetchall()

    def fill(seed: int) -> object:
        learners.connection.execute(
            "TRUNCATE session, exam_results, features_topic_daily, interest_goal"
        )
        return fill_class(learners.connection, seed=seed, num_learners=12, num_days=20)

    course = fill(7)
    first = rows()
    assert len(first) > 40
    assert fill(7) == course
    assert rows() == first
    assert fill(8) != course
    assert course.is_simulated  # type: ignore[attr-defined]
    users = learners.connection.execute("SELECT DISTINCT user_id FROM session").fetchall()
    assert all(user.startswith("simulated-") for (user,) in users)


def test_the_demo_takes_no_table_that_is_somebodys(bare: Learners) -> None:
    con = bare.connection
    make_demo_tables(con, "it's a test")
    con.execute("INSERT INTO weekly_kpi (user_id, week_start) VALUES ('a', '2026-03-09')")
    make_demo_tables(con, "again")  # its own it makes anew
    assert con.execute("SELECT count(*) FROM weekly_kpi").fetchone() == (0,)
    comment = con.execute("SELECT obj_description('weekly_kpi'::regclass)").fetchone()
    assert comment == (f"{MARK}: again",)
    con.execute("INSERT INTO weekly_kpi (user_id, week_start) VALUES ('a', '2026-03-09')")
    con.execute("CREATE TABLE invoices (n integer)")
    with pytest.raises(SettingsError, match="invoices"):
        make_demo_tables(con, "third")
    assert con.execute("SELECT count(*) FROM weekly_kpi").fetchone() == (1,)


def test_tables_aside_leave_nothing_and_touch_nothing(learners: Learners) -> None:
    learners.exam("ada", datetime(2026, 3, 1, tzinfo=UTC))
    con = learners.connection
    with pytest.raises(RuntimeError), tables_aside(con):
        assert con.execute("SELECT count(*) FROM exam_results").fetchone() == (0,)
        con.execute("INSERT INTO exam_results (session_id, user_id) VALUES ('s', 'u')")
        raise RuntimeError
    assert con.execute("SELECT user_id FROM exam_results").fetchall() == [("ada",)]
    schemas = con.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ebbtide%'")
    assert schemas.fetchall() == []
