"""``ebbtide policies``: add a version, give it to a tenant, go back, take it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command

pytestmark = pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)

POLICY = """
id       = "NO_PROMISES"
version  = "v1"
title    = "No promises"
meaning  = "The answer promises something."
stages   = ["output"]
action   = "warn"
severity = 3
[[rules]]
name = "guarantee"
when = "output.contains('guarantee')"
says = "The answer promises something."
"""


def test_a_policy_from_its_text_to_going_back(ebbtide: Command, tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(POLICY)
    assert "Added: NO_PROMISES v1" in ebbtide("policies", "add", str(file))
    why = ("--tenant", "acme", "--reason", "a try", "--yes")
    given = ebbtide("policies", "assign", "NO_PROMISES", "v1", *why)
    assert "acme: NO_PROMISES v1, before default" in given
    made = ebbtide.json("policies", "assign", "NO_PROMISES", "off", *why)
    assert "NO_PROMISES v1, before off" in ebbtide("policies", "rollback", "NO_PROMISES", *why)
    late = ebbtide.run("policies", "undo", made["assignment_id"], "--reason", "r", "--yes")
    assert "since" in str(late.exception)
    assert "acme: v1" in ebbtide("policies", "list")
    shown = ebbtide("policies", "show", "NO_PROMISES")
    assert "looks at the output" in shown and "guarantee: output.contains" in shown


def test_whom_it_is_for_is_said_once_and_confirmed(ebbtide: Command) -> None:
    words = ("policies", "assign", "BUDGET", "off", "--reason", "r")
    both = ebbtide.run(*words, "--tenant", "acme", "--default", "--yes")
    assert "one of them" in str(both.exception)
    assert "nothing was changed" in str(ebbtide.run(*words, "--default", typed="n\n").exception)
    listed = {one["policy_id"]: one for one in ebbtide.json("policies", "list")["items"]}
    assert listed["BUDGET"]["default_version"] == "v1"
