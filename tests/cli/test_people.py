"""``today``, ``why`` and ``customers``: what people see, at 80 columns, with and without colour."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command import Command

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ebbtide.domain.time import format_instant

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def ago(days: float) -> str:
    return format_instant(NOW - days * DAY - timedelta(minutes=5))


def send(ebbtide: Command, *events: dict[str, Any]) -> None:

    lines = "\n".join(
        json.dumps({"event_id": f"e-{n}", "source": "test"} | one) for n, one in enumerate(events)
    )
    path = ebbtide.folder.parent / "events.jsonl"
    path.write_text(lines, encoding="utf-8")
    ebbtide("import", str(path))


def story() -> list[dict[str, Any]]:
    """A silent customer with a strange name, and a steady one."""
    events: list[dict[str, Any]] = []
    for tenant in ("acme [red]\x1b[31m", "steady"):
        for day in range(40):
            events.append(
                {"tenant_id": tenant, "event_type": "API_CALL_RECEIVED", "timestamp": ago(day)}
            )
            if tenant == "steady" or day >= 10:
                events.append(
                    {"tenant_id": tenant, "event_type": "INCIDENT_VIEWED", "timestamp": ago(day)}
                )
    return events


def run_jobs(ebbtide: Command) -> None:
    ebbtide("jobs", "run", "compute-stickiness", "detect-silent-churn", "evaluate-playbooks")


@pytest.fixture(scope="module")
def story_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a server to which the story was told, with the jobs run."""
    folder = tmp_path_factory.mktemp("story") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBBTIDE_DATA_DIR", str(folder))
        with House(Settings(data_dir=folder)) as house, serving_aside(house):
            ebbtide = Command(folder, "beside a server")
            send(ebbtide, *story())
            run_jobs(ebbtide)
            yield folder


@pytest.fixture
def told(story_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command beside that server, on a narrow terminal."""
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(story_folder))
    monkeypatch.setenv("COLUMNS", "80")
    return Command(story_folder, "beside a server")


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_a_customer_is_found_whatever_its_id(ebbtide: Command) -> None:
    names = ["at-risk", "x/explain", "..", "a?b"]
    send(
        ebbtide,
        *({"tenant_id": name, "event_type": "LOGIN", "timestamp": ago(1)} for name in names),
    )
    for name in names:
        found = ebbtide.json("why", name)
        assert (found["profile"]["tenant_id"], found["explanation"]["tenant_id"]) == (name, name)
        assert json.loads(ebbtide("tenants", "show", name))["tenant_id"] == name
        assert f"Erased {name}: 1" in ebbtide("tenants", "erase", name, "--yes")


def test_each_page_needs_no_server(ebbtide: Command) -> None:
    send(ebbtide, *story())
    run_jobs(ebbtide)
    assert "1 of 2 customers need you" in ebbtide("today")
    assert "Win back a silent customer" in ebbtide("why", "acme [red]\x1b[31m")
    assert "steady" in ebbtide("customers")


def test_without_events_every_page_says_so(ebbtide: Command) -> None:
    send(ebbtide)
    assert "No customers yet" in ebbtide("today")
    assert "No customers yet" in ebbtide("customers")


def test_today_says_who_why_and_what(told: Command) -> None:
    page = told("today")
    assert "1 of 2 customers need you: 1 high" in page
    assert "HIGH" in page and "acme [red]\\x1b[31m" in page
    assert "nobody has looked for 10 days" in " ".join(page.split())
    assert re.search(r"do +call today: .* #\d+", " ".join(page.split()))
    assert "rank for attention, not a probability" in " ".join(page.split())
    assert max(map(len, page.splitlines())) <= 80
    body = told.json("today")
    assert [one["tenant_id"] for one in body["items"]] == ["acme [red]\x1b[31m"]
    assert body["stored"] is True


def test_nobody_to_call_is_good_news(ebbtide: Command) -> None:
    send(ebbtide, *[one for one in story() if one["tenant_id"] == "steady"])
    assert "Nobody needs a call: 1 customers, none at risk." in ebbtide("today")
    assert "no job has run yet" in ebbtide("today")


def test_the_past_can_be_asked_for(told: Command) -> None:
    early = (NOW - 8 * DAY).date().isoformat()
    page = told("today", "--as-of", early)
    assert f"As of {early} 00:00 UTC" in page and "Nobody needs a call" in page
    assert told.json("today", "--as-of", early)["stored"] is False


def test_why_explains_a_number_of_the_business(told: Command) -> None:
    said = told("why", "--number", "pulse.active_tenants_24h")
    assert "pulse/2" in said and "pulse_counts.num_tenants" in said and "GET /ops/events" in said
    asked = ("why", "--number", "pulse.comparisons.current", "--of", "active_tenants")
    assert told.json(*asked)["of"] == ["active_tenants"]


def test_why_is_one_page(told: Command) -> None:
    page = " ".join(told("why", "acme [red]\x1b[31m").split())
    for text in (
        "HIGH 55 of 100",
        "40 points engagement dropped 100 %",
        "15 points disengaged for over a week",
        "Win back a silent customer (high)",
        "Nothing known of a subscription",
        "ratio 0",
        "Last 30 days",
        "INCIDENT_VIEWED",
        "stable",
        "What to do",
        "How risk_level came about high by risk_signal/1",
    ):
        assert text in page, text
    wide = told("why", "steady", "--metric", "stickiness_7d")
    *lines, address = wide.splitlines()
    assert max(map(len, lines)) <= 80
    assert address.startswith("7 events: GET /ops/events?")  # on one line, to be copied
    assert "nothing speaks for a risk" in " ".join(wide.split())
    both = told.json("why", "steady")
    assert both["profile"]["tenant_id"] == both["explanation"]["tenant_id"] == "steady"


def test_nothing_is_cut_on_a_narrow_terminal(told: Command) -> None:
    """What does not fit wraps: every word of the reasons and of the evidence is on the page."""
    whole = told.json("why", "acme [red]\x1b[31m", "--metric", "stickiness_delta")
    page = told("why", "acme [red]\x1b[31m", "--metric", "stickiness_delta")
    assert max(map(len, page.splitlines()[:-1])) <= 80 and "…" not in page
    parts = whole["explanation"]["inputs"]
    assert any(len(part["name"]) > 25 for part in parts)
    shown = re.sub(r"\s", "", page)
    for part in parts:
        for word in part["name"].split():
            assert word in shown
    assert "the first and the last are parts of a day" in " ".join(page.split())


def test_customers_are_listed_in_pages(told: Command) -> None:
    page = told("customers")
    assert "HIGH" in page and "silent" in page and "steady" in page
    first = told.json("customers", "--limit", "1")
    second = told.json("customers", "--limit", "1", "--cursor", first["next_cursor"])
    assert [one["items"][0]["tenant_id"] for one in (first, second)] == [
        "acme [red]\x1b[31m",
        "steady",
    ]
    assert "1 of 2; next: --cursor" in told("customers", "--limit", "1")
    assert told.json("customers", "--silent")["total"] == 1
    assert told.json("customers", "--level", "low,medium")["total"] == 1


@pytest.mark.parametrize("words", [["today"], ["why", "steady"], ["customers"]])
def test_colour_is_for_terminals_that_want_it(
    told: Command, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in told(*words)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = told(*words)
    assert "\x1b[" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = told(*words)
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7])m", plain)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["why", "nobody"], "Not found"),
        (["today", "--as-of", "2999-01-01"], "as_of lies in the future"),
        (["today", "--as-of", "soon"], "send a moment with its offset"),
        (["customers", "--sort", "name"], "sort is one of"),
        (["why", "steady", "--metric", "stickyness_7d"], "did you mean stickiness_7d?"),
    ],
)
def test_what_the_server_refuses_is_said(told: Command, words: list[str], said: str) -> None:
    result = told.run(*words)
    assert result.exit_code != 0 and said in str(result.exception)
