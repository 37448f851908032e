"""``ebbtide tenants``: the directory of customers, and erasing one for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table
from ebbtide.domain.ids import to_uuid_text


def tenants_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="The directory of customers.")

    @group.command("list")
    def list_(limit: int = typer.Option(100, min=1, max=1000), as_json: bool = AS_JSON) -> None:
        """List tenants by id."""
        with connect() as door:
            body = door.get("/v1/tenants", limit=limit)
        if as_json:
            print_json(body)
            return
        if not body["tenants"]:
            console.print("No tenants yet: they appear with their first event.")
            return
        print_table(
            ("tenant", "name", "plan", "price_usd", "started", "cancelled"),
            [
                (
                    t["tenant_id"],
                    t["name"],
                    t["plan"],
                    t["price_usd"],
                    t["started"],
                    t["cancelled"],
                )
                for t in body["tenants"]
            ],
        )

    @group.command("show")
    def show(tenant: str = typer.Argument(help="Its id or UUID.")) -> None:
        """Show one tenant as JSON."""
        with connect() as door:
            print_json(door.get(_path(tenant)))

    @group.command("enter")
    def enter(
        file: Path = typer.Argument(help="JSON: a list of tenants, or an object with one."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Enter tenants from a file: name, plan, price, contacts; what is null stays as it is.

        Each has a tenant_id and any of name, plan, price_usd (per 30 days), started, cancelled and
        contacts (name, email, role). A cancellation is stored as an event too. Repeating it
        changes nothing.

        Example: ebbtide tenants enter simulated/tenants.json
        """
        tenants = _read(file)
        with connect() as door:
            for tenant_id, said in tenants:
                # A full stop is encoded too, or the id of two of them would leave the folder.
                path = quote(tenant_id, safe="").replace(".", "%2E")
                door.put(f"/v1/tenants/{path}", said)
        if as_json:
            print_json({"num_entered": len(tenants)})
        else:
            console.print(f"Entered {len(tenants)} tenants.")

    @group.command("erase")
    def erase(
        tenant: str = typer.Argument(help="Its id."),
        yes: bool = typer.Option(False, "--yes", help="Do not ask."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Erase a tenant's events, sums, entry and keys for good. There is no undo."""
        if not yes:
            typed = typer.prompt(f"Type {tenant!r} again to erase it for good")
            if typed != tenant:
                raise typer.BadParameter("that is not the same id; nothing was erased")
        with connect() as door:
            report = door.delete(_path(tenant), confirm=to_uuid_text(tenant))
        if as_json:
            print_json(report)
        else:
            console.print(inert(f"Erased {report['tenant_id']}: {report['erased_events']} events."))

    return group


def _read(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Ids and what the file says of each; what is null is left out."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from error
    tenants = found.get("tenants") if isinstance(found, dict) else found
    if not isinstance(tenants, list):
        raise typer.BadParameter(f"{file} holds no list of tenants")
    read = []
    for place, one in enumerate(tenants, 1):
        if not isinstance(one, dict) or not isinstance(one.get("tenant_id"), str):
            raise typer.BadParameter(f"tenant {place} of {file} has no tenant_id")
        said = {name: value for name, value in one.items() if value is not None}
        read.append((said.pop("tenant_id"), said))
    return read


def _path(tenant: str) -> str:
    """By its UUID: of an id like ``..`` not every program on the way leaves a path."""
    return f"/v1/tenants/{to_uuid_text(tenant)}"
