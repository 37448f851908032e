"""``ebbtide quarantine``: see what could not be stored, and let it in after a fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ebbtide.catalog.mapping import read_mapping_text
from ebbtide.cli.door import CommandError, Connect, Door
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table
from ebbtide.domain.quarantine import QuarantineStatus

EXIT_NOT_ALL = 2  # some of the rows that were tried still wait


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
        console.print(inert(f"{body['total']} wait: {_counts(body['by_reason'])}"))
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
        ids: list[int] | None = typer.Argument(
            None, min=1, help="Rows to try; all that match if none."
        ),
        reason: str | None = typer.Option(None, help="Only this reason, or its family."),
        tenant: str | None = typer.Option(None, help="Only this tenant."),
        mapping: Path | None = typer.Option(
            None, "--mapping", "-m", help="Mapping file for rows imported with one of its name."
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Try waiting events again, with mapping files as they are now; store those that pass.

        Exit code: 0 all that were tried are in, 2 some still wait.

        Examples:

        ebbtide quarantine release --reason unmapped_event

        ebbtide quarantine release --mapping teams.toml
        """
        body: dict[str, object] = {"reason": reason, "tenant_id": tenant}
        if ids:
            body["ids"] = ids
        if mapping is not None:
            body["mapping"] = asdict(read_mapping_text(mapping))
        with connect() as door:
            _need_rows(door, ids or ())
            report = door.post(
                "/v1/quarantine/release",
                {k: v for k, v in body.items() if v is not None},
            )
        if as_json:
            print_json(report)
        else:
            _print_release(report)
        if report["remaining"]:
            raise typer.Exit(EXIT_NOT_ALL)

    @group.command("discard")
    def discard(
        ids: list[int] = typer.Argument(min=1, help="Rows to give up."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Mark rows as no events. They stay listed as discarded; nothing is deleted."""
        with connect() as door:
            _need_rows(door, ids)
            report = door.post("/v1/quarantine/discard", {"ids": ids})
        if as_json:
            print_json(report)
        else:
            console.print(f"Discarded {report['discarded']}.")

    return group


def _need_rows(door: Door, ids: Iterable[int]) -> None:
    """Refuse before anything is changed when an id is a slip.

    Raises:
        CommandError: some id is that of no row, whether it waits or not.
    """
    missing = [str(one) for one in dict.fromkeys(ids) if not _is_row(door, one)]
    if missing:
        raise CommandError(
            f"no such row in quarantine: {', '.join(missing)}; nothing was changed."
            " The ids: ebbtide quarantine list"
        )


def _is_row(door: Door, number: int) -> bool:
    for status in QuarantineStatus:
        # Pages run downwards from the cursor, so the first row below the next number is the one.
        page = door.get("/v1/quarantine", status=status.value, cursor=number + 1, limit=1)
        if any(row["id"] == number for row in page["items"]):
            return True
    return False


def _print_release(report: dict[str, Any]) -> None:
    waiting = f"{report['remaining']} still wait"
    if report["reasons"]:
        waiting += f": {_counts(report['reasons'])}"
    console.print(inert(f"Tried {report['tried']}: released {report['released']}, {waiting}."))
    for name, num in report["missing_mappings"].items():
        console.print(
            inert(
                f"{num} of them came with the mapping {name!r}, which the server does not have: "
                "give its file with --mapping."
            )
        )


def _counts(by_reason: dict[str, int]) -> str:
    return ", ".join(f"{num} {reason}" for reason, num in by_reason.items())
