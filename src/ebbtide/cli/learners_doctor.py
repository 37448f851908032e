"""``ebbtide learners doctor``: what the inactivity job would find here, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

if TYPE_CHECKING:
    from ebbtide.learners.doctor import Row

EXIT_BLOCKED = 1


def learners_doctor(as_json: bool = AS_JSON) -> None:
    """Say which tables, columns and indexes the inactivity job finds, and what it will skip.

    Looks at the PostgreSQL of DATABASE_URL and changes nothing. Ends with 1 when the job cannot
    run there.

    Example: ebbtide learners doctor
    """
    # Only this command needs the driver.
    from ebbtide.learners.database import connect
    from ebbtide.learners.doctor import diagnose
    from ebbtide.learners.settings import read_learner_settings
    from ebbtide.learners.sources import load_sources

    settings = read_learner_settings()
    sources = load_sources(settings.learner_sources)
    with connect(settings) as connection:
        found = diagnose(connection, sources)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(
            ("part", "used for", "table", "", "rows", "columns", "index with them", "problem"),
            [
                (
                    row.part,
                    row.use,
                    row.table if row.kind in (None, "table") else f"{row.table} ({row.kind})",
                    row.status,
                    _rows(row),
                    ", ".join(row.columns) or None,
                    None if row.index is None else ", ".join(one or "…" for one in row.index),
                    row.problem,
                )
                for row in found.rows
            ],
        )
        console.print()
        for text in found.advice:
            console.print(inert(f"Advice: {text}."))
        for text in found.skipped:
            console.print(inert(f"Skipped: {text}."))
        for text in found.blockers:
            console.print(inert(f"The job cannot run: {text}."), style="red")
        if not found.blockers:
            console.print("The job can run here.")
    if found.blockers:
        raise typer.Exit(EXIT_BLOCKED)


def _rows(row: Row) -> str | None:
    if row.num_counted is not None:
        return f"{row.num_counted:,}{' or more' if row.has_more else ''}"
    if row.num_rows is not None:
        return f"about {row.num_rows:,}"
    return "not counted" if row.kind else None
