"""``ebbtide customers``: all customers with their scores, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable

import typer
from rich.table import Table
from rich.text import Text

from ebbtide.cli.door import Connect
from ebbtide.cli.drawing import (
    level,
    name_of,
    number,
    page,
    tell_moment,
    tell_nobody,
)
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, print_json


def customers_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def customers(
        level_: str | None = typer.Option(
            None, "--level", help="Only critical, high, medium or low; several by comma."
        ),
        status: str | None = typer.Option(None, help="Only active, churned or gone."),
        playbook: str | None = typer.Option(None, help="Only those that match this playbook."),
        silent: bool | None = typer.Option(None, "--silent", help="Only silent churn."),
        sort: str = typer.Option(
            "risk", help="risk, stickiness, delta, friction, recent or tenant_id."
        ),
        limit: int = typer.Option(50, min=1, max=200),
        cursor: str | None = typer.Option(None, help="The next page, as this one names it."),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """List customers with risk, use and friction.

        Example: ebbtide customers --level critical,high --sort stickiness
        """
        with connect() as door:
            body = door.get(
                "/ops/customers",
                risk_level=level_,
                status=status,
                playbook=playbook,
                is_silent_churn="true" if silent else None,
                sort=sort,
                limit=limit,
                cursor=cursor,
                as_of=as_of,
                known_at=known_at,
            )
        if as_json:
            print_json(body)
            return
        console = page()
        was_asked = bool(as_of or known_at or cursor)
        tell_moment(console, body, was_asked=was_asked, known_at=known_at)
        if not body["total"]:
            if level_ or status or playbook or silent:
                console.print("No customers match.")
            else:
                tell_nobody(console, body, was_asked=was_asked)
            return
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", expand=True)
        # A name and an id too long for one line stand on two: a cut id could not be copied.
        table.add_column("customer", ratio=1, overflow="fold")
        table.add_column("level", no_wrap=True)
        for name in ("7 d", "30 d", "ratio", "friction", "idle"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for one in body["items"]:
            idle = one["investigation_gap_days"]
            table.add_row(
                name_of(one, "not bold"),
                level(one["risk_level"]),
                number(one["stickiness_7d"]),
                number(one["stickiness_30d"]),
                number(one["stickiness_delta"]),
                number(one["friction_weighted_score"]),
                "—" if idle is None else f"{int(idle)} d",
                _word(one),
            )
        console.print(table)
        if body["next_cursor"]:
            left = f"{len(body['items'])} of {body['total']}; next: --cursor {body['next_cursor']}"
            console.print(Text(left, "dim"), soft_wrap=True)

    return customers


def _word(one: dict[str, object]) -> Text:
    """What stands out most."""
    if one["status"] != "active":
        return Text(str(one["status"]), "dim")
    if one["is_silent_churn"]:
        return Text("silent", "bold red")
    return Text(str(one["stickiness_trend"]), "dim")
