"""Customer Intelligence, one customer: who is this, and are they slipping?"""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console import charts
from ebbtide.console.ask import Answer
from ebbtide.console.spreadsheet import csv_response
from ebbtide.console.visit import Visit
from ebbtide.domain.ids import to_uuid_text

LOOKS = "investigations"  # the row of all views, replays and exports
NUM_MAIN = 6  # rows of the timeline that are open; the API puts those that tell most first


async def page(visit: Visit) -> Response:
    """Everything about one customer on one page."""
    found = await _profile(visit)
    if not found.is_ok:
        return visit.trouble("customers", found)
    one = found.data
    days = one["timeline"][0]["days"] if one["timeline"] else []
    return visit.page(
        "customers",
        "customer.html",
        one=one,
        rows=[(line, charts.bars(line["days"])) for line in one["timeline"]],
        days=days,
        looks=charts.bars(
            next((line["days"] for line in one["timeline"] if line["name"] == LOOKS), [])
        ),
        marks=charts.marks(days, one["changes"]),
        weeks=charts.weeks(days),
        num_main=NUM_MAIN,
        width=charts.WIDTH,
        height=charts.HEIGHT,
    )


async def timeline_csv(visit: Visit) -> Response:
    """The timeline as a table for a spreadsheet: a row for each day, a column for each type."""
    found = await _profile(visit)
    if not found.is_ok:
        return visit.trouble("customers", found)
    lines = found.data["timeline"]
    return csv_response(
        "timeline",
        ["date", *[line["name"] for line in lines]],
        (
            [together[0]["date"], *[day["num"] for day in together]]
            for together in zip(*[line["days"] for line in lines], strict=True)
        ),
    )


async def _profile(visit: Visit) -> Answer:
    return await visit.get(f"/ops/customers/{to_uuid_text(visit.request.path_params['tenant'])}")
