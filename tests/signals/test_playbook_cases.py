"""Each playbook against its cases: what happened, whether it matches, and what it then says.

A case is ``tests/playbooks/<playbook>/<what_it_shows>.toml``: ``why``, ``as_of``, ``matches``, the
events that were ``[[given]]`` (``times`` repeats one at the same instant), and what is expected
where it matches.
"""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fact_builder import Happened, facts_of

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.customer import assess
from ebbtide.signals.rules import Rules

FOLDER = Path(__file__).parents[1] / "playbooks"
CASES = sorted(FOLDER.glob("*/*.toml"))
KEYS = {
    "why",
    "as_of",
    "matches",
    "given",
    "signals",
    "reason",
    "risk_level",
    "numbers",
    "begun_by",
}


def happened(number: int, given: dict[str, Any]) -> list[Happened]:
    """The events of one line."""
    rest = {key: given[key] for key in ("session_id", "policy_id") if key in given}
    assert set(given) <= {"at", "type", "times", *rest}
    return [
        Happened(given["at"], given["type"], event_uuid=f"{number}-{i}", **rest)
        for i in range(given.get("times", 1))
    ]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path, rules: Rules) -> None:
    case = tomllib.loads(path.read_text("utf-8"))
    assert set(case) <= KEYS
    why = case["why"]
    events = [one for n, given in enumerate(case["given"]) for one in happened(n, given)]
    customer = assess(facts_of(events, case["as_of"]), case["as_of"], rules)
    found = {match.playbook_id: match for match in customer.playbooks}.get(path.parent.name)
    assert (found is not None) is case["matches"], why
    if found is None:
        return
    if "signals" in case:
        assert list(found.signals) == case["signals"], why
    if "reason" in case:
        assert found.reason == case["reason"], why
    if "risk_level" in case:
        assert customer.risk.risk_level == case["risk_level"], why
    for name, text in case.get("numbers", {}).items():
        value = found.numbers[name]
        assert (value if isinstance(text, str | bool) else Fraction(value)) == text, why
    begun = [one.rule for one in customer.interventions if one.playbook_id == found.playbook_id]
    assert begun == case.get("begun_by", begun), why


def test_every_playbook_has_cases_for_yes_and_no() -> None:
    for name in load_catalog().playbooks:
        found = {
            tomllib.loads(p.read_text("utf-8"))["matches"] for p in CASES if p.parent.name == name
        }
        assert found == {True, False}, name
