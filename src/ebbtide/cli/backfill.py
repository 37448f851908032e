"""``ebbtide backfill``: the scores of many past moments, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ebbtide.catalog.schedule import parse_duration
from ebbtide.cli.door import Connect
from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, errors, inert, print_json, print_table
from ebbtide.domain.time import format_instant, parse_instant

EXIT_NOT_ALL = 2  # some tenants could not be computed at some moment
TIMEOUT_S = 600.0  # of one moment; millions of events are read in full


def backfill_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def backfill(
        first: str = typer.Option(..., "--from", help="First moment or day, such as 2022-01-01."),
        last: str = typer.Option(..., "--to", help="Last moment or day; a day is its 00:00 UTC."),
        every: str = typer.Option("7d", help="Step, such as 7d, 1d or 6h."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Compute and keep the scores of past moments, for their history; not needed to ask.

        One moment after the other, from first to last. What is current stays as it is, and so do
        suggestions. today, why and customers answer for any past moment also without it.

        Ends with 0 when all was computed, 2 when tenants were left out. It may be stopped and
        started again: a moment that is there already is computed again and adds nothing.

        Example: ebbtide backfill --from 2022-01-01 --to 2022-12-31 --every 7d
        """
        moments = list(_moments(_moment("--from", first), _moment("--to", last), _step(every)))
        with connect() as door, _Bar(len(moments), is_quiet=as_json) as bar:
            filled = []
            for moment in moments:
                path = "/ops/backfill"
                filled.append(door.post(path, timeout_s=TIMEOUT_S, as_of=format_instant(moment)))
                bar.advance(moment)
        if as_json:
            print_json({"moments": filled})
        else:
            _tell(filled)
        if any(one["failed_tenants"] for one in filled):
            raise typer.Exit(EXIT_NOT_ALL)

    return backfill


class _Bar:
    """How far it is; nothing where nobody watches."""

    def __init__(self, total: int, *, is_quiet: bool) -> None:
        self._bar: Progress | None = None
        if not is_quiet and errors.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=errors,
                transient=True,
            )
            self._task = self._bar.add_task("backfill", total=total)

    def advance(self, moment: datetime) -> None:
        """One moment is done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{moment:%Y-%m-%d %H:%M}")

    def __enter__(self) -> _Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _tell(filled: list[dict[str, Any]]) -> None:
    print_table(
        ("as of", "customers", "at risk", "silent", "new scores"),
        [
            (
                one["as_of"],
                one["num_tenants"],
                one["num_at_risk"],
                one["num_silent"],
                one["num_scores"],
            )
            for one in filled
        ],
    )
    for one in filled:
        for left_out in one["failed_tenants"]:
            tenant, reason = left_out["tenant_id"], left_out["reason"]
            console.print(inert(f"left out at {one['as_of']}: {tenant}: {reason}"))
    num_new = sum(one["num_scores"] for one in filled)
    console.print(f"{len(filled)} moments computed, {num_new} scores kept.")


def _moments(first: datetime, last: datetime, every: timedelta) -> Iterator[datetime]:
    """From the first one on, up to the last one at most."""
    if first > last:
        raise typer.BadParameter("--from lies after --to")
    moment = first
    while moment <= last:
        yield moment
        moment += every


def _moment(option: str, text: str) -> datetime:
    """A moment with its offset, or a day, which means its 00:00 UTC."""
    try:
        return parse_instant(as_moment(text) or text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{option}: {text!r} is no day such as 2022-01-01 and no moment"
            " such as 2022-01-01T08:00:00Z"
        ) from error


def _step(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--every: {error}") from error
