"""``ebbtide limits``: what breaks first, readable without the API at hand."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from command import Command

from ebbtide.app.main import connect
from ebbtide.domain.time import format_instant


def test_nothing_sampled_says_how_to_begin(ebbtide: Command) -> None:
    assert "Nothing was sampled yet" in ebbtide("limits")


def test_after_the_job_every_resource_has_a_row(ebbtide: Command) -> None:
    ebbtide("jobs", "run", "sample-resources")
    shown = ebbtide("limits")
    for word in ("limit reached in", "disk", "event_store", "too few samples yet", "GB"):
        assert word in shown
    body = json.loads(ebbtide("limits", "--json"))
    assert {one["resource"] for one in body["resources"]} == {"disk", "event_store", "state_store"}


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_each_outlook_is_plain(ebbtide: Command) -> None:
    """A line that grows, one that stands still, one that is full, one without a limit."""
    now = datetime.now(UTC)
    lines = {"growing": (50, 0.1, 100), "calm": (50, 0, 100), "full": (99, 0.01, 100)}
    endless = {"endless": (50, 0.1, None)}
    gauges = [
        {
            "resource": name,
            "used": start + step * n,
            "limit": limit,
            "at": format_instant(now - timedelta(hours=200 - n)),
        }
        for name, (start, step, limit) in (lines | endless).items()
        for n in range(200)
    ]
    with connect() as door:
        door.post("/v1/gauges", {"gauges": gauges})
    shown = {row.split()[0]: row for row in ebbtide("limits").splitlines() if row.strip()}
    assert re.search(r"growing +69\.\d % +69\.9 +100 +2\.\d+ +1\d days \(\d+ to \d+\) +growing$",
                     shown["growing"].rstrip())  # fmt: skip
    assert shown["calm"].rstrip().endswith("not growing")
    assert shown["full"].rstrip().endswith("  limit reached")
    assert shown["endless"].rstrip().endswith("no limit known")
    assert "In parentheses: where the day lies 4 times in 5" in shown["In"]
