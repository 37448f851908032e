"""What the product's numbers look like at the door: rounded, and percent in ``_pct``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.catalog.product import RetentionRule
from ebbtide.domain.time import format_instant
from ebbtide.signals.cohorts import Cell, Cohort, Triangle
from ebbtide.signals.features import Features, FeatureUse
from ebbtide.signals.funnel import Funnel, Path, advice_of
from ebbtide.signals.retention import INSUFFICIENT, NOTE, Comparison, Group
from ebbtide.signals.rounding import PCT_PLACES, to_float

NO_ACTIVITY = "no_activity"

_MOMENT: dict[str, Any] = {
    "as_of": "2026-03-12T08:00:00Z",
    "known_at": "2026-03-12T08:00:04.120000Z",
    "newest_received_at": "2026-03-12T07:59:59.002000Z",
}


class ProductAnswer(BaseModel):
    """For which moment an answer is, by which formula, and from which knowledge."""

    model_config = ConfigDict(extra="forbid")

    formula: str
    as_of: str = Field(description="The moment the answer is for: later events do not exist yet.")
    known_at: str = Field(description="What was received later was not known yet.")
    newest_received_at: str | None = Field(
        description="When the newest event that was looked at came; null when there is none."
    )


class Step(BaseModel):
    """One step, and the way into it from the step before; the first step has none."""

    event_type: str
    title: str
    num_tenants: int = Field(description="Customers that reached it.")
    rate: str | None = Field(description="The name of its rate.")
    rate_pct: float | None = Field(
        description="Customers of this step, of those of the step before. In any order it may be"
        " above 100: a customer may take a step without the one before."
    )
    rate_reason: str | None = Field(description="no_activity: nobody reached the step before.")


class DropOff(BaseModel):
    """The step with the lowest rate, what it says, and what it calls for."""

    event_type: str
    rate: str
    rate_pct: float
    interpretation: str
    action: str


class FunnelPath(BaseModel):
    """One way to count."""

    steps: list[Step]
    drop_off: DropOff | None = Field(description="null when nobody is lost on the way.")


_STEPS = [
    {
        "event_type": "INCIDENT_CREATED",
        "title": "Incident created",
        "num_tenants": 40,
        "rate": None,
        "rate_pct": None,
        "rate_reason": None,
    },
    {
        "event_type": "INCIDENT_VIEWED",
        "title": "Incident viewed",
        "num_tenants": 31,
        "rate": "view_rate",
        "rate_pct": 77.5,
        "rate_reason": None,
    },
]
_PATH = {
    "steps": _STEPS,
    "drop_off": {
        "event_type": "INCIDENT_VIEWED",
        "rate": "view_rate",
        "rate_pct": 77.5,
        "interpretation": "Customers not checking console",
        "action": "Improve notifications",
    },
}


class FunnelShown(ProductAnswer):
    """Customers at each step within 30 days, counted in two ways."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"formula": "funnel/1"}
                | _MOMENT
                | {"since": "2026-02-10T08:00:00Z", "loose": _PATH, "ordered": _PATH}
            ]
        },
    )

    since: str = Field(description="Open start of the window.")
    loose: FunnelPath = Field(description="The step was taken, in any order.")
    ordered: FunnelPath = Field(
        description="The step was taken later than the first time the step before was."
    )


class TenantStep(BaseModel):
    """One step of one customer."""

    event_type: str
    title: str
    num_events: int
    reached_at: str | None = Field(description="In order; null when it was not reached so.")
    event: dict[str, Any] | None = Field(description="The event that reached it.")


class TenantFunnel(ProductAnswer):
    """Where one customer stands, down to the events."""

    tenant_id: str
    since: str
    steps: list[TenantStep]


class TenantNames(ProductAnswer):
    """The customers behind one number, by their ids; cut at the limit, the total is not."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"formula": "funnel/1"} | _MOMENT | {"tenants": ["acme", "bolt"], "total": 2}
            ]
        },
    )

    tenants: list[str]
    total: int


class GroupShown(BaseModel):
    """Customers of 30 days ago on one side of the comparison."""

    num_tenants: int
    num_kept: int = Field(description="Customers still: an event in 30 days, and not cancelled.")
    kept_pct: float | None = Field(description="null when there is nobody.")


class RetentionShown(BaseModel):
    """Who stayed, with the feature and without it. A correlation, not a cause."""

    with_feature: GroupShown
    without_feature: GroupShown
    difference_points: float | None = Field(
        description="Percentage points, with minus without; null when a side is too small."
    )
    difference_low_points: float | None = Field(
        description="Interval of the difference; the intervals of all features hold together."
    )
    difference_high_points: float | None
    verdict: str = Field(
        description="kept_more, kept_less, no_difference_shown (chance may be all of it), or"
        " insufficient_data."
    )
    reason: str | None = Field(description="insufficient_data, where nothing can be said.")
    message: str = Field(description="The same in a sentence.")


class FeatureShown(BaseModel):
    """One feature over 30 days."""

    feature: str
    title: str
    event_type: str
    total_actions_30d: int
    unique_tenants: int
    avg_per_tenant: float | None = Field(description="null when nobody used it.")
    pct_of_active_tenants: float | None = Field(
        description="Of tenants with an event of any type in 30 days; null when there is none."
    )
    reason: str | None = Field(description="no_activity, where a number above is null.")
    retention: RetentionShown


class FeatureList(ProductAnswer):
    """Which feature keeps users: those that most customers use come first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"formula": "features/1"}
                | _MOMENT
                | {
                    "active_tenants_30d": 40,
                    "retention_formula": "feature_retention/1",
                    "retention_note": NOTE,
                    "retention_since": "2026-02-10T08:00:00Z",
                    "confidence_pct": 95.0,
                    "min_group": 10,
                    "items": [
                        {
                            "feature": "exports",
                            "title": "Exports",
                            "event_type": "EXPORT_GENERATED",
                            "total_actions_30d": 96,
                            "unique_tenants": 24,
                            "avg_per_tenant": 4.0,
                            "pct_of_active_tenants": 60.0,
                            "reason": None,
                            "retention": {
                                "with_feature": {
                                    "num_tenants": 22,
                                    "num_kept": 21,
                                    "kept_pct": 95.5,
                                },
                                "without_feature": {
                                    "num_tenants": 20,
                                    "num_kept": 11,
                                    "kept_pct": 55.0,
                                },
                                "difference_points": 40.5,
                                "difference_low_points": 6.4,
                                "difference_high_points": 65.1,
                                "verdict": "kept_more",
                                "reason": None,
                                "message": "Of customers that used it 95.5 % stayed, of the"
                                " others 55.0 %. A correlation, not a cause.",
                            },
                        }
                    ],
                    "total": 1,
                }
            ]
        },
    )

    active_tenants_30d: int
    retention_formula: str
    retention_note: str
    retention_since: str = Field(
        description="Use is looked at in the 30 days before this moment, staying after it."
    )
    confidence_pct: float = Field(description="Of all intervals together.")
    min_group: int = Field(description="Customers on each side, below which nothing is said.")
    items: list[FeatureShown]
    total: int


class CellShown(BaseModel):
    """A cohort so many weeks after its first, which is week 0."""

    week: int
    num_active: int
    share_pct: float | None = Field(description="null when the cohort is empty.")
    is_complete: bool = Field(description="False: the week is not over, the share may yet grow.")


class CohortShown(BaseModel):
    """Customers whose first active week this was."""

    cohort_week: str = Field(description="Date of its Monday; weeks begin at 00:00 UTC.")
    num_tenants: int
    retention: list[CellShown]


class CohortTriangle(ProductAnswer):
    """Weekly retention: oldest cohort first, one week fewer in each row."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"formula": "cohorts/1"}
                | _MOMENT
                | {
                    "activity": "any",
                    "num_earlier_tenants": 18,
                    "cohorts": [
                        {
                            "cohort_week": "2026-03-02",
                            "num_tenants": 4,
                            "retention": [
                                {
                                    "week": 0,
                                    "num_active": 4,
                                    "share_pct": 100.0,
                                    "is_complete": True,
                                },
                                {
                                    "week": 1,
                                    "num_active": 3,
                                    "share_pct": 75.0,
                                    "is_complete": False,
                                },
                            ],
                        }
                    ],
                    "overall": [
                        {"week": 0, "num_active": 4, "share_pct": 100.0, "is_complete": True}
                    ],
                }
            ]
        },
    )

    activity: str = Field(description="What counts as active.")
    num_earlier_tenants: int = Field(description="Customers that began before the first cohort.")
    cohorts: list[CohortShown]
    overall: list[CellShown] = Field(
        description="All cohorts together, by weeks since their first; only weeks that are over."
    )


def funnel_shown(funnel: Funnel, known_at: datetime) -> FunnelShown:
    """A funnel for the wire."""
    return FunnelShown(
        **moment(funnel.rule.formula, funnel.as_of, known_at, funnel.freshness),
        since=format_instant(funnel.since),
        loose=_path(funnel, funnel.loose),
        ordered=_path(funnel, funnel.ordered),
    )


def _path(funnel: Funnel, path: Path) -> FunnelPath:
    rates = (None, *path.rates)
    worst = advice_of(funnel.rule, path)
    drop_off = None
    if worst is not None and path.worst is not None:
        rate = rates[path.worst]
        assert worst.rate and worst.meaning and worst.advice and rate is not None
        drop_off = DropOff(
            event_type=worst.event_type,
            rate=worst.rate,
            rate_pct=to_float(rate * 100, PCT_PLACES),
            interpretation=worst.meaning,
            action=worst.advice,
        )
    return FunnelPath(
        steps=[
            Step(
                event_type=step.event_type,
                title=step.title,
                num_tenants=num,
                rate=step.rate,
                rate_pct=_pct(rate),
                rate_reason=NO_ACTIVITY if step.rate and rate is None else None,
            )
            for step, num, rate in zip(funnel.rule.steps, path.num_tenants, rates, strict=True)
        ],
        drop_off=drop_off,
    )


def feature_list(
    features: Features, formula: str, rule: RetentionRule, known_at: datetime
) -> FeatureList:
    """Features for the wire."""
    return FeatureList(
        **moment(formula, features.as_of, known_at, features.freshness),
        active_tenants_30d=features.num_active,
        retention_formula=rule.formula,
        retention_note=NOTE,
        retention_since=format_instant(features.since),
        confidence_pct=to_float(rule.confidence * 100, PCT_PLACES),
        min_group=rule.min_group,
        items=[_feature(use, rule) for use in features.uses],
        total=len(features.uses),
    )


def _feature(use: FeatureUse, rule: RetentionRule) -> FeatureShown:
    return FeatureShown(
        feature=use.feature.name,
        title=use.feature.title,
        event_type=use.feature.event_type,
        total_actions_30d=use.num_actions,
        unique_tenants=use.num_tenants,
        avg_per_tenant=None if use.mean is None else to_float(use.mean),
        pct_of_active_tenants=_pct(use.share),
        reason=NO_ACTIVITY if use.mean is None else None,
        retention=_retention(use.comparison, rule),
    )


def _retention(one: Comparison, rule: RetentionRule) -> RetentionShown:
    return RetentionShown(
        with_feature=_group(one.with_feature),
        without_feature=_group(one.without),
        difference_points=_pct(one.difference),
        difference_low_points=_points(one.low),
        difference_high_points=_points(one.high),
        verdict=one.verdict,
        reason=INSUFFICIENT if one.verdict == INSUFFICIENT else None,
        message=_message(one, rule),
    )


def _message(one: Comparison, rule: RetentionRule) -> str:
    if one.verdict == INSUFFICIENT:
        return (
            f"Not enough data: {one.with_feature.num} customers used it and {one.without.num} did"
            f" not; each side needs {rule.min_group}."
        )
    text = (
        f"Of customers that used it {_pct(one.with_feature.share)} % stayed, of the others"
        f" {_pct(one.without.share)} %."
    )
    if one.verdict == "no_difference_shown":
        return f"{text} Chance may be all of it."
    return f"{text} A correlation, not a cause."


def _group(group: Group) -> GroupShown:
    return GroupShown(num_tenants=group.num, num_kept=group.num_kept, kept_pct=_pct(group.share))


def cohort_triangle(
    triangle: Triangle, formula: str, activity: str, known_at: datetime
) -> CohortTriangle:
    """Cohorts for the wire."""
    return CohortTriangle(
        **moment(formula, triangle.as_of, known_at, triangle.freshness),
        activity=activity,
        num_earlier_tenants=triangle.num_earlier,
        cohorts=[_cohort(one) for one in triangle.cohorts],
        overall=[_cell(one) for one in triangle.overall],
    )


def _cohort(one: Cohort) -> CohortShown:
    return CohortShown(
        cohort_week=one.monday.date().isoformat(),
        num_tenants=one.num_tenants,
        retention=[_cell(cell) for cell in one.cells],
    )


def _cell(one: Cell) -> CellShown:
    return CellShown(
        week=one.week,
        num_active=one.num_active,
        share_pct=_pct(one.share),
        is_complete=one.is_complete,
    )


def tenant_names(
    names: Sequence[str],
    limit: int,
    formula: str,
    as_of: datetime,
    known_at: datetime,
    freshness: datetime | None,
) -> TenantNames:
    """The customers behind a number, for the wire."""
    return TenantNames(
        **moment(formula, as_of, known_at, freshness),
        tenants=list(names[:limit]),
        total=len(names),
    )


def moment(
    formula: str, as_of: datetime, known_at: datetime, freshness: datetime | None
) -> dict[str, Any]:
    """The fields of :class:`ProductAnswer`."""
    return {
        "formula": formula,
        "as_of": format_instant(as_of),
        "known_at": format_instant(known_at),
        "newest_received_at": None if freshness is None else format_instant(freshness),
    }


def _pct(share: Fraction | None) -> float | None:
    return None if share is None else to_float(share * 100, PCT_PLACES)


def _points(share: float | None) -> float | None:
    return None if share is None else _pct(Fraction(share))
