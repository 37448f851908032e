"""The loader of metrics takes good definitions and refuses bad ones with file and reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.metric import load_metrics, read_metric
from ebbtide.domain.errors import CatalogError

EVENT_TYPES = load_catalog().event_types
GOOD = """\
/*---
name     = "logins"
title    = "Logins"
question = "Who comes back?"
status   = "experimental"
unit     = "events"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "30d"
windows  = ["48h", "7d"]
inputs   = ["LOGIN"]
null     = "no row: no login"
source   = "ours"
owner    = "us"

[columns]
tenant_id = "the tenant"
num_7d    = "logins in 7 days"

[weights]
login = 0.3

[values.login_score]
title   = "Weighted logins"
unit    = "points"
formula = "login/1"
null    = "never"
---*/
SELECT tenant_id,  -- now() in a comment is only a word
       SUM(CASE WHEN event_type = 'LOGIN' AND last_at > :start_7d THEN num ELSE 0 END) AS num_7d,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
"""


def refusal(text: str, file_name: str = "logins.sql") -> str:
    """What the loader says about a bad definition."""
    with pytest.raises(CatalogError) as error:
        read_metric(text, file_name, EVENT_TYPES)
    return str(error.value)


def test_a_good_definition_is_read() -> None:
    metric = read_metric(GOOD, "logins.sql", EVENT_TYPES)
    assert metric.window == timedelta(days=30)
    assert dict(metric.windows) == {"48h": timedelta(days=2), "7d": timedelta(days=7)}
    assert metric.inputs == ("LOGIN",)
    assert list(metric.columns) == ["tenant_id", "num_7d"]
    assert dict(metric.weights) == {"login": Decimal("0.3")}
    assert metric.values["login_score"].formula == "login/1"
    assert metric.differs is None
    assert metric.sql.startswith("SELECT tenant_id")
    assert len(metric.definition_hash) == 64


def test_any_change_of_the_file_changes_its_hash() -> None:
    one = read_metric(GOOD, "logins.sql", EVENT_TYPES)
    other = read_metric(GOOD.replace("only a word", "a word"), "logins.sql", EVENT_TYPES)
    assert one.definition_hash != other.definition_hash


def test_all_means_all_of_history_and_all_types() -> None:
    text = GOOD.replace('"30d"', '"all"').replace('["LOGIN"]', '["all"]')
    metric = read_metric(text, "logins.sql", EVENT_TYPES)
    assert metric.window is None and metric.inputs is None


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "title",
        "question",
        "status",
        "unit",
        "grain",
        "relation",
        "window",
        "inputs",
        "null",
        "source",
        "owner",
    ],
)
def test_every_key_of_the_header_is_needed(key: str) -> None:
    header, mark, rest = GOOD.partition("[columns]")
    lines = [line for line in header.splitlines(True) if not line.startswith(f"{key} ")]
    assert refusal("".join(lines) + mark + rest) == f"logins.sql: {key}: missing"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/*---", "/*--", "must open with a header"),
        ('name     = "logins"', 'name     = "login"', "belongs into a file login.sql"),
        ('title    = "Logins"', 'titulus = "x"\ntitle = "y"', "titulus: unknown key"),
        ('title    = "Logins"', "title = ", "not TOML"),
        ('"experimental"', '"draft"', "status: 'draft' is not one of"),
        ('"event_counts"', '"event_rollup"', "relation: 'event_rollup' is not one of"),
        ('"event_counts"', '"events"', "the text does not name events"),
        ('window   = "30d"', 'window   = "a month"', "window: 'a month' is no length"),
        ('"48h"', '"40d"', "windows: 40d reaches further back"),
        ('inputs   = ["LOGIN"]', 'inputs   = ["LOGINS"]', "unknown event type LOGINS"),
        ('inputs   = ["LOGIN"]', 'inputs   = ["REPLAY_FAILED"]', "LOGIN is not among the inputs"),
        ("'LOGIN'", "'INVESTIGATION_NO_ACTION'", "unknown event type INVESTIGATION_NO_ACTION"),
        ('grain    = ["tenant_id"]', 'grain    = ["tenant"]', "grain: tenant is not among"),
        ('num_7d    = "', 'freshness = "', "freshness is taken off"),
        ("login = 0.3", "login = inf", "weights.login: must be"),
        ('formula = "login/1"', "", "values.login_score.formula: missing"),
        (":start_7d", ":start_9d", ":start_9d is not one of as_of, start_48h, start_7d"),
    ],
)
def test_a_bad_definition_is_refused_with_file_and_key(old: str, new: str, said: str) -> None:
    assert old in GOOD
    message = refusal(GOOD.replace(old, new))
    assert message.startswith("logins.sql: ")
    assert said in message


@pytest.mark.parametrize(
    "expression",
    [
        "now()",
        "CURRENT_TIMESTAMP",
        "current_date",
        "today()",
        "num * 0.3",
        "num * .5",
        "num * 1e3",
        "num::numeric",
        "CAST(num AS int)",
        "COUNT(*) FILTER (WHERE num > 0)",
        "ROUND(num)",
        "AVG(num)",
        "last_at - INTERVAL 7 DAY",
        "date_trunc('hour', last_at)",
        "EXTRACT(hour FROM last_at)",
        "json_extract(metadata, 'x')",
        "metadata->'x'",
        "(SELECT * FROM events)",
        "(SELECT SUM(num) FROM event_rollup)",
        "1; DROP TABLE events",
    ],
)
def test_a_text_that_is_not_portable_is_refused(expression: str) -> None:
    message = refusal(GOOD.replace("SUM(CASE WHEN event_type = 'LOGIN'", expression, 1))
    assert message.startswith("logins.sql: SQL: ")


def test_a_folder_of_metrics_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "logins.sql").write_text(GOOD, "utf-8")
    (tmp_path / "early.sql").write_text(GOOD.replace('"logins"', '"early"'), "utf-8")
    (tmp_path / "notes.txt").write_text("not read", "utf-8")
    assert list(load_metrics(EVENT_TYPES, tmp_path)) == ["early", "logins"]
    (tmp_path / "bad.sql").write_bytes(b"/*---\n\xff")
    with pytest.raises(CatalogError, match="bad.sql: not UTF-8"):
        load_metrics(EVENT_TYPES, tmp_path)


def test_weights_have_one_home_each() -> None:
    """The numbers of the formulas, as they are published."""
    metrics = load_catalog().metrics
    assert dict(metrics["stickiness"].weights) == {
        "view": Decimal("0.2"),
        "replay": Decimal("0.3"),
        "export": Decimal("0.5"),
    }
    assert dict(metrics["friction_counts"].weights) == {
        "REPLAY_ABORTED": 2,
        "EXPORT_ABORTED": Decimal("1.5"),
        "POLICY_BLOCK_REPEAT": 3,
        "SESSION_IDLE_TIMEOUT": 1,
    }
    assert set(metrics["friction_events"].weights) == set(metrics["friction_events"].inputs or ())
    assert set(metrics["friction_counts"].weights) == set(metrics["friction_counts"].inputs or ())
