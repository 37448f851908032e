"""``interventions``, and how ``today`` follows what was answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from command import Command

from ebbtide.app.main import connect
from ebbtide.domain.time import format_instant

NOW = datetime.now(UTC).replace(microsecond=0)
TENANT = "tarnbeck-systems"
BESIDE = pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)


def tell(ebbtide: Command, *, days_ago: float) -> None:
    """Forty days of a customer that goes on calling and stopped to look, up to so long ago."""
    rows = []
    for day in range(40):
        at = format_instant(NOW - timedelta(days=day + days_ago, minutes=5))
        for kind in ("API_CALL_RECEIVED", *(["INCIDENT_VIEWED"] if day >= 10 else [])):
            rows.append(
                {"event_id": f"{kind}-{day}", "tenant_id": TENANT, "event_type": kind,
                 "timestamp": at, "source": "test"}
            )  # fmt: skip
    path = ebbtide.folder.parent / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    ebbtide("import", str(path))
    ebbtide("jobs", "run", "compute-stickiness", "detect-silent-churn", "evaluate-playbooks")
    with connect() as door:
        contact = {"name": "Rosa [b]", "role": "owner", "email": "rosa@example.com"}
        door.put(f"/v1/tenants/{TENANT}", {"name": "Tarnbeck Systems", "contacts": [contact]})


def steps(ebbtide: Command) -> list[dict[str, object]]:
    (one,) = ebbtide.json("today")["items"]
    listed: list[dict[str, object]] = one["interventions"]
    return listed


@BESIDE
def test_steps_are_answered_and_today_goes_on_to_the_next(ebbtide: Command) -> None:
    tell(ebbtide, days_ago=0)
    first, *others = [str(step["intervention_id"]) for step in steps(ebbtide)]
    page = ebbtide("today")
    assert f"ebbtide interventions done {first}" in page
    assert "contact  Rosa [b], owner, rosa@example.com" in page
    assert "Rosa [b], owner, rosa@example.com" in ebbtide("why", TENANT)

    assert ebbtide("interventions", "accept", first) == f"#{first}, {TENANT}: accepted.\n"
    assert f"(taken on) #{first}" in ebbtide("today")
    said = ebbtide("interventions", "done", first, "--note", "spoke to Rosa")
    assert f"#{first}, {TENANT}: done, waiting for the outcome until 20" in said
    assert f"#{first}" not in ebbtide("today")
    assert f"#{others[0]}" in ebbtide("today")

    for other in others:
        dismissed = ebbtide("interventions", "dismiss", other, "--reason", "not_applicable")
        assert dismissed == f"#{other}, {TENANT}: dismissed, not applicable.\n"
    page = ebbtide("today")
    closes = str(steps(ebbtide)[0]["outcome_closes_at"])[:10]
    assert f"do       done, waiting for the outcome until {closes}" in page
    assert "ebbtide interventions done" not in page and "contact" not in page

    rows = ebbtide.json("interventions", "list")["items"]
    assert {str(row["intervention_id"]) for row in rows} == {first, *others}
    assert [row["note"] for row in rows if str(row["intervention_id"]) == first] == [
        "spoke to Rosa"
    ]
    still_open = ebbtide.json("interventions", "list", "--open")["items"]
    assert [str(row["intervention_id"]) for row in still_open] == [first]
    assert "dismissed, not applicable" in ebbtide("interventions", "list")
    assert ebbtide("interventions", "list", "--tenant", "nobody") == "No step matches.\n"

    assert ebbtide("interventions", "undo", first) == f"#{first}, {TENANT}: accepted.\n"
    assert f"(taken on) #{first}" in ebbtide("today")


@BESIDE
def test_a_wrong_answer_is_refused(ebbtide: Command) -> None:
    tell(ebbtide, days_ago=0)
    first = str(steps(ebbtide)[0]["intervention_id"])
    unknown = ebbtide.run("interventions", "done", "999999")
    assert unknown.exit_code == 1 and "no such intervention" in str(unknown.exception)
    assert ebbtide.run("interventions", "dismiss", first).exit_code == 2
    assert ebbtide.run("interventions", "dismiss", first, "--reason", "bored").exit_code == 2
    early = ebbtide.run("interventions", "done", first, "--at", "2026-01-01")
    assert early.exit_code == 1 and "between its suggestion and now" in str(early.exception)
    assert ebbtide.json("interventions", "list", "--open")["total"] == len(steps(ebbtide))


@BESIDE
def test_silence_of_everybody_is_told_before_the_levels(ebbtide: Command) -> None:
    tell(ebbtide, days_ago=2)
    newest = (NOW - timedelta(days=2, minutes=5)).strftime("%Y-%m-%d %H:%M UTC")
    for words in (["today"], ["customers"]):
        assert ebbtide(*words).startswith(f"No event since {newest}: these levels may say more")
    assert "No event since" in ebbtide("why", TENANT)
    then = format_instant(NOW - timedelta(days=2))
    assert "No event since" not in ebbtide("today", "--as-of", then)


@BESIDE
def test_an_empty_result_says_when_it_was_made_and_how_to_renew_it(ebbtide: Command) -> None:
    ebbtide("jobs", "run", "compute-stickiness")
    for words in (["today"], ["customers"]):
        page = " ".join(ebbtide(*words).split())
        assert f"No customers in the newest result, of {NOW:%Y}" in page
        assert "ebbtide jobs run compute-stickiness evaluate-playbooks" in page
    assert "No customers match." in ebbtide("customers", "--silent")
    assert "no event was known by 2020-01-01 00:00 UTC" in ebbtide("today", "--as-of", "2020-01-01")


@BESIDE
def test_a_customer_is_found_by_name_and_by_a_slip(ebbtide: Command) -> None:
    tell(ebbtide, days_ago=0)
    found = ebbtide.json("why", "tarnbeck SYSTEMS")
    assert found["profile"]["tenant_id"] == found["explanation"]["tenant_id"] == TENANT
    assert f"Tarnbeck Systems ({TENANT})" in ebbtide("customers")
    slip = ebbtide.run("why", "tarnbek-system")
    assert slip.exit_code == 1 and f"did you mean {TENANT}?" in str(slip.exception)
    stranger = ebbtide.run("why", "zzzz")
    assert stranger.exit_code == 1 and "did you mean" not in str(stranger.exception)


@BESIDE
def test_a_date_alone_is_a_moment_everywhere(ebbtide: Command) -> None:
    tell(ebbtide, days_ago=0)
    day = f"{NOW - timedelta(days=3):%Y-%m-%d}"
    moment = f"{day}T00:00:00Z"
    assert ebbtide.json("pulse", "--as-of", day)["as_of"] == moment
    assert ebbtide.json("limits", "--as-of", day)["as_of"] == moment
    newest = ebbtide.json("events", "--as-of", day, "--limit", "1")["events"]
    assert newest[0]["timestamp"] <= moment
    ebbtide("jobs", "run", "compute-stickiness", "--as-of", day)
    assert ebbtide.json("jobs", "runs", "--limit", "1")["runs"][0]["as_of"] == moment
    assert ebbtide.json("keys", "create", "x", "--expires", "2999-01-01")["expires_at"] == (
        "2999-01-01T00:00:00Z"
    )
    filled = ebbtide.json("backfill", "--from", day, "--to", day)["moments"]
    assert [one["as_of"] for one in filled] == [moment]
    head = ebbtide("today", "--known-at", f"{NOW:%Y-%m-%d}").splitlines()[0]
    assert f"as known at {NOW:%Y-%m-%d} 00:00 UTC" in head
