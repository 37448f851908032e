"""Customer Intelligence, the list: which customers need a look?"""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.visit import Visit

#: Filters of the list: the parameter, its label, and what it may be.
FILTERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("risk_level", "Risk", ("critical", "high", "medium", "low")),
    ("stickiness_trend", "Trend", ("rising", "stable", "falling", "silent", "unknown")),
    ("is_silent_churn", "Silent churn", ("true", "false")),
    ("paying", "Paying", ("yes", "no", "unknown")),
    ("status", "Status", ("active", "churned", "gone")),
    (
        "inferred_buyer_type",
        "Wants",
        ("Legal/Compliance", "Debugging", "Reliability Monitoring", "Proxy Only"),
    ),
)
SORTS = {
    "risk": "worst risk first",
    "delta": "steepest fall first",
    "stickiness": "most engaged first",
    "friction": "most friction first",
    "recent": "newest activity first",
    "tenant_id": "by name",
}
LIMIT = "50"


async def page(visit: Visit) -> Response:
    """A page of customers, filtered and sorted as the address says."""
    params = visit.request.query_params
    names = [*[name for name, _, _ in FILTERS], "playbook"]
    chosen = {name: params[name] for name in names if params.get(name)}
    sort = params.get("sort") or "risk"
    found = await visit.get(
        "/ops/customers", limit=LIMIT, sort=sort, cursor=params.get("cursor"), **chosen
    )
    if not found.is_ok:
        return visit.trouble("customers", found)
    return visit.page(
        "customers",
        "customers.html",
        found=found.data,
        filters=FILTERS,
        chosen=chosen,
        sorts=SORTS,
        sort=sort,
        is_first=not params.get("cursor"),
    )
