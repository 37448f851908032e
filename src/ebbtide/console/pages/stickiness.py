"""Product Stickiness: which feature actually keeps users?"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from ebbtide.console.pages import tables
from ebbtide.console.shown import words
from ebbtide.console.visit import Visit
from ebbtide.domain.time import format_instant, parse_instant

_WEEKS = timedelta(weeks=12)  # as many as the API shows


async def page(visit: Visit) -> Response:
    """Features and who stayed with them, the funnel, and weeks of customers that came together."""
    features, funnel, cohorts, log = await asyncio.gather(
        visit.get("/ops/stickiness"),
        visit.get("/ops/funnel"),
        visit.get("/ops/cohorts"),
        visit.get("/ops/changes", since=_first_monday(visit), limit="200"),
    )
    for answer in (features, funnel, cohorts, log):
        if not answer.is_ok:
            return visit.trouble("stickiness", answer)
    changes = [
        {"at": one["at"], "what": _what(one)}
        for one in log.data["items"]
        if one["tenant_id"] is None  # what touches one customer explains no week
    ]
    changed: defaultdict[str, list[str]] = defaultdict(list)
    for one in changes:
        day = parse_instant(one["at"]).date()
        changed[(day - timedelta(days=day.weekday())).isoformat()].append(one["what"])
    shown = [one for one in cohorts.data["cohorts"] if one["num_tenants"]]
    return visit.page(
        "stickiness",
        "stickiness.html",
        features=features.data,
        funnel=funnel.data,
        cohorts=shown,
        num_weeks=max((len(one["retention"]) for one in shown), default=0),
        funnel_view=tables.view("funnel", funnel.data),
        changes=changes,
        changed=changed,
        cohorts_formula=cohorts.data["formula"],
    )


def _first_monday(visit: Visit) -> str:
    """The Monday of the first week shown."""
    at = visit.moment.as_of or visit.moment.known_at or visit.desk.clock()
    return format_instant(max(at, datetime(1970, 4, 1, tzinfo=UTC)) - _WEEKS)


def _what(change: dict[str, Any]) -> str:
    """A change in words."""
    named = [change[name] for name in ("policy_id", "policy_version", "model", "plan", "value")]
    said = " ".join(str(one) for one in (*named, change["subject"], change["note"]) if one)
    return f"{words(change['kind'] or 'change')} {said}".strip()
