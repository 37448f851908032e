"""``ebbtide tenants``: the directory of customers, and erasing one for good."""

from __future__ import annotations

from urllib.parse import quote

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table


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
            print_json(door.get(f"/v1/tenants/{quote(tenant, safe='')}"))

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
            report = door.delete(f"/v1/tenants/{quote(tenant, safe='')}", confirm=tenant)
        if as_json:
            print_json(report)
        else:
            console.print(inert(f"Erased {report['tenant_id']}: {report['erased_events']} events."))

    return group
