"""``ebbtide detect-inactivity``: who has been away, and what that means for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn

from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, errors, print_json
from ebbtide.domain.errors import EbbtideError, SettingsError
from ebbtide.domain.time import format_instant, parse_instant

if TYPE_CHECKING:
    from ebbtide.alerts.learners import LearnersTold
    from ebbtide.learners.report import InactivityReport

EXIT_NOTHING = 1
EXIT_SOME_FAILED = 2
#: Tells of a run's learners while its connection is open; None: there is no outbox here.
Tell = Callable[["InactivityReport"], "LearnersTold | None"]
_WHOLE_NUMBER = re.compile(r"[0-9]{1,5}")


def detect_inactivity_command(tell: Tell) -> Callable[..., None]:
    """The command.

    Args:
        tell: brings what is new into the outbox of alerts.
    """

    def detect_inactivity(
        threshold: str | None = typer.Option(
            None,
            metavar="N",
            help="Inactivity threshold in days. Default: INACTIVITY_THRESHOLD_DAYS, or 7.",
        ),
        dry_run: bool = typer.Option(
            False,
            "--dry-run",
            help="Make every write and take it back: the database stays as it is.",
        ),
        as_of: str | None = typer.Option(
            None,
            metavar="DATE",
            help="Ask for this moment: 2026-03-12T08:00:00Z, or a date for 00:00 UTC. "
            "Default: now.",
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Find learners without any activity for N days, and write P and S of this week for them.

        Works on the PostgreSQL of DATABASE_URL. Ends with 0 when all is well, 2 when some users
        failed, 1 when nothing could be done.

        Other variables: INACTIVITY_THRESHOLD_DAYS, METRICS_DEFAULT_TARGET, METRICS_USE_BAYESIAN,
        METRICS_CHURN_HORIZON_DAYS, LEARNER_SOURCES, DEBUG.

        Examples: ebbtide detect-inactivity --dry-run; ebbtide detect-inactivity --threshold 14;
        ebbtide detect-inactivity --as-of 2026-03-12
        """

        def say(line: str) -> None:
            """A line of log: beside the JSON if that is asked for."""
            # Written here and not echoed, so that it goes above the bar on a terminal.
            stream = sys.stderr if as_json else sys.stdout
            stream.write(_one_line(line) + "\n")
            stream.flush()

        try:
            report, is_told = _run(_days(threshold), dry_run, _moment(as_of), say, tell)
        except EbbtideError as error:
            typer.echo(_one_line(f"[FATAL] {error}"), err=True)
            raise typer.Exit(EXIT_NOTHING) from error
        if as_json:
            print_json(_body(report))
        raise typer.Exit(report.exit_code if is_told else report.exit_code or EXIT_SOME_FAILED)

    return detect_inactivity


def _run(
    threshold: int | None, dry_run: bool, as_of: datetime, say: Callable[[str], None], tell: Tell
) -> tuple[InactivityReport, bool]:
    """The report, and whether what is new was told, or nothing had to be."""
    # Only this command needs the driver.
    from ebbtide.learners.database import connect
    from ebbtide.learners.job import detect_inactivity
    from ebbtide.learners.settings import read_learner_settings
    from ebbtide.learners.sources import load_sources

    settings = read_learner_settings(inactivity_threshold_days=threshold)
    sources = load_sources(settings.learner_sources)
    with connect(settings) as connection:
        with _bar() as on_progress:
            report = detect_inactivity(
                connection,
                settings,
                as_of=as_of,
                threshold_days=settings.inactivity_threshold_days,
                dry_run=dry_run,
                sources=sources,
                on_progress=on_progress,
                say=say,
            )
        if dry_run:
            return report, True
        try:
            told = tell(report)  # it reads from the connection
        except EbbtideError as error:
            # What the job wrote stays, and nothing counts as told.
            say(f"[ERROR] Alerts were not written, the next run tells them: {error}")
            return report, False
        if told is not None and told.num_messages:
            say(
                f"[INFO] Alerts: {told.num_inactive} newly inactive, {told.num_high_risk} newly "
                f"at high risk, messages={told.num_messages}"
            )
        return report, True


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar where somebody watches; called with how many are done, and of how many."""
    columns = (
        TextColumn("inactive users"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
    )
    with Progress(
        *columns,
        console=errors,
        disable=not errors.is_terminal,
        redirect_stdout=console.is_terminal,  # else the log would leave its file for the terminal
    ) as progress:
        task = progress.add_task("users", total=0, visible=False)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=total > 0)

        yield on_progress


def _days(text: str | None) -> int | None:
    """The threshold; read here, because 2 as the end of the command means something else."""
    if text is None:
        return None
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise SettingsError(f"--threshold: {text!r} is no number of days")
    return int(text)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return parse_instant(as_moment(text) or "")
    except ValueError as error:
        raise SettingsError(
            f"--as-of: {text!r} is no date, and no moment such as 2026-03-12T08:00:00Z"
        ) from error


def _one_line(text: str) -> str:
    """A line of log stays one line, whatever an id or a database says."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _body(report: InactivityReport) -> dict[str, Any]:
    from ebbtide.learners.report import FORMULAS

    return {
        "as_of": format_instant(report.as_of),
        "week_start": report.week.isoformat(),
        "threshold_days": report.threshold_days,
        "dry_run": report.dry_run,
        "inactive": report.num_inactive,
        "processed": report.processed,
        "failed": report.failed,
        "without_p": report.num_without_p,
        "failures": [{"user_id": one.user_id, "error": one.error} for one in report.failures],
        "skipped": list(report.skipped),
        "unreadable": list(report.unreadable),
        "formulas": list(FORMULAS),
        "duration_ms": report.duration_ms,
    }
