"""``ebbtide alerts`` and ``ebbtide brief``: what is wrong, who takes care, and the day in short."""

from __future__ import annotations

import pytest
from command import Command

from ebbtide.app.main import connect

pytestmark = pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)


def test_a_house_where_nothing_comes_in_says_so_is_taken_on_and_snoozed(ebbtide: Command) -> None:
    assert "Nothing is wrong" in ebbtide("alerts", "list")
    ebbtide("jobs", "run", "send-alerts")
    (one,) = ebbtide.json("alerts", "list")["items"]
    assert (one["rule"], one["status"]) == ("pulse:state", "no_data")
    shown = ebbtide("alerts", "list")
    assert "NO DATA  The pulse" in shown and one["alert_id"] in shown
    assert "Taken on: The pulse" in ebbtide("alerts", "ack", one["alert_id"], "--note", "mine")
    assert "Quiet until" in ebbtide("alerts", "snooze", one["alert_id"], "--hours", "1")
    shown = ebbtide("alerts", "list")
    assert "taken on by key" in shown and ": mine" in shown and "quiet until" in shown
    assert "Told again" in ebbtide("alerts", "snooze", one["alert_id"], "--hours", "0")


def test_a_channel_that_does_not_work_is_shown_for_what_it_is(
    ebbtide: Command,
) -> None:
    body = {"name": "us", "kind": "email", "recipients": ["a@b.example"]}
    with connect() as door:
        door.post("/ops/channels", body)
    assert "lacks a setting" in ebbtide("alerts", "channels")
    failed = ebbtide.run("alerts", "test", "us")
    assert "the test did not arrive: no_mail_server" in str(failed.exception)
    assert "there are: us" in str(ebbtide.run("alerts", "test", "nobody").exception)
    (row,) = ebbtide.json("alerts", "deliveries")["items"]
    assert (row["matter"], row["status"], row["reason"]) == ("test", "pending", "no_mail_server")
    assert "no_mail_server" in ebbtide("alerts", "deliveries")


def test_the_brief_has_its_four_parts(ebbtide: Command) -> None:
    shown = ebbtide("brief")
    assert shown.startswith("UNKNOWN as of ")
    for part in ("What changed", "Who to call", "What breaks first"):
        assert part in shown
    assert len(shown.splitlines()) <= 20
    moment = "2026-03-12T06:00:00Z"
    assert ebbtide("brief", "--as-of", moment) == ebbtide("brief", "--as-of", moment)
    assert ebbtide.json("brief")["system_state"] == "UNKNOWN"
