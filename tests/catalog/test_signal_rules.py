"""The rules of signals and the playbooks are read strictly, and hold what the formulas say."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest

from ebbtide.catalog.condition import MEASURES, WORDS
from ebbtide.catalog.definition import Definition
from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.playbook import load_playbooks, read_playbook
from ebbtide.catalog.signal import load_signals
from ebbtide.domain.errors import CatalogError
from ebbtide.signals import measures
from ebbtide.signals.rules import Weights, make_rules, read_rules

CATALOG = load_catalog()
TYPES = CATALOG.event_types


def packaged(folder: str, name: str) -> str:
    return files("ebbtide.catalog").joinpath(folder, f"{name}.toml").read_text("utf-8")


def changed_signals(tmp_path: Path, name: str, change: Callable[[str], str]) -> None:
    """Read all rules with one file changed."""
    for entry in files("ebbtide.catalog").joinpath("signals").iterdir():
        (tmp_path / entry.name).write_text(entry.read_text("utf-8"), "utf-8")
    text = packaged("signals", name)
    assert change(text) != text
    (tmp_path / f"{name}.toml").write_text(change(text), "utf-8")
    load_signals(TYPES, tmp_path)


def test_what_comes_with_ebbtide_is_what_the_formulas_say() -> None:
    signals = CATALOG.signals
    assert (signals.stickiness.rising_above, signals.stickiness.falling_below) == (
        Fraction(11, 10),
        Fraction(9, 10),
    )
    caps = signals.friction
    assert (caps.cap_points_14d, caps.cap_per_session, caps.cap_per_day) == (50, 5, 10)
    silence = signals.silent_churn
    assert (silence.api_call_within_hours, silence.no_investigation_for_days) == (48, 7)
    assert signals.risk.levels == (("critical", 70), ("high", 45), ("medium", 20))
    assert [[band.points for band in one.bands] for one in signals.risk.components] == [
        [40, 20],
        [30, 15],
        [30, 15],
    ]
    assert [one.confidence for one in signals.intent.cases] == [
        Fraction(number, 100) for number in (95, 85, 75, 65, 50)
    ]
    assert {one.id: one.risk_level for one in CATALOG.playbooks.values()} == {
        "engagement_decay": "critical",
        "abandonment": "high",
        "silent_churn": "high",
        "legal_only": "medium",
        "policy_friction": "medium",
    }
    success = {
        one.id: (one.success.kind, one.success.within_days) for one in CATALOG.playbooks.values()
    }
    assert success == {
        "engagement_decay": ("condition", 14),
        "abandonment": ("event", 7),
        "silent_churn": ("event", 7),
        "legal_only": ("event", 30),
        "policy_friction": ("fall", 7),
    }


def test_weights_come_from_the_metrics() -> None:
    rules = read_rules(CATALOG)
    assert rules.stickiness_tenths == (2, 3, 5)
    assert rules.friction_14d == Weights(
        {
            "REPLAY_ABORTED": 4,
            "EXPORT_ABORTED": 3,
            "POLICY_BLOCK_REPEAT": 6,
            "SESSION_IDLE_TIMEOUT": 2,
        },
        2,
    )


@pytest.mark.parametrize("weights", [{"view": 1, "replay": 1}, {"view": Fraction(1, 4)}])
def test_weights_that_peaks_cannot_hold_are_refused(weights: dict[str, Fraction | int]) -> None:
    with pytest.raises(CatalogError, match=r"stickiness.sql: weights\."):
        make_rules(
            CATALOG.signals,
            CATALOG.playbooks,
            stickiness=weights,
            friction_14d={},
            friction_7d={},
        )


def test_every_measure_and_word_can_be_worked_out() -> None:
    assert set(measures._MEASURES) == set(MEASURES)
    assert set(measures._WORDS) == set(WORDS)


def test_every_playbook_is_begun_by_some_row() -> None:
    begun = {name for case in CATALOG.signals.interventions for name in case.playbooks}
    assert begun == set(CATALOG.playbooks)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('risk   = "high"', 'risk   = "bad"', "risk: 'bad' is not one of critical"),
        ('status = "experimental"', "", "status: missing"),
        ("notes  =", "note  =", "notes: missing"),
        ("do         =", "dos =", r"actions\[1\]\.do: missing"),
        ("is_silent_churn", "is_silent", r"when\[1\]\.metric: 'is_silent' is not one of"),
        ('is     = "true"', 'is     = "above"', r"when\[1\]\.is: 'above' is not one of true"),
        ("{hours_since_api_call}", "{hours}", r"when\[1\]\.text: \{hours\} is not one of"),
        ("{hours_since_api_call}", "{hours", r"when\[1\]\.text: braces"),
        ("INCIDENT_VIEWED", "INCIDENT_VIEWD", "did you mean INCIDENT_VIEWED"),
        ("within_days = 7", "within_days = 0", "success.within_days: must be a whole number"),
        ("within_days = 7", "within_days = 7\nextra = 1", "success.extra: unknown key"),
        ('kind        = "event"', 'kind = "luck"', "success.kind: 'luck' is not one of"),
        ("name   =", "name   = 3 #", "name: must be a text"),
        ('"silent_churn"\ntitle', '"silent"\ntitle', "belongs into a file named silent.toml"),
        ('title  = "Win', 'title  = "" # "Win', "title: must be a text that is not empty"),
        ("[success]", "[outcome]", "success: missing"),
        ("[[when]]", "[[when", "not TOML"),
    ],
)
def test_a_bad_playbook_is_refused_by_file_and_key(old: str, new: str, complaint: str) -> None:
    text = packaged("playbooks", "silent_churn")
    assert old in text
    with pytest.raises(CatalogError, match=f"silent_churn.toml: .*{complaint}"):
        read_playbook(Definition.parse(text.replace(old, new, 1), "silent_churn.toml"), TYPES)


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("abandonment", 'unit        = "events"', "x = 1", r"when\[1\]\.x: unknown key"),
        ("abandonment", '"holds"', '"maybe"', r"when\[2\]\.null: 'maybe' is not one of holds"),
        ("abandonment", "text_null", "text_nul", r"when\[2\]\.text_null: missing"),
        ("abandonment", "= 0.7", '= "0.7"', r"when\[2\]\.than: must be a number"),
        ("abandonment", "= 0.7", "= nan", r"when\[2\]\.than: must be a finite number"),
        ("legal_only", '"days"', '"hours"', r"when\[1\]\.unit: an age is in days"),
        ("legal_only", "num_replays_30d", "days_since_last", r"when\[2\]\.is: 'equal'"),
        ("policy_friction", "= 80", "= 101", "success.fall_percent: nothing falls by more"),
        (
            "policy_friction",
            "policy_block_repeats_7d",
            'stickiness_7d"\nevent_types = ["LOGIN"]\n#',
            r"when\[1\]\.event_types: does not narrow stickiness_7d",
        ),
        ("engagement_decay", '= "condition"', '= "event"', "success.event_types: missing"),
    ],
)
def test_other_slips_in_playbooks(name: str, old: str, new: str, complaint: str) -> None:
    text = packaged("playbooks", name)
    assert old in text
    with pytest.raises(CatalogError, match=f"{name}.toml: {complaint}"):
        read_playbook(Definition.parse(text.replace(old, new, 1), f"{name}.toml"), TYPES)


def test_a_playbook_does_not_ask_for_the_level_that_it_makes() -> None:
    text = packaged("playbooks", "silent_churn")
    text = text.replace('"is_silent_churn"', '"risk_level"').replace(
        '"true"', '"one_of"\nthan = ["high"]'
    )
    with pytest.raises(CatalogError, match="when: the level of risk follows from"):
        read_playbook(Definition.parse(text, "silent_churn.toml"), TYPES)


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("stickiness", "= 0.9", "= 1.2", "trend.falling_below: must not be above"),
        ("friction", "= 5 ", "= 2.5 ", "caps.events_per_session: must be a whole number"),
        ("silent_churn", "= 48", "= -48", "api_call_within_hours: must be a whole number"),
        ("silent_churn", '"silent_churn"', '"silence"', "name: must be silent_churn"),
        ("risk_signal", "high     = 45", "high     = 80", "levels.critical: a worse level needs"),
        ("risk_signal", "points = 40", "points = 41", "component: the points add up to 101"),
        ("risk_signal", '"medium"', '"mild"', "listed_from: 'mild' is not one of"),
        ("intent", "0.95", "1.95", r"case\[1\]\.confidence: must be 0 to 1"),
        ("intent", "= 24", "= 240", "case: looks further than 168 h"),
        ("intent", "EXPORT_GENERATED", "EXPORTED", r"case\[1\]\.event_type: 'EXPORTED'"),
        ("pricing", "= 0.10", '= "10 %"', "margin_fall: must be a number"),
        ("interventions", '"immediate"', '"now"', r"rule\[1\]\.priority: 'now' is not one of"),
        ("interventions", '"silent_churn"', '"critical_risk"', "rule: two have the same name"),
        ("interventions", "than   = 7\n", "", r"rule\[4\]\.when\[1\]\.than: missing"),
    ],
)
def test_a_bad_rule_is_refused_by_file_and_key(
    tmp_path: Path, name: str, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(CatalogError, match=f"{name}.toml: {complaint}"):
        changed_signals(tmp_path, name, lambda text: text.replace(old, new, 1))


def test_only_the_last_row_is_for_everybody(tmp_path: Path) -> None:
    def cut(text: str) -> str:
        return text[: text.rindex("[[rule]]")]

    with pytest.raises(CatalogError, match="rule: the last one, and only that, has no condition"):
        changed_signals(tmp_path, "interventions", cut)
    with pytest.raises(CatalogError, match="case: the last one, and only that, is for everybody"):
        changed_signals(tmp_path, "intent", lambda text: text[: text.rindex("[[case]]")])


def test_a_missing_and_an_unknown_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="interventions.toml: missing"):
        load_signals(TYPES, tmp_path)
    (tmp_path / "weather.toml").write_text('name = "weather"', "utf-8")
    with pytest.raises(CatalogError, match="weather.toml: no rule of this name is known"):
        changed_signals(tmp_path, "pricing", lambda text: text + "\n")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(CatalogError, match="broken.toml: not UTF-8"):
        load_playbooks(TYPES, tmp_path)
    (tmp_path / "broken.toml").unlink()
    (tmp_path / "notes.txt").write_text("passed over", "utf-8")
    assert load_playbooks(TYPES, tmp_path) == {}
