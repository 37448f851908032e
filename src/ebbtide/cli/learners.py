"""``ebbtide learners``: what belongs to the inactivity job, beside the job itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn

from ebbtide.cli.learners_doctor import learners_doctor
from ebbtide.cli.output import console, errors, inert, print_table

if TYPE_CHECKING:
    from ebbtide.learners.course import Course
    from ebbtide.learners.demo import CourseDay
    from ebbtide.learners.tables import Connection

SIMULATED = "Simulated data: no learner here is real."


def learners_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Learners: a demo of the inactivity job, and a check of its tables.",
    )

    @group.callback()
    def _group() -> None:
        """Learners: a demo of the inactivity job, and a check of its tables."""

    @group.command("demo")
    def demo(
        data: Path | None = typer.Option(
            None, help="Folder with a real course; without it the class is simulated."
        ),
        days: int = typer.Option(84, min=1, help="How many days of it."),
        learners: int = typer.Option(120, min=2, help="Size of a simulated class."),
        seed: int = typer.Option(7, help="Which simulated class."),
    ) -> None:
        """Fill a PostgreSQL with a course, and run the inactivity job day by day.

        It is the one of DATABASE_URL, which must hold nothing else, or one for this command alone.

        Example: ebbtide learners demo --days 42
        """
        from ebbtide.learners.demo import run_days
        from ebbtide.learners.settings import read_learner_settings
        from ebbtide.learners.sources import load_sources
        from ebbtide.learners.tables import make_demo_tables, own_database

        settings = read_learner_settings()
        sources = load_sources()
        with own_database(settings) as (connection, stays):
            if data is None:
                make_demo_tables(connection, SIMULATED)
                course = _simulate(connection, seed, learners, days)
                console.print(SIMULATED, style="bold")
            else:
                course = _load(connection, data)
            num_days = min(days, course.last_day + 1)
            weeks: list[list[CourseDay]] = [[]]
            last: CourseDay | None = None
            with bar("running the job", "days", num_days) as advance:
                for last in run_days(connection, course, range(num_days), settings, sources):
                    advance(1)
                    if len(weeks[-1]) == 7:
                        weeks.append([])
                    weeks[-1].append(last)
        _tell(course, weeks, settings.inactivity_threshold_days)
        if last is not None and stays:
            console.print(
                "The tables stay in DATABASE_URL. Look at one day again: ebbtide "
                f"detect-inactivity --dry-run --as-of {last.as_of:%Y-%m-%d}"
            )
        elif last is not None:
            console.print("This PostgreSQL is gone now; with DATABASE_URL set, the tables stay.")

    group.command("doctor")(learners_doctor)
    return group


def _simulate(connection: Connection, seed: int, num_learners: int, num_days: int) -> Course:
    from ebbtide.learners.simulated_class import fill_class

    with bar("simulating a class", "learners", num_learners) as advance:
        return fill_class(
            connection, seed=seed, num_learners=num_learners, num_days=num_days, advance=advance
        )


def _load(connection: Connection, data: Path) -> Course:
    from ebbtide.learners.course import find_course
    from ebbtide.learners.tables import make_demo_tables

    folder = find_course(data)  # before anything is made
    make_demo_tables(connection, "a real course")
    return load(connection, folder)


def load(connection: Connection, folder: Path) -> Course:
    """Load a course with a bar on a terminal."""
    from ebbtide.learners.course import load_course, num_rows

    with bar("loading the course", "rows", num_rows(folder)) as advance:
        return load_course(connection, folder, advance)


@contextmanager
def bar(doing: str, unit: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar where somebody watches; called with how much more is done."""
    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda num: progress.update(task, advance=num)


def _tell(course: Course, weeks: list[list[CourseDay]], threshold_days: int) -> None:
    console.print(
        inert(
            f"{course.name}: {len(course.students)} learners. The job ran at the end of each day "
            f"(threshold {threshold_days} days); a row is a week."
        )
    )
    print_table(
        ("day", "as of", "inactive", "new", "back", "S > 0.7", "newly", "no P", "withdrawn",
         "ms a run"),
        [
            (
                week[-1].day,
                f"{week[-1].as_of:%Y-%m-%d}",
                week[-1].report.num_inactive,
                sum(one.num_new for one in week),
                sum(one.num_back for one in week),
                week[-1].num_high,
                sum(one.num_new_high for one in week),
                week[-1].report.num_without_p,
                week[-1].num_left,
                sum(one.report.duration_ms for one in week) // len(week),
            )
            for week in weeks
        ],
    )  # fmt: skip
    last = weeks[-1][-1]
    if last.worst:
        console.print()
        print_table(
            ("highest S on the last day", "silent days", "S", "P"),
            [
                (
                    one.user_id,
                    one.silent_days,
                    f"{one.s:.3f}",
                    None if one.p is None else f"{one.p:.3f}",
                )
                for one in last.worst
            ],
        )
