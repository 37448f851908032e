"""What the pulse and its thresholds look like at the door: rounded, and percent in ``_pct``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.catalog.pulse import Threshold
from ebbtide.domain.time import format_instant
from ebbtide.signals import pulse as domain
from ebbtide.signals.pulse_reading import Pulse
from ebbtide.signals.rounding import PCT_PLACES, to_float
from ebbtide.store.state.thresholds import Edit

UNAVAILABLE = "unavailable"


class Comparison(BaseModel):
    """A count of 24 hours, beside the 24 hours before it and the same hours of last week."""

    name: str
    title: str
    current: int
    previous: int
    change_pct: float | None = Field(description="null when there was nothing before.")
    change_reason: str | None = Field(description="new or no_activity, where there is no change.")
    last_week: int
    change_last_week_pct: float | None
    change_last_week_reason: str | None


class AlertShown(BaseModel):
    """A threshold that is passed."""

    name: str
    level: str = Field(description="critical decides the state, warning does not.")
    type: str = Field(description="The same as level.")
    message: str


class Resource(BaseModel):
    """The newest sample of a resource within 24 hours."""

    resource: str
    used: float
    limit: float
    saturation_pct: float
    at: str


class ProducerShown(BaseModel):
    """Who sends events, and how fresh they are."""

    source: str
    newest_event_at: str
    newest_received_at: str
    age_s: int = Field(description="From its newest event to as_of.")
    num_events_24h: int
    is_silent: bool = Field(description="Usually there at this time of day, and not now.")


class PulseFreshness(BaseModel):
    """The newest event of 24 hours; null when there is none, or nobody knows."""

    newest_event_at: str | None
    newest_received_at: str | None


class PulseShown(BaseModel):
    """The state with its reasons. A number that cannot be known is null, never 0."""

    model_config = ConfigDict(extra="forbid")

    as_of: str
    known_at: str = Field(description="What was received later was not known yet.")
    computed_at: str
    formula: str
    system_state: str = Field(
        description="UNKNOWN, ACTIVE_FAILURE, SILENT_DEGRADATION or STABLE; the first that holds."
    )
    reasons: list[str] = Field(description="Why, in words; never empty.")
    alerts: list[AlertShown]
    unavailable: list[str] = Field(description="Stores that cannot answer: events, state.")
    active_tenants_24h: int | None
    active_tenants_delta_pct: float | None
    incidents_created_24h: int | None
    incidents_delta_pct: float | None
    replays_executed_24h: int | None
    replays_delta_pct: float | None
    exports_generated_24h: int | None
    exports_delta_pct: float | None
    llm_calls_24h: int | None = Field(description="Failed ones too.")
    llm_failures_24h: int | None
    llm_failure_rate_pct: float | None
    llm_failure_rate_reason: str | None
    infra_saturation_pct: float | None = Field(description="Of the fullest resource.")
    infra_saturation_reason: str | None
    total_cost_24h_usd: float | None = Field(description="Known cost of all events.")
    cost_today_usd: float | None = Field(description="Model calls on the UTC date of as_of.")
    cost_today_reason: str | None
    num_calls_without_cost: int | None = Field(description="Of today's model calls.")
    latency_ms_p95: float | None
    latency_reason: str | None
    events_per_minute: float | None = Field(description="Over the last 5 minutes.")
    comparisons: list[Comparison]
    resources: list[Resource]
    producers: list[ProducerShown]
    freshness: PulseFreshness


#: Name of a count -> the two fields that callers of old read.
_FIELDS = {
    "active_tenants": ("active_tenants_24h", "active_tenants_delta_pct"),
    "incidents_created": ("incidents_created_24h", "incidents_delta_pct"),
    "replays_executed": ("replays_executed_24h", "replays_delta_pct"),
    "exports_generated": ("exports_generated_24h", "exports_delta_pct"),
}


def shown(pulse: Pulse, titles: dict[str, str], computed_at: datetime) -> PulseShown:
    """A pulse for the wire.

    Args:
        titles: of the thresholds, by name.
        computed_at: the moment of this answer.
    """
    reading, strip = pulse.reading, pulse.strip
    fields: dict[str, Any] = dict.fromkeys(PulseShown.model_fields)
    fields |= {
        "as_of": format_instant(pulse.as_of),
        "known_at": format_instant(pulse.known_at or computed_at),
        "computed_at": format_instant(computed_at),
        "formula": pulse.formula,
        "system_state": pulse.verdict.state.value,
        "reasons": list(pulse.verdict.reasons),
        "alerts": [
            AlertShown(name=one.name, level=one.level, type=one.level, message=one.text)
            for one in pulse.verdict.alerts
        ],
        "unavailable": [
            name
            for name, part in (("events", reading), ("state", pulse.thresholds))
            if part is None
        ],
        "comparisons": [],
        "resources": [],
        "producers": [],
        "freshness": PulseFreshness(newest_event_at=None, newest_received_at=None),
    }
    if reading is None or strip is None:
        reasons = ("llm_failure_rate", "infra_saturation", "cost_today", "latency")
        return PulseShown(**(fields | {f"{name}_reason": UNAVAILABLE for name in reasons}))
    for name, (count, delta) in _FIELDS.items():
        change = reading.counts[name]
        fields |= {count: change.current, delta: _pct(change.share)}
    rate, saturation = reading.llm_failure_rate, reading.infra_saturation
    fields |= {
        "llm_calls_24h": reading.num_llm_calls,
        "llm_failures_24h": reading.num_llm_failed,
        "llm_failure_rate_pct": _pct(rate),
        "llm_failure_rate_reason": "no_activity" if rate is None else None,
        "infra_saturation_pct": _pct(saturation),
        "infra_saturation_reason": "no_activity" if saturation is None else None,
        "total_cost_24h_usd": _usd(strip.cost_24h_usd),
        "cost_today_usd": _usd(strip.cost_today_usd),
        "cost_today_reason": "insufficient_data" if strip.cost_today_usd is None else None,
        "num_calls_without_cost": strip.num_without_cost,
        "latency_ms_p95": _number(strip.latency_ms_p95),
        "latency_reason": "no_activity" if strip.latency_ms_p95 is None else None,
        "events_per_minute": _number(strip.events_per_minute),
        "comparisons": [
            _comparison(name, titles[name], change) for name, change in reading.counts.items()
        ],
        "resources": [_resource(sample) for sample in reading.samples],
        "producers": _producers(pulse),
        "freshness": PulseFreshness(
            newest_event_at=_moment(strip.newest_at),
            newest_received_at=_moment(strip.newest_received_at),
        ),
    }
    return PulseShown(**fields)


def _comparison(name: str, title: str, change: domain.Change) -> Comparison:
    return Comparison(
        name=name,
        title=title,
        current=change.current,
        previous=change.previous,
        change_pct=_pct(change.share),
        change_reason=change.reason,
        last_week=change.last_week,
        change_last_week_pct=_pct(change.share_week),
        change_last_week_reason=change.reason_week,
    )


def _resource(sample: domain.Sample) -> Resource:
    return Resource(
        resource=sample.resource,
        used=float(sample.used),
        limit=float(sample.limit),
        saturation_pct=to_float(sample.saturation * 100, PCT_PLACES),
        at=format_instant(sample.at),
    )


def _producers(pulse: Pulse) -> list[ProducerShown]:
    assert pulse.reading is not None  # asked for only with one
    rule = next((one for one in pulse.thresholds or () if one.kind == "silent"), None)
    return [
        ProducerShown(
            source=one.source,
            newest_event_at=format_instant(one.newest_at),
            newest_received_at=format_instant(one.newest_received_at),
            age_s=domain.age_s(one.newest_at, pulse.as_of),
            num_events_24h=one.num_24h,
            is_silent=rule is not None and domain.is_silent(one, rule),
        )
        for one in pulse.reading.producers
    ]


class ThresholdShown(BaseModel):
    """A threshold as it holds."""

    name: str
    title: str
    kind: str = Field(description="drop, spike, above or silent.")
    threshold_pct: float = Field(description="Exactly at it is not yet alarming.")
    level: str
    min_baseline: int = Field(description="With fewer to compare with there is no alarm.")
    is_enabled: bool
    is_default: bool
    changed_at: str | None
    changed_by: str | None


class ThresholdList(BaseModel):
    """All thresholds, in the order in which the pulse tells them."""

    thresholds: list[ThresholdShown]


class ThresholdEdit(BaseModel):
    """What is to be different; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    name: str
    threshold_pct: Decimal | None = Field(None, gt=0, le=1_000_000, max_digits=20)
    level: str | None = Field(None, description="critical or warning.")
    min_baseline: int | None = Field(None, ge=1, le=2**31)
    is_enabled: bool | None = None
    reset: bool = Field(False, description="True: as it came with Ebbtide; nothing else then.")


class ThresholdEdits(BaseModel):
    """Some thresholds; those that are not named stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"thresholds": [{"name": "exports_generated", "threshold_pct": 30}]},
            ]
        },
    )

    thresholds: list[ThresholdEdit] = Field(min_length=1, max_length=20)


def threshold_shown(threshold: Threshold, edit: Edit | None) -> ThresholdShown:
    """One threshold, and who changed it last."""
    return ThresholdShown(
        name=threshold.name,
        title=threshold.title,
        kind=threshold.kind,
        threshold_pct=float(threshold.than * 100),
        level=threshold.level,
        min_baseline=threshold.min_baseline,
        is_enabled=threshold.is_enabled,
        is_default=edit is None or edit.is_default,
        changed_at=None if edit is None else format_instant(edit.changed_at),
        changed_by=None if edit is None else edit.changed_by,
    )


def _pct(share: Fraction | None) -> float | None:
    return None if share is None else to_float(share * 100, PCT_PLACES)


def _number(value: Fraction | None) -> float | None:
    return None if value is None else to_float(value)


def _usd(value: Decimal | None) -> float | None:
    return None if value is None else to_float(Fraction(value))


def _moment(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)
