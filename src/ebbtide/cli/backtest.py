"""``ebbtide backtest``: how true what Ebbtide says is, on data that was not made for it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ebbtide.cli.output import AS_JSON, console, errors, print_json, print_table


class Half(StrEnum):
    """Which series are looked at."""

    JUDGING = "judging"
    CHOOSING = "choosing"
    ALL = "all"


def backtest_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="How true it is, on data from elsewhere.")

    @group.callback()
    def _group() -> None:
        """How true it is, on data from elsewhere."""

    @group.command("limits")
    def limits(
        data: Path = typer.Option(help="Folder with series/m4 and series/nab, or one of them."),
        half: Half = typer.Option(
            Half.JUDGING,
            help="The half of the series that judges, the one that numbers were chosen on, or all.",
        ),
        every: int = typer.Option(1, min=1, help="Only every so many series, for a quick look."),
        check: bool = typer.Option(False, "--check", help="End with 1 when the goal is missed."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Project days to limits from the past of real series, and compare with what came.

        Example: ebbtide backtest limits --data shared-data
        """
        # Only this command needs them.
        from ebbtide.backtest.limits import report, run
        from ebbtide.backtest.public_series import read_series

        series = [
            one
            for one in read_series(data)
            if half is Half.ALL or one.is_for_choosing == (half is Half.CHOOSING)
        ][::every]
        columns = (
            TextColumn("projecting"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} series"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
            bar = progress.add_task("series", total=len(series))
            cases = run(series, lambda num: progress.update(bar, completed=num))
        found = {"half": half.value, **report(cases)}
        if as_json:
            print_json(found)
        else:
            _tell(found)
        if check and not found["is_goal_met"]:
            raise typer.Exit(1)

    @group.command("learners")
    def learners(
        data: Path = typer.Option(help="Folder with a real course, or with learners/ in it."),
        out: Path | None = typer.Option(None, help="Keep the figures in this file, as JSON."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Hold S against who left within 14 days, and P against who passed, at days of a course.

        It needs a PostgreSQL: that of DATABASE_URL, in a schema that is dropped afterwards, or one
        for this command alone.

        Example: ebbtide backtest learners --data shared-data --out learners.json
        """
        from ebbtide.backtest.learners import DAYS, report, run
        from ebbtide.cli.learner_figures import tell_learners
        from ebbtide.cli.learners import bar, load
        from ebbtide.learners.course import find_course
        from ebbtide.learners.settings import read_learner_settings
        from ebbtide.learners.sources import load_sources
        from ebbtide.learners.tables import own_database, tables_aside

        folder = find_course(data)  # before anything is made
        settings = read_learner_settings()
        with own_database(settings) as (connection, _), tables_aside(connection):
            course = load(connection, folder)
            with bar("looking back", "days", len(DAYS)) as advance:
                cases = run(connection, course, settings, load_sources(), lambda _num: advance(1))
        found = report(course, cases)
        if out is not None:
            out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if as_json:
            print_json(found)
        else:
            tell_learners(found)

    return group


def _tell(found: dict[str, Any]) -> None:
    growing, stable = found["growing"], found["stable"]
    console.print(
        f"{found['num_cases']:,} cases of {found['num_series']} series ({found['half']} half); "
        f"{growing['num_cases']:,} growing, {stable['num_cases']:,} stable, "
        f"{found['num_insufficient']:,} with too few samples."
    )
    low, high = (_pct(end) for end in found["goal"])
    between = " to ".join(str(_pct(end)) for end in growing["inside_95"] or ())
    console.print(
        f"Inside the {found['interval']:.0%} interval: {_pct(growing['inside'])} of "
        f"{growing['num_reached']:,} limits that were reached after a day was named "
        f"(95 % of draws: {between}; goal {low} to {high}: "
        f"{'met' if found['is_goal_met'] else 'MISSED'})."
    )
    for one in found["collections"]:
        mine = one["growing"]
        between = " to ".join(str(_pct(end)) for end in mine["inside_95"] or ())
        console.print(
            f"{one['collection']} alone: {_pct(mine['inside'])} of {mine['num_reached']:,} "
            f"(95 % of draws: {between})."
        )
    console.print(
        f"Of all limits that were reached, named or not: {_pct(found['inside_of_all_reached'])}. "
        f"Stable, and reached before days_low: {_pct(stable['before'])} (10 % would be right)."
    )
    console.print()
    print_table(
        ("series", "growing", "reached", "inside", "before", "after", "open", "high/low",
         "stable", "reached early"),
        [
            (
                one["group"],
                one["growing"]["num_cases"],
                one["growing"]["num_reached"],
                _pct(one["growing"]["inside"]),
                _pct(one["growing"]["before"]),
                _pct(one["growing"]["after"]),
                _pct(one["growing"]["open_ended"]),
                _number(one["growing"]["median_width"]),
                one["stable"]["num_cases"],
                _pct(one["stable"]["before"]),
            )
            for one in found["groups"]
        ],
    )  # fmt: skip
    console.print()
    print_table(
        ("series", "estimator", "answers", "median error", "of the truth", "within 20 %"),
        [
            (
                name,
                one["estimator"],
                one["num_answers"],
                None if one["median_error_days"] is None else f"{one['median_error_days']:.2f} d",
                _pct(one["median_error_share"]),
                _pct(one["near"]),
            )
            for name, errors in (
                ("all", found["errors"]),
                *((part["collection"], part["errors"]) for part in found["collections"]),
            )
            for one in errors
        ],
    )


def _pct(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
