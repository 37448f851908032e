"""``ebbtide cohorts``: do customers come back, week after week."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, print_json, print_table


def cohorts_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def cohorts(
        weeks: int = typer.Option(12, "--weeks", min=1, max=52, help="Cohorts to show."),
        activity: str = typer.Option(
            "any",
            "--activity",
            help="What counts as active: any, investigation, incidents, replays, exports, certs.",
        ),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show whether customers come back, week after week.

        Of the new customers of each week: the share that is active in each week since.

        Examples: ebbtide cohorts, ebbtide cohorts --activity investigation --weeks 8
        """
        with connect() as door:
            body = door.get(
                "/ops/cohorts", weeks=weeks, activity=activity, as_of=as_of, known_at=known_at
            )
        if as_json:
            print_json(body)
            return
        rows = [one for one in body["cohorts"] if one["num_tenants"]]
        if not rows:
            earlier = body["num_earlier_tenants"]
            console.print(f"No new customer in {weeks} weeks; {earlier} began before that.")
            return
        widest = max(len(one["retention"]) for one in rows)
        print_table(
            ("first week", "new", *(f"+{week}" for week in range(widest))),
            [
                *((one["cohort_week"], one["num_tenants"], *_cells(one, widest)) for one in rows),
                ("together", None, *_cells({"retention": body["overall"]}, widest)),
            ],
        )
        console.print(
            "\nPercent of the new customers. A week with ~ is not over; - is not there yet.",
            style="dim",
        )

    return cohorts


def _cells(one: dict[str, Any], width: int) -> list[str]:
    shown = [
        "-" if cell["share_pct"] is None else f"{cell['share_pct']:.0f}{_mark(cell)}"
        for cell in one["retention"]
    ]
    return [*shown, *["-"] * (width - len(shown))][:width]


def _mark(cell: dict[str, Any]) -> str:
    return "" if cell["is_complete"] else "~"
