"""What the playbook routes answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.models.answer import EXAMPLE_MOMENT, Answer
from ebbtide.catalog.playbook import Playbook
from ebbtide.signals.outcomes import ENOUGH, Rate, Summary
from ebbtide.signals.rounding import PCT_PLACES, to_float

_RATE: dict[str, Any] = {
    "num_measured": 12,
    "num_success": 9,
    "success_rate_pct": 75.0,
    "success_rate_low_pct": 51.4,
    "success_rate_high_pct": 89.6,
    "reason": None,
}
_SUMMARY: dict[str, Any] = {
    "num_suggested": 34,
    "num_open": 2,
    "num_accepted": 13,
    "num_dismissed": 2,
    "num_done": 12,
    "num_lapsed": 18,
    "dismissed_by_reason": {"not_applicable": 2},
    "done": _RATE,
    "left_alone": {
        "num_measured": 6,
        "num_success": 2,
        "success_rate_pct": None,
        "success_rate_low_pct": None,
        "success_rate_high_pct": None,
        "reason": "not enough data yet",
    },
    "difference_pct": None,
    "difference_low_pct": None,
    "difference_high_pct": None,
    "interval": "90 %, Wilson",
    "verdict": "not enough data yet",
}
_DETAIL: dict[str, Any] = {
    "id": "silent_churn",
    "name": "Win back a silent customer",
    "status": "experimental",
    "risk_level": "high",
    "trigger_conditions": ["silent churn holds"],
    "actions": [
        {
            "step": 1,
            "type": "call",
            "action": "Call whoever set it up.",
            "timing": "within 24 h",
            "talk_track": "Your calls run smoothly ...",
            "template": None,
        }
    ],
    "success_metric": "somebody views, replays or exports something within 7 days",
    "success_within_days": 7,
    "notes": "Often the one who wired it up has moved on.",
    "false_positives": ["a customer that only ever wanted the proxy and is content"],
    "matching": ["acme-ai"],
    "num_matching": 1,
    "summary": _SUMMARY,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlaybookAction(_Strict):
    """One step: what, when, and with which words."""

    step: int
    type: str
    action: str
    timing: str
    talk_track: str | None
    template: str | None


class OutcomeRate(_Strict):
    """Successes among windows that are closed; one customer counts once in a stretch of time."""

    num_measured: int
    num_success: int
    success_rate_pct: float | None
    success_rate_low_pct: float | None
    success_rate_high_pct: float | None
    reason: str | None = Field(description=f"Why there is no rate: fewer than {ENOUGH} windows.")


class PlaybookSummary(_Strict):
    """What became of its suggestions, beside matching customers that were left alone."""

    num_suggested: int
    num_open: int
    num_accepted: int
    num_dismissed: int
    num_done: int
    num_lapsed: int
    dismissed_by_reason: dict[str, int]
    done: OutcomeRate
    left_alone: OutcomeRate
    difference_pct: float | None = Field(description="Done minus left alone, in points.")
    difference_low_pct: float | None
    difference_high_pct: float | None
    interval: str = Field(description="What the bounds are.")
    verdict: str = Field(
        description="In words. Customers were chosen, not drawn by lot: it is no experiment."
    )


class PlaybookDetail(_Strict):
    """A known situation, the way out of it, who is in it now, and how well the way works."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_DETAIL]})

    id: str
    name: str
    status: str = Field(description="experimental until checked against what happened.")
    risk_level: str
    trigger_conditions: list[str] = Field(description="All must hold.")
    actions: list[PlaybookAction]
    success_metric: str
    success_within_days: int
    notes: str
    false_positives: list[str]
    matching: list[str] = Field(description="Customers that match at the moment, worst first.")
    num_matching: int
    summary: PlaybookSummary | None = Field(
        description="Of all time up to the moment; null for a key bound to one tenant."
    )


class PlaybookList(Answer):
    """All playbooks, the worst level first."""

    items: list[PlaybookDetail]
    total: int

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE_MOMENT | {"items": [_DETAIL], "total": 1}]}
    )


class PlaybookAnswer(Answer, PlaybookDetail):
    """One playbook at one moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_MOMENT | _DETAIL]})


def detail(one: Playbook, matching: list[str], summary: Summary | None) -> dict[str, Any]:
    """The fields of a playbook as the API shows it."""
    return {
        "id": one.id,
        "name": one.title,
        "status": one.status,
        "risk_level": one.risk_level,
        "trigger_conditions": list(one.trigger_conditions),
        "actions": [
            {
                "step": step.step,
                "type": step.type,
                "action": step.action,
                "timing": step.timing,
                "talk_track": step.talk_track,
                "template": step.template,
            }
            for step in one.steps
        ],
        "success_metric": one.success.text,
        "success_within_days": one.success.within_days,
        "notes": one.notes,
        "false_positives": list(one.false_positives),
        "matching": matching,
        "num_matching": len(matching),
        "summary": None if summary is None else _summary(summary),
    }


def _summary(of: Summary) -> dict[str, Any]:
    middle, low, high = of.difference or (None, None, None)
    return {
        "num_suggested": of.num_suggested,
        "num_open": of.num_open,
        "num_accepted": of.num_accepted,
        "num_dismissed": of.num_dismissed,
        "num_done": of.num_done,
        "num_lapsed": of.num_lapsed,
        "dismissed_by_reason": of.dismissed_by_reason,
        "done": _rate(of.done),
        "left_alone": _rate(of.left_alone),
        "difference_pct": _pct(middle),
        "difference_low_pct": _pct(low),
        "difference_high_pct": _pct(high),
        "interval": "90 %, Wilson",
        "verdict": of.verdict,
    }


def _rate(of: Rate) -> dict[str, Any]:
    return {
        "num_measured": of.num,
        "num_success": of.num_success,
        "success_rate_pct": _pct(of.rate),
        "success_rate_low_pct": _pct(of.low),
        "success_rate_high_pct": _pct(of.high),
        "reason": "not enough data yet" if of.rate is None else None,
    }


def _pct(fraction: float | None) -> float | None:
    return None if fraction is None else to_float(Fraction(fraction) * 100, PCT_PLACES)
