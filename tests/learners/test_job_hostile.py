"""One absurd row, name or address stops nobody else, and no secret is repeated."""

from __future__ import annotations

import random
import string
from dataclasses import replace

import psycopg
import pytest

from ebbtide.domain.errors import JobFailed, SettingsError
from ebbtide.learners import job
from ebbtide.learners.database import connect
from ebbtide.learners.schema import ABILITY_TABLE
from ebbtide.learners.settings import read_learner_settings
from ebbtide.learners.sources import load_sources
from learner_tables import Learners, ago

LONG_AGO = "0044-03-15 BC"


def four(learners: Learners) -> None:
    for name, score in (("ada", 3), ("ada", 4), ("bob", 5), ("cid", 6)):
        learners.exam(name, ago(20), score=score)


def test_an_id_too_long_for_the_index_is_one_user_that_failed(learners: Learners) -> None:
    four(learners)
    chance = random.Random(1)  # what repeats would be compressed, and fit
    learners.exam("".join(chance.choices(string.ascii_letters, k=10_000)), ago(20))
    report = learners.run()
    assert (report.processed, report.failed, report.exit_code) == (3, 1, 2)
    assert set(learners.stored()) == {"ada", "bob", "cid"}


@pytest.mark.parametrize("tiny", ["1e-200", "-1e-320", "1e-400"])
def test_a_number_too_small_for_its_square_is_zero(learners: Learners, tiny: str) -> None:
    four(learners)
    learners.execute(f"UPDATE exam_results SET score_scaled = {tiny} WHERE user_id = 'bob'")
    learners.execute("ALTER TABLE interest_goal ALTER target_level TYPE numeric")
    learners.execute(f"INSERT INTO interest_goal VALUES ('cid', 't', {tiny}, 1)")
    found = {name: one.p for name, one in learners.scores().items()}
    learners.execute("UPDATE exam_results SET score_scaled = 0 WHERE user_id = 'bob'")
    learners.execute("UPDATE interest_goal SET target_level = 0")
    assert found == {name: one.p for name, one in learners.scores().items()}
    assert None not in found.values()


@pytest.mark.parametrize("kind", ["double precision", "numeric"])
def test_an_estimate_next_to_zero_is_zero(learners: Learners, kind: str) -> None:
    four(learners)
    learners.execute(ABILITY_TABLE)
    learners.execute(f"ALTER TABLE ability_estimates ALTER mean TYPE {kind}, ALTER sd TYPE {kind}")
    learners.execute(
        "INSERT INTO ability_estimates VALUES ('ada', 1e-200, 1, '2026-01-01'),"
        " ('bob', -1e-90, 1e90, '2026-01-01'), ('cid', 1, 1e-200, '2026-01-01')"
    )
    found = {name: one.p for name, one in learners.scores().items()}
    assert found == {"ada": 0.5, "bob": 0.5, "cid": None}


@pytest.mark.parametrize("priority", [-32768, 32767])
def test_the_outermost_priorities(learners: Learners, priority: int) -> None:
    four(learners)
    learners.goal("ada", 1.0, priority)
    assert learners.run().failed == (priority < 0)


def test_moments_outside_of_python_s_calendar(learners: Learners) -> None:
    four(learners)
    learners.execute(
        "INSERT INTO exam_results (session_id, user_id, created_at, updated_at) VALUES"
        f" ('1', 'brutus', '{LONG_AGO}', '{LONG_AGO}'), ('2', 'eve', '{LONG_AGO}', 'infinity'),"
        " ('3', 'nobody', '-infinity', 'infinity')"
    )
    report = learners.run(settings=read_learner_settings(debug=True))
    assert report.exit_code == 0 and report.processed == 5
    scores = {one.user_id: one for one in report.scores()}
    assert scores["brutus"].s == scores["eve"].s == 1.0
    assert scores["brutus"].last_active_at.year == 1
    assert any("user=eve" in line for line in learners.said)


def test_a_date_beyond_every_timestamp_has_not_come(learners: Learners) -> None:
    learners.execute(
        "ALTER TABLE session ALTER started_at TYPE date USING NULL, ALTER ended_at TYPE date"
        " USING NULL"
    )
    learners.execute(
        "INSERT INTO session (id, user_id, started_at, ended_at) VALUES"
        " ('1', 'ada', '2026-02-10', '5000000-01-01'), ('2', 'bob', '5000000-01-01', NULL)"
    )
    assert {name: one.silent_days for name, one in learners.scores().items()} == {"ada": 30}


def test_names_that_look_like_sql_are_names(learners: Learners) -> None:
    four(learners)
    table, person, at = 'x"; DROP TABLE weekly_kpi;--', 'u"%s', "%(as_of)s) --"
    quoted = [f'"{one}"' for one in (table.replace('"', '""'), person.replace('"', '""'), at)]
    learners.connection.execute(
        "CREATE TABLE {} ({} text, {} timestamptz)".format(*quoted).encode()
    )
    learners.connection.execute(f"INSERT INTO {quoted[0]} VALUES ('eve', '2026-01-01')".encode())
    learners.execute('ALTER TABLE exam_results RENAME score_scaled TO "score%"')
    sources = load_sources()
    odd = replace(sources.activities[0], name="odd", table=table, person=person, moment=(at,))
    sources = replace(
        sources,
        activities=(*sources.activities, odd),
        exams=replace(sources.exams, score=("score%",)),
    )
    scores = learners.scores(sources=sources)
    assert set(scores) == {"ada", "bob", "cid", "eve"}
    assert scores["ada"].p is not None and "eve" in learners.stored()


def test_a_table_that_is_locked_stops_the_run_instead_of_each_user(
    learners: Learners, learners_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        learners.exam(f"user-{n}", ago(20))
    monkeypatch.setattr(job, "LOCK_TIMEOUT", "10ms")
    monkeypatch.setattr(job, "LOCK_TIMEOUTS_MAX", 12)
    with psycopg.connect(learners_url) as other:
        other.execute("LOCK TABLE weekly_kpi IN SHARE MODE")
        with pytest.raises(JobFailed, match="lock timeout"):
            learners.run()
        assert learners.stored() == {}
    assert learners.run().processed == 40


@pytest.mark.parametrize("password", ["top@secret", "top/secret", "a:top/secret@"])
def test_a_password_that_breaks_the_address_is_not_repeated(password: str) -> None:
    url = f"postgresql://127.0.0.1:{password}@127.0.0.1:1/db"
    with pytest.raises(SettingsError, match="%40") as caught:
        connect(read_learner_settings(database_url=url))
    assert "top" not in str(caught.value) and "secret" not in str(caught.value)
