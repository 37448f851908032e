"""``ebbtide events``: look at what is stored, as of any moment."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, print_json, print_table


def events_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def events(
        tenant: str | None = typer.Option(None, help="Only this tenant."),
        event_type: str | None = typer.Option(None, "--type", help="Only this type."),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """Show stored events, newest first.

        Example: ebbtide events --tenant acme-ai --type EXPORT_GENERATED
        """
        with connect() as door:
            body = door.get(
                "/v1/events",
                tenant_id=tenant,
                event_type=event_type,
                as_of=as_of,
                known_at=known_at,
                limit=limit,
            )
        if as_json:
            print_json(body)
            return
        if not body["events"]:
            console.print("No events match.")
            return
        print_table(
            ("timestamp", "tenant", "type", "user", "source", "event"),
            [
                (
                    e["timestamp"],
                    e["tenant_id"],
                    e["event_type"],
                    e["user_id"],
                    e["source"],
                    e["event_id"],
                )
                for e in body["events"]
            ],
        )

    return events
