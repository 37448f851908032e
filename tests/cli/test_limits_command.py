"""``ebbtide limits``: what breaks first, readable without the API at hand."""

from __future__ import annotations

import json

from command import Command


def test_nothing_sampled_says_how_to_begin(ebbtide: Command) -> None:
    assert "Nothing was sampled yet" in ebbtide("limits")


def test_after_the_job_every_resource_has_a_row(ebbtide: Command) -> None:
    ebbtide("jobs", "run", "sample-resources")
    shown = ebbtide("limits")
    for word in ("days to limit", "disk", "event_store", "state_store", "insufficient_data", "GB"):
        assert word in shown
    body = json.loads(ebbtide("limits", "--json"))
    assert {one["resource"] for one in body["resources"]} == {"disk", "event_store", "state_store"}
