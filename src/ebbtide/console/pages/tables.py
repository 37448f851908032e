"""The charts of the screens as tables for spreadsheets, of the same moment and window."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.responses import Response

from ebbtide.console.ask import Answer
from ebbtide.console.spreadsheet import Cell, csv_response
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import NotFound

_PAGE = "200"
_PAGES_MAX = 100

Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]


async def page(visit: Visit) -> Response:
    """One of :data:`TABLES` as a file."""
    name = visit.request.path_params["name"]
    if name not in TABLES:
        raise NotFound("there is no such table")
    screen, ask, table = TABLES[name]
    answer = await ask(visit)
    if not answer.is_ok:
        return visit.trouble(screen, answer)
    header, rows = table(answer.data)
    return csv_response(name, header, rows)


def view(name: str, data: dict[str, Any]) -> tuple[Sequence[str], list[Sequence[Cell]]]:
    """One of :data:`TABLES` for the page that has its data already."""
    header, rows = TABLES[name][2](data)
    return header, list(rows)


def _question(path: str) -> Callable[[Visit], Awaitable[Answer]]:
    async def ask(visit: Visit) -> Answer:
        return await visit.get(path)

    return ask


def _incidents(path: str) -> Callable[[Visit], Awaitable[Answer]]:
    async def ask(visit: Visit) -> Answer:
        return await visit.get(path, hours=visit.request.query_params.get("hours") or "24")

    return ask


async def _units(visit: Visit) -> Answer:
    """All pages together."""
    found = await visit.get("/ops/revenue/tenants", limit=_PAGE)
    items = list(found.data.get("items", ()))
    more = found
    for _ in range(_PAGES_MAX):
        cursor = more.data.get("next_cursor")
        if not more.is_ok or not cursor:
            break
        more = await visit.get("/ops/revenue/tenants", limit=_PAGE, cursor=cursor)
        items += more.data.get("items", ())
    return Answer(more.status, more.data | {"items": items})


def _rows(items: Iterable[dict[str, Any]], names: Sequence[str]) -> Table:
    return names, ([one[name] for name in names] for one in items)


def _heatmap(data: dict[str, Any]) -> Table:
    names = ("model", "policy_id", "num_incidents", "share_pct", "mean_severity")
    return _rows(data["by_model_and_policy"], names)


def _policies(data: dict[str, Any]) -> Table:
    names = ("policy_id", "policy_version", "num_incidents", "share_pct", "mean_severity")
    return _rows(data["by_policy_version"], names)


def _causes(data: dict[str, Any]) -> Table:
    names = ("attribution", "num_incidents", "share_pct", "num_needs_review")
    return _rows(data["shares"], names)


def _patterns(data: dict[str, Any]) -> Table:
    return _rows(data["patterns"], ("pattern", "event_type", "count_24h", "count_7d", "trend"))


def _counts(data: dict[str, Any]) -> Table:
    names = ("current", "previous", "change_pct", "last_week", "change_last_week_pct")
    return _rows(data["comparisons"], ("name", *names))


def _features(data: dict[str, Any]) -> Table:
    header = ["feature", "total_actions_30d", "unique_tenants", "pct_of_active_tenants"]
    sides = ("with_feature", "without_feature")
    names = ("num_tenants", "num_kept", "kept_pct")
    return (
        [*header, *(f"{side}.{name}" for side in sides for name in names)],
        (
            [*(one[name] for name in header)]
            + [one["retention"][side][name] for side in sides for name in names]
            for one in data["items"]
        ),
    )


def _funnel(data: dict[str, Any]) -> Table:
    return (
        ["way", "step", "num_tenants", "rate_pct"],
        (
            [way, step["event_type"], step["num_tenants"], step["rate_pct"]]
            for way in ("ordered", "loose")
            for step in data[way]["steps"]
        ),
    )


def _cohorts(data: dict[str, Any]) -> Table:
    return (
        ["cohort_week", "num_tenants", "week", "num_active", "share_pct", "is_complete"],
        (
            [
                one["cohort_week"],
                one["num_tenants"],
                cell["week"],
                cell["num_active"],
                cell["share_pct"],
                "yes" if cell["is_complete"] else "no",
            ]
            for one in data["cohorts"]
            for cell in one["retention"]
        ),
    )


def _margins(data: dict[str, Any]) -> Table:
    names = ("tenant_id", "plan", "paying", "price_usd", "revenue_usd", "llm_cost_usd")
    more = ("margin_usd", "margin_pct", "margin_reason", "num_llm_calls", "num_calls_without_cost")
    return _rows(data["items"], (*names, *more))


def _headroom(data: dict[str, Any]) -> Table:
    names = ("resource", "unit", "used", "limit", "utilization_pct", "growth_per_day")
    more = ("days_to_limit", "days_low", "days_high", "status", "reason")
    return _rows(data["resources"], (*names, *more))


#: Table -> (screen, question, what stands in it).
TABLES: dict[
    str, tuple[str, Callable[[Visit], Awaitable[Answer]], Callable[[dict[str, Any]], Table]]
] = {
    "counts": ("pulse", _question("/ops/pulse"), _counts),
    "heatmap": ("incidents", _incidents("/ops/incidents/heatmap"), _heatmap),
    "policies": ("incidents", _incidents("/ops/incidents/heatmap"), _policies),
    "causes": ("incidents", _incidents("/ops/incidents/attribution"), _causes),
    "patterns": ("incidents", _question("/ops/incidents/patterns"), _patterns),
    "features": ("stickiness", _question("/ops/stickiness"), _features),
    "funnel": ("stickiness", _question("/ops/funnel"), _funnel),
    "cohorts": ("stickiness", _question("/ops/cohorts"), _cohorts),
    "margins": ("revenue", _units, _margins),
    "headroom": ("infra", _question("/ops/infra"), _headroom),
}
