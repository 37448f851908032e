"""What the routes about limits take and answer; percent and rounding happen here."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import StatedInstant
from ebbtide.domain.resource import RESOURCE_MAX_CHARS, UNIT_MAX_CHARS, ResourceSample
from ebbtide.domain.time import format_instant
from ebbtide.limits.infra import API_GROWTH_WARNING, Infra, Level, ResourceOutlook, Traffic
from ebbtide.limits.projection import INTERVAL, Status
from ebbtide.signals.rounding import PCT_PLACES, SCORE_PLACES, to_float

GAUGES_MAX = 1000  # of one request
VALUE_MAX = 1e18  # an exabyte in bytes
VALUE_PLACES = 6  # of what is in use: fractions of a GB count, digits of noise do not
MB = 10**6
GB = 10**9


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has characters that cannot be shown")
    return text


class Gauge(BaseModel):
    """What is in use of a resource at one moment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"resource": "sse_connections", "used": 32, "limit": 100, "unit": "n"}]
        },
    )

    resource: Annotated[
        str, Field(min_length=1, max_length=RESOURCE_MAX_CHARS), AfterValidator(_printable)
    ]
    used: float = Field(ge=0, le=VALUE_MAX, allow_inf_nan=False)
    limit: float | None = Field(
        None, gt=0, le=VALUE_MAX, allow_inf_nan=False, description="Null when there is none."
    )
    unit: Annotated[str, Field(max_length=UNIT_MAX_CHARS), AfterValidator(_printable)] | None = None
    at: StatedInstant = Field(None, description="When it was read; now by default.")


class Gauges(BaseModel):
    """Gauges of any resources and moments."""

    model_config = ConfigDict(extra="forbid")

    gauges: list[Gauge] = Field(min_length=1, max_length=GAUGES_MAX)


class GaugesKept(BaseModel):
    """What became of gauges: a resource has one sample at a moment, the first that came."""

    stored: int
    duplicate: int


class PeakShown(BaseModel):
    """The fullest moment of the last seven days."""

    at: str
    used: float
    utilization_pct: float | None


class RecordShown(BaseModel):
    """How earlier projections of this resource turned out: the first of each of 90 days."""

    num_projections: int = Field(description="That named a day.")
    num_settled: int = Field(description="Whose limit was reached since, or is overdue.")
    inside_pct: float | None = Field(description="Of the settled ones; 80 would be right.")
    median_error_days: float | None


class ResourceShown(BaseModel):
    """One resource, its limit and its outlook."""

    resource: str
    status: str = Field(
        description="exhausted, growing, stable, insufficient_data, or unavailable."
    )
    level: str = Field(description="critical, warning, ok or unknown.")
    message: str
    reason: str | None = Field(
        description="Why no day is named: not_growing, too_far_ahead, no_limit, "
        "insufficient_data, stale or unavailable; null when one is."
    )
    detail: str | None
    used: float | None = Field(description="Null when it cannot be known now, never 0 then.")
    limit: float | None
    unit: str | None
    utilization_pct: float | None
    origin: str | None = Field(description="probe, gauge or event.")
    sampled_at: str | None = Field(description="Of the newest sample there ever was.")
    days_to_limit: float | None = Field(description="0 when exhausted, null when not growing.")
    days_low: float | None = Field(description="One chance in ten that it happens before.")
    days_high: float | None = Field(description="One chance in ten that it happens later.")
    interval_pct: float
    growth_per_day: float | None
    growth_pct_per_week: float | None
    peak: PeakShown | None
    num_samples: int | None
    span_days: float | None
    num_steps: int | None = Field(description="Jumps that were taken out of the trend.")
    projected_at: str | None
    formula: str | None
    record: RecordShown


class ProbeShown(BaseModel):
    """How the newest look of a probe went."""

    probe: str
    is_available: bool
    reason: str | None
    checked_at: str


class TrafficShown(BaseModel):
    """Calls of customers' software."""

    api_calls_per_minute_avg: float
    api_calls_per_minute_peak: int
    api_growth_rate_pct_per_week: float | None


class WarningShown(BaseModel):
    """Something to act on."""

    level: str
    resource: str
    message: str


class InfraShown(BaseModel):
    """What breaks first if we grow."""

    as_of: str
    known_at: str = Field(description="What came later was not known yet.")
    resources: list[ResourceShown] = Field(description="What breaks first on top.")
    warnings: list[WarningShown]
    probes: list[ProbeShown]
    traffic: TrafficShown
    db_connections_current: float | None
    db_connections_max: float | None
    db_storage_used_gb: float | None
    db_storage_limit_gb: float | None
    db_storage_days_to_limit: float | None
    db_growth_rate_gb_per_day: float | None
    redis_memory_used_mb: float | None
    redis_memory_limit_mb: float | None
    redis_memory_days_to_limit: float | None
    redis_connected_clients: float | None
    api_growth_rate_pct_per_week: float | None


def infra_shown(infra: Infra) -> InfraShown:
    """The whole answer."""
    resources = [resource_shown(one) for one in infra.resources]
    by_name = {one.resource: one for one in resources}
    storage, memory = by_name.get("db_storage"), by_name.get("redis_memory")
    connections, clients = by_name.get("db_connections"), by_name.get("redis_clients")
    return InfraShown(
        as_of=format_instant(infra.as_of),
        known_at=format_instant(infra.known_at),
        resources=resources,
        warnings=_warnings(resources, infra.traffic),
        probes=[
            ProbeShown(
                probe=one.probe,
                is_available=one.is_available,
                reason=one.reason,
                checked_at=format_instant(one.checked_at),
            )
            for one in infra.probes
        ],
        traffic=TrafficShown(
            api_calls_per_minute_avg=to_float(Fraction(infra.traffic.calls_per_minute_mean)),
            api_calls_per_minute_peak=infra.traffic.calls_per_minute_peak,
            api_growth_rate_pct_per_week=_pct(infra.traffic.growth_per_week),
        ),
        db_connections_current=None if connections is None else connections.used,
        db_connections_max=None if connections is None else connections.limit,
        db_storage_used_gb=_in(GB, storage, None if storage is None else storage.used),
        db_storage_limit_gb=_in(GB, storage, None if storage is None else storage.limit),
        db_storage_days_to_limit=None if storage is None else storage.days_to_limit,
        db_growth_rate_gb_per_day=_in(
            GB, storage, None if storage is None else storage.growth_per_day
        ),
        redis_memory_used_mb=_in(MB, memory, None if memory is None else memory.used),
        redis_memory_limit_mb=_in(MB, memory, None if memory is None else memory.limit),
        redis_memory_days_to_limit=None if memory is None else memory.days_to_limit,
        redis_connected_clients=None if clients is None else clients.used,
        api_growth_rate_pct_per_week=_pct(infra.traffic.growth_per_week),
    )


def resource_shown(one: ResourceOutlook) -> ResourceShown:
    """One resource as the API shows it."""
    said = one.projection
    # A number that is not known to hold now is not shown as one that does.
    sample = one.sample if said is not None else None
    shown = ResourceShown(
        resource=one.resource,
        status="unavailable" if said is None else said.status,
        level=one.level,
        message="",
        reason=one.reason,
        detail=one.detail,
        used=_value(None if sample is None else sample.used),
        limit=_value(None if sample is None else sample.limit),
        unit=None if one.sample is None else one.sample.unit,
        utilization_pct=None if sample is None else _pct(sample.saturation),
        origin=None if one.sample is None else one.sample.origin,
        sampled_at=None if one.sample is None else format_instant(one.sample.at),
        days_to_limit=_days(None if said is None else said.days_to_limit),
        days_low=_days(None if said is None else said.days_low),
        days_high=_days(None if said is None else said.days_high),
        interval_pct=100 * INTERVAL,
        growth_per_day=_value(None if said is None else said.growth_per_day),
        growth_pct_per_week=_pct(one.growth_per_week),
        peak=_peak(one.peak),
        num_samples=None if said is None else said.num_samples,
        span_days=_days(None if said is None else said.span_days),
        num_steps=None if said is None else said.num_steps,
        projected_at=None if said is None else format_instant(said.as_of),
        formula=None if said is None else said.formula,
        record=_record(one),
    )
    shown.message = _message(shown)
    return shown


def _message(one: ResourceShown) -> str:
    """The outlook in one sentence."""
    if one.reason in ("unavailable", "stale"):
        return f"Not known: {one.detail}."
    if one.status == Status.EXHAUSTED:
        return "The limit is reached."
    if one.reason == "no_limit":
        return "No limit is known, so no day can be named."
    if one.status == Status.INSUFFICIENT_DATA:
        return f"{one.num_samples} samples are too few to say more."
    if one.status == Status.GROWING and one.days_to_limit is not None:
        until = "or much later" if one.days_high is None else f"to {one.days_high:.0f}"
        return (
            f"At current growth the limit is reached in {one.days_to_limit:.0f} days "
            f"({one.days_low or 0:.0f} {until}, 4 times in 5)."
        )
    said = "Not growing" if one.reason == "not_growing" else "Growing, but no day can be named"
    if one.days_low is not None and one.days_low < 30:
        return f"{said}; peaks may reach the limit from {one.days_low:.0f} days on."
    return f"{said}."


def _warnings(resources: list[ResourceShown], traffic: Traffic) -> list[WarningShown]:
    found = [
        WarningShown(level=one.level, resource=one.resource, message=_warning(one))
        for one in resources
        if one.level in (Level.CRITICAL, Level.WARNING)
    ]
    growth = traffic.growth_per_week
    if growth is not None and growth > API_GROWTH_WARNING:
        said = f"API calls grew by {_pct(growth):g} % in a week."
        found.append(WarningShown(level=Level.WARNING, resource="api_calls", message=said))
    return sorted(found, key=lambda one: one.level != Level.CRITICAL)


def _warning(one: ResourceShown) -> str:
    full = "" if one.utilization_pct is None else f"{one.utilization_pct:g} % full. "
    return f"{full}{one.message}"


def _record(one: ResourceOutlook) -> RecordShown:
    record = one.score
    assert record is not None
    return RecordShown(
        num_projections=record.num_projections,
        num_settled=record.num_settled,
        inside_pct=_pct(record.inside),
        median_error_days=_days(record.median_error_days),
    )


def _peak(sample: ResourceSample | None) -> PeakShown | None:
    if sample is None:
        return None
    return PeakShown(
        at=format_instant(sample.at),
        used=to_float(Fraction(sample.used), VALUE_PLACES),
        utilization_pct=_pct(sample.saturation),
    )


def _value(value: float | None) -> float | None:
    return None if value is None else to_float(Fraction(value), VALUE_PLACES)


def _days(value: float | None) -> float | None:
    return None if value is None else to_float(Fraction(value), SCORE_PLACES)


def _pct(share: float | None) -> float | None:
    return None if share is None else to_float(100 * Fraction(share), PCT_PLACES)


def _in(size: int, one: ResourceShown | None, value: float | None) -> float | None:
    """Bytes in a larger unit; None where the unit is another one."""
    if one is None or value is None:
        return None
    sizes: dict[str | None, Any] = {"bytes": 1, "MB": MB, "GB": GB}
    factor = sizes.get(one.unit)
    return None if factor is None else to_float(Fraction(value) * factor / size, SCORE_PLACES)
