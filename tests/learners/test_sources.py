"""Activity tables are data: those that come along, and a file of the user's own over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.catalog.mapping import load_mappings
from ebbtide.domain.errors import CatalogError, SettingsError
from ebbtide.learners.settings import libpq_url, read_learner_settings
from ebbtide.learners.sources import load_sources
from learner_tables import Learners, ago

LESSONS = """
[[activity]]
name   = "lessons"
table  = "school.Lesson"
person = "Pupil Id"
moment = ["left_at", "came_at"]
"""


def own(tmp_path: Path, text: str) -> Path:
    """A file of the user's own."""
    path = tmp_path / "learners.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_four_sources_come_along() -> None:
    assert list(load_sources().by_name) == [
        "exam_results",
        "features_topic_daily",
        "attempt",
        "session",
    ]


def test_a_table_of_one_s_own_counts_without_code(learners: Learners, tmp_path: Path) -> None:
    learners.execute("CREATE SCHEMA school")
    try:
        learners.execute(
            'CREATE TABLE school."Lesson" ("Pupil Id" text, came_at timestamp, left_at timestamptz)'
        )
        for name in ("ada", "bob"):
            learners.exam(name, ago(20))
        learners.execute("""INSERT INTO school."Lesson" VALUES ('ada', '2026-03-11', NULL)""")
        learners.execute("""INSERT INTO school."Lesson" VALUES ('cid', '2026-03-01', %s)""", ago(9))
        sources = load_sources(own(tmp_path, LESSONS))
        found = learners.scores(sources=sources)
        assert {name: one.silent_days for name, one in found.items()} == {"bob": 20, "cid": 9}
    finally:
        learners.execute("DROP SCHEMA school CASCADE")


def test_a_source_is_replaced_by_its_name_and_left_out_on_request(
    learners: Learners, tmp_path: Path
) -> None:
    """When last_seen_at is the time of a job, one leaves that table out."""
    learners.exam("ada", ago(20), created=ago(30))
    learners.features("ada", ago(1))
    text = """
without = ["features_topic_daily", "session"]
[[activity]]
name = "exam_results"
table = "exam_results"
person = "user_id"
moment = ["created_at"]
"""
    sources = load_sources(own(tmp_path, text))
    assert list(sources.by_name) == ["exam_results", "attempt"]
    assert [one.silent_days for one in learners.run(sources=sources).scores()] == [30]


def test_estimates_may_have_other_names(learners: Learners, tmp_path: Path) -> None:
    learners.execute("CREATE TABLE mirt (who text, theta numeric, se real, version text)")
    learners.execute("INSERT INTO mirt VALUES ('ada', 1, 1, 'x')")
    learners.exam("ada", ago(9))
    text = """
[ability]
table = "mirt"
person = "who"
mean = "theta"
sd = "se"
moment = ["fitted_at"]
"""
    (found,) = learners.run(sources=load_sources(own(tmp_path, text))).scores()
    assert found.p == pytest.approx(0.841345, abs=5e-7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[activity]]\nname = 'x'", "learners.toml: activity[1].table: missing"),
        (LESSONS + "colour = 'red'", "activity[1].colour: unknown key"),
        (LESSONS.replace('["left_at", "came_at"]', '"left_at"'), "moment: must be a list"),
        (LESSONS.replace("school.Lesson", "a.b.c"), "'a.b.c' is neither a table nor schema.table"),
        (LESSONS + LESSONS, "'lessons' is already in this file"),
        (LESSONS + "covered_by = 'lessons'", "'lessons' is covered by itself"),
        ("without = ['sesion']", "there is no activity 'sesion'"),
        (
            "without = ['session', 'attempt', 'exam_results', 'features_topic_daily']",
            "leaves no activity at all",
        ),
        ("[exam]", "exam: unknown key"),
        ("= 1", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load_sources(own(tmp_path, text))
    assert complaint in str(caught.value) and "learners.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="nowhere.toml: No such file"):
        load_sources(tmp_path / "nowhere.toml")


def test_the_file_may_lie_among_the_mappings(tmp_path: Path) -> None:
    own(tmp_path, LESSONS)
    assert "lessons" not in load_mappings(tmp_path)


# -- settings --------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_documents() -> None:
    settings = read_learner_settings()
    assert settings.model_dump(exclude={"database_url", "learner_sources"}) == {
        "inactivity_threshold_days": 7,
        "kpi_lookback_days": 30,
        "metrics_default_target": 0.0,
        "metrics_use_bayesian": False,
        "metrics_churn_horizon_days": 14,
        "debug": False,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INACTIVITY_THRESHOLD_DAYS", "-1"),
        ("INACTIVITY_THRESHOLD_DAYS", "seven"),
        ("METRICS_CHURN_HORIZON_DAYS", "0"),
        ("METRICS_DEFAULT_TARGET", "nan"),
        ("METRICS_USE_BAYESIAN", "perhaps"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        read_learner_settings()


def test_variables_are_read_and_empty_ones_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INACTIVITY_THRESHOLD_DAYS", "14")
    monkeypatch.setenv("METRICS_USE_BAYESIAN", "true")
    monkeypatch.setenv("DEBUG", "")
    settings = read_learner_settings()
    assert (settings.inactivity_threshold_days, settings.metrics_use_bayesian) == (14, True)
    assert read_learner_settings(inactivity_threshold_days=0).inactivity_threshold_days == 0


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgresql+psycopg2", "postgres", "postgresql+psycopg"]
)
def test_either_form_of_address_is_read(scheme: str) -> None:
    rest = "app:geheim%40@db.example:5433/dreams?sslmode=require"
    assert libpq_url(read_learner_settings(database_url=f"{scheme}://{rest}")) == (
        f"postgresql://{rest}"
    )


@pytest.mark.parametrize("url", ["mysql://db/x", "sqlite:///x", "db.example", None])
def test_another_address_is_refused_without_repeating_it(url: str | None) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as caught:
        libpq_url(read_learner_settings(database_url=url))
    assert url is None or url not in str(caught.value)
