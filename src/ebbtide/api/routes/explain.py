"""``/ops/explain``: where a number of the business comes from, down to its events and columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.events import OpsEvent
from ebbtide.api.models.explanation import ExplainInput, Formula, Lineage
from ebbtide.api.models.number import NumberExplained
from ebbtide.api.models.revenue import units_shown
from ebbtide.api.numbers import FoundNumber, find_number
from ebbtide.api.routes import incidents, infra, ops_product, ops_revenue, pulse
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.domain.time import EPOCH, format_instant, parse_instant
from ebbtide.metrics.lineage import trace_columns
from ebbtide.signals.rounding import to_float
from ebbtide.store.events.reading import EventFilter, count_events, read_events, to_json

router = APIRouter(tags=["metrics"], route_class=JsonRoute)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks, for which moment, and for which window of incidents."""

    house: Services
    key: ApiKey
    as_of: datetime | None
    known_at: datetime | None
    hours: int | None
    of: list[str]

    @property
    def until(self) -> datetime:
        return self.as_of or self.house.clock()


@router.get("/ops/explain", summary="Where a number of the business comes from")
def explain_number(
    house: Annotated[Services, Depends(services)],
    key: Annotated[ApiKey, Depends(reader)],
    number: Annotated[
        str,
        Query(
            description="Its place in an answer, such as pulse.exports_delta_pct or"
            " funnel.ordered.steps.rate_pct."
        ),
    ],
    of: Annotated[
        list[str] | None,
        Query(description="What names its row, once for each field; empty: a row without it."),
    ] = None,
    hours: Annotated[
        int | None,
        Query(ge=1, le=incidents.HOURS_MAX, description="Window of incidents; 24 by default."),
    ] = None,
    as_of: Annotated[Instant, Query(description="As of the answer that it stands in.")] = None,
    known_at: Annotated[
        Instant, Query(description="What was received later does not count; without it all does.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Contributing events to list.")] = 20,
) -> NumberExplained:
    """Formula, what went in, contributing events and lineage of any number under ``/ops``.

    Numbers of pulse, incidents, product, revenue and infra; for those of a customer ask
    ``/ops/customers/{id}/explain``.
    """
    check_unbound(key)
    known = house.catalog.numbers
    if number not in known.by_name:
        raise Unprocessable(f"there is no such number{did_you_mean(number, known.by_name)}")
    asked = _Asked(house, key, as_of, known_at, hours, of or [])
    answer = _ANSWERS[known.by_name[number].answer](asked)
    found = find_number(known, number, answer, asked.of)
    one = found.definition
    meant = _events_of(found, known_at)
    num_events = None if meant is None else count_events(house.events, meant)
    num_late = None
    if num_events is not None and known_at is None:
        num_late = 0  # of the present nothing came later
    if meant is not None and num_events and known_at is None and as_of is not None:
        then = replace(meant, known_at=parse_instant(answer["as_of"]))
        num_late = num_events - count_events(house.events, then)
    metrics = house.catalog.metrics
    return NumberExplained(
        number=number,
        of=list(found.of),
        title=one.title,
        unit=one.unit,
        value=found.value,
        reason=found.reason,
        as_of=answer["as_of"],
        known_at=answer.get("known_at") or format_instant(known_at or house.clock()),
        formula=Formula(id=one.formula, text=one.text),
        inputs=[
            ExplainInput(name=part.name, value=part.value, weight=None, contributes=part.adds)
            for part in found.parts()
        ],
        note=one.note,
        window_since=None if meant is None or meant.since is None else format_instant(meant.since),
        window_until=None if meant is None or meant.as_of is None else format_instant(meant.as_of),
        num_events=num_events,
        num_late_events=num_late,
        events=[]
        if meant is None
        else [
            OpsEvent.model_validate(to_json(event))
            for event in read_events(house.events, meant, limit=limit).events
        ],
        events_url=None if meant is None else _events_url(meant),
        lineage=[
            Lineage(
                metric=name,
                definition_hash=metrics[name].definition_hash,
                column=column,
                comes_from=list(trace_columns(metrics[name])[column]),
            )
            for name, column in one.lineage
        ],
        kept=list(one.kept),
    )


def _events_of(found: FoundNumber, known_at: datetime | None) -> EventFilter | None:
    window = found.window()
    if window is None:
        return None
    said = {column: found.at(path) for column, path in found.definition.where.items()}
    return EventFilter(
        said.pop("tenant_id", None),
        event_types=found.event_types(),
        since=window[0],
        as_of=window[1],
        known_at=known_at,
        said=said,
    )


def _events_url(meant: EventFilter) -> str:
    given: dict[str, Any] = {
        "tenant_id": meant.tenant_id,
        "event_type": None if meant.event_types is None else ",".join(meant.event_types),
        "since": format_instant(meant.since or EPOCH),
        "as_of": None if meant.as_of is None else format_instant(meant.as_of),
        "known_at": None if meant.known_at is None else format_instant(meant.known_at),
    }
    texts = {name: text for name, text in given.items() if text is not None}
    texts |= {name: text or "" for name, text in (meant.said or {}).items()}
    return f"/ops/events?{urlencode(texts, safe=',:')}"


# -- the answers that numbers stand in ------------------------------------------------------------


def _pulse(asked: _Asked) -> dict[str, Any]:
    house, key = asked.house, asked.key
    shown = pulse.get_pulse(house, key, asked.until, asked.known_at)
    lines = pulse.list_thresholds(house, key, asked.as_of, asked.known_at)
    return shown.model_dump() | lines.model_dump()


def _heatmap(asked: _Asked) -> dict[str, Any]:
    return incidents.get_heatmap(
        asked.house, asked.key, None, asked.hours, asked.until, asked.known_at
    ).model_dump()


def _attribution(asked: _Asked) -> dict[str, Any]:
    return incidents.get_attribution(
        asked.house, asked.key, None, asked.hours, asked.until, asked.known_at, limit=200
    ).model_dump()


def _patterns(asked: _Asked) -> dict[str, Any]:
    return incidents.get_patterns(asked.house, asked.key, asked.until, asked.known_at).model_dump()


def _regressions(asked: _Asked) -> dict[str, Any]:
    return incidents.get_regressions(
        asked.house, asked.key, asked.until, asked.known_at
    ).model_dump()


def _features(asked: _Asked) -> dict[str, Any]:
    return ops_product.get_stickiness(
        asked.house, asked.key, asked.until, asked.known_at
    ).model_dump()


def _funnel(asked: _Asked) -> dict[str, Any]:
    return ops_product.get_funnel(asked.house, asked.key, asked.until, asked.known_at).model_dump()


def _cohorts(asked: _Asked) -> dict[str, Any]:
    return ops_product.get_cohorts(
        asked.house, asked.key, as_of=asked.until, known_at=asked.known_at
    ).model_dump()


def _revenue(asked: _Asked) -> dict[str, Any]:
    shown = ops_revenue.get_revenue(asked.house, asked.key, asked.as_of, asked.known_at)
    units = asked.house.revenue.units(
        as_of=parse_instant(shown.as_of), known_at=asked.known_at
    ).units
    # Who is in which sum: of whom nobody said whether he pays is in none of the revenue.
    rows = [
        {
            "tenant_id": unit.tenant_id,
            "mrr_usd": _usd(unit.mrr_usd) if unit.paying == "yes" else None,
            "revenue_usd": _usd(unit.revenue_usd) if unit.paying != "unknown" else None,
            "llm_cost_usd": _usd(unit.counts.llm_cost_usd),
            "num_calls_without_cost": unit.counts.num_llm_calls - unit.counts.num_llm_costs,
        }
        for unit in units
    ]
    return shown.model_dump() | {"units": rows}


def _revenue_tenants(asked: _Asked) -> dict[str, Any]:
    house = asked.house
    found = house.revenue.units(as_of=asked.as_of, known_at=asked.known_at)
    wanted = [unit for unit in found.units if to_uuid_text(unit.tenant_id) in asked.of[:1]]
    formula = house.catalog.signals.pricing.formula
    return units_shown(found, wanted, len(found.units), None, formula, house.clock()).model_dump()


def _infra(asked: _Asked) -> dict[str, Any]:
    return infra.get_infra(asked.house, asked.key, asked.as_of, asked.known_at).model_dump()


def _usd(amount: Fraction | None) -> float | None:
    return None if amount is None else to_float(amount)


_ANSWERS: dict[str, Callable[[_Asked], dict[str, Any]]] = {
    "pulse": _pulse,
    "heatmap": _heatmap,
    "attribution": _attribution,
    "patterns": _patterns,
    "regressions": _regressions,
    "features": _features,
    "funnel": _funnel,
    "cohorts": _cohorts,
    "revenue": _revenue,
    "revenue_tenants": _revenue_tenants,
    "infra": _infra,
}
