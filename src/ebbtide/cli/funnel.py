"""``ebbtide funnel``: how far customers get, where they stop, and who they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table


def funnel_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def funnel(
        tenant_id: str | None = typer.Argument(
            None, metavar="CUSTOMER", help="One customer's way, with its events."
        ),
        stopped: str | None = typer.Option(
            None, "--stopped", help="Who reached this step in order and went no further."
        ),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show how far customers get, and where they stop.

        The steps of 30 days lead from an incident to a verified certificate.

        Examples: ebbtide funnel, ebbtide funnel acme, ebbtide funnel --stopped INCIDENT_VIEWED
        """
        if tenant_id is not None and stopped is not None:
            raise typer.BadParameter("give a customer or --stopped, not both")
        moment = {"as_of": as_of, "known_at": known_at}
        with connect() as door:
            if tenant_id is not None:
                body = door.get(f"/ops/funnel/tenants/{_quoted(tenant_id)}", **moment)
            elif stopped is not None:
                body = door.get("/ops/funnel/tenants", step=stopped.upper(), stopped=True, **moment)
            else:
                body = door.get("/ops/funnel", **moment)
        if as_json:
            print_json(body)
        elif tenant_id is not None:
            _print_way(body)
        elif stopped is not None:
            print_names(body, "Nobody stopped there.")
        else:
            _print_funnel(body)

    return funnel


def _quoted(tenant_id: str) -> str:
    from urllib.parse import quote

    return quote(tenant_id, safe="")


def _print_funnel(body: dict[str, Any]) -> None:
    ordered, loose = body["ordered"], body["loose"]
    if not any(step["num_tenants"] for step in loose["steps"]):
        console.print("No customer took any step in 30 days.")
        return
    print_table(
        ("step", "in order", "of the step before", "in any order", "of the step before"),
        [
            (
                one["title"],
                one["num_tenants"],
                percent(one["rate_pct"]),
                other["num_tenants"],
                percent(other["rate_pct"]),
            )
            for one, other in zip(ordered["steps"], loose["steps"], strict=True)
        ],
    )
    drop_off = ordered["drop_off"]
    if drop_off is not None:
        step = next(
            one["title"] for one in ordered["steps"] if one["event_type"] == drop_off["event_type"]
        )
        console.print(
            inert(
                f"\nMost are lost before: {step} ({drop_off['rate_pct']} % go on)."
                f" {drop_off['interpretation']}: {drop_off['action']}."
            )
        )


def _print_way(body: dict[str, Any]) -> None:
    print_table(
        ("step", "events in 30 days", "reached in order", "by event"),
        [
            (
                one["title"],
                one["num_events"],
                one["reached_at"],
                None if one["event"] is None else one["event"]["event_id"],
            )
            for one in body["steps"]
        ],
    )


def print_names(body: dict[str, Any], nobody: str) -> None:
    """Customers behind a number, one to a line."""
    if not body["total"]:
        console.print(nobody)
        return
    for name in body["tenants"]:
        console.print(inert(name))
    if body["total"] > len(body["tenants"]):
        console.print(f"... {body['total']} in all", style="dim")


def percent(value: float | None) -> str | None:
    """A share as people read it; None stays unknown."""
    return None if value is None else f"{value:.1f} %"
