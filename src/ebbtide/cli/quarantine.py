"""``ebbtide quarantine``: see what could not be stored, and let it in after a fix."""

from __future__ import annotations

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table


def quarantine_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Events that could not be stored, and why.")

    @group.command("list")
    def list_(
        reason: str | None = typer.Option(None, help="Only this reason, or its family."),
        tenant: str | None = typer.Option(None, help="Only this tenant."),
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """List waiting events, newest first, with their raw text."""
        with connect() as door:
            body = door.get("/v1/quarantine", reason=reason, tenant_id=tenant, limit=limit)
        if as_json:
            print_json(body)
            return
        if not body["total"]:
            console.print("Nothing waits.")
            return
        counts = ", ".join(f"{num} {name}" for name, num in body["by_reason"].items())
        console.print(inert(f"{body['total']} wait: {counts}"))
        print_table(
            ("id", "reason", "door", "tenant", "received", "raw"),
            [
                (
                    row["id"],
                    row["reason"],
                    row["door"] if row["line"] is None else f"{row['file']}:{row['line']}",
                    row["tenant_id"],
                    row["received_at"],
                    (row["raw"] or f"({row['raw_bytes']} bytes)")[:120],
                )
                for row in body["items"]
            ],
        )

    @group.command("release")
    def release(
        ids: list[int] | None = typer.Argument(None, help="Rows to try; all that match if none."),
        reason: str | None = typer.Option(None, help="Only this reason, or its family."),
        tenant: str | None = typer.Option(None, help="Only this tenant."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Try waiting events again, with mapping files as they are now; store those that pass.

        Example: ebbtide quarantine release --reason unmapped_event
        """
        body: dict[str, object] = {"reason": reason, "tenant_id": tenant}
        if ids:
            body["ids"] = ids
        with connect() as door:
            report = door.post(
                "/v1/quarantine/release",
                {k: v for k, v in body.items() if v is not None},
            )
        if as_json:
            print_json(report)
            return
        console.print(
            f"Tried {report['tried']}: released {report['released']}, "
            f"{report['remaining']} still wait."
        )

    @group.command("discard")
    def discard(
        ids: list[int] = typer.Argument(help="Rows to give up."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Mark rows as no events. They stay listed as discarded; nothing is deleted."""
        with connect() as door:
            report = door.post("/v1/quarantine/discard", {"ids": ids})
        if as_json:
            print_json(report)
        else:
            console.print(f"Discarded {report['discarded']}.")

    return group
