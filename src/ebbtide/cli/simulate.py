"""``ebbtide simulate``: write a sample company and its ground truth to a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, errors, print_json
from ebbtide.domain.time import format_instant, parse_instant


def simulate(
    seed: int = typer.Option(7, help="Any number; equal seeds give equal companies."),
    tenants: int = typer.Option(60, min=1, help="How many customers."),
    days: int = typer.Option(45, min=1, help="How many days of history."),
    end: str | None = typer.Option(
        None,
        callback=as_moment,
        help="Last moment of the history; the last full hour if left out.",
    ),
    scale: float = typer.Option(1.0, help="Calls per call of the plain company."),
    out: Path = typer.Option(Path("simulated"), help="Folder to write to."),
    compress: bool = typer.Option(False, "--gzip", help="Write events.jsonl.gz."),
    as_json: bool = AS_JSON,
) -> None:
    """Simulate an LLM-proxy business: events.jsonl, tenants.json and truth.json.

    Everything in them is simulated and says so.

    Example: ebbtide simulate --seed 7 --tenants 60 --days 45 --out simulated
    """
    # Here, since every other command would wait for them.
    from ebbtide.simulate.simulation import simulate as write_story
    from ebbtide.simulate.write import write

    try:
        moment = _last_hour() if end is None else parse_instant(end)
        story = write_story(seed, tenants, days, moment, scale)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} days"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("days", total=days)
        written = write(
            story,
            out,
            compress=compress,
            progress=lambda _, day, __: progress.update(bar, completed=day),
        )
    if as_json:
        print_json(
            {
                "simulated": True,
                "num_events": written.num_events,
                "num_tenants": tenants,
                "end": format_instant(moment),
                "events": str(written.events),
                "tenants": str(written.tenants),
                "truth": str(written.truth),
            }
        )
        return
    console.print(f"Simulated {written.num_events:,} events of {tenants} customers into {out}/")
    console.print(f"Import them with:          ebbtide import {written.events}")
    console.print(f"Their names and contacts:  ebbtide tenants enter {written.tenants}")
    console.print(f"What is true of them:      {written.truth}")


def _last_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
