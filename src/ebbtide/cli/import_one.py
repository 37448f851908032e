"""Imports one file for ``ebbtide import``: the progress bar, and what became of the rows."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import SourceMapping
from ebbtide.cli.output import console, errors, inert
from ebbtide.cli.server_sink import ServerSink
from ebbtide.domain.errors import EbbtideError, ImportFailed
from ebbtide.domain.event import Outcome
from ebbtide.domain.time import format_instant
from ebbtide.ingest.file_import import FileImport, ImportReport

LINE_EVERY_S = 5.0  # between two lines where nobody watches


def import_one(
    file: Path, mapping: SourceMapping | None, sink: ServerSink, again: bool, as_json: bool
) -> dict[str, Any]:
    """Import one file and say how it went; one that fails does not stop the next.

    Args:
        file: of any form that an import reads.
        mapping: how its rows become events; None when they are events already.
        sink: where its chunks go.
        again: read from the beginning, also what was imported before.
        as_json: say nothing here; the caller prints the summary.

    Returns:
        What became of its rows; with ``error``, a sentence, when it did not come to its end.
    """
    report = ImportReport(file.name)
    meter: _Meter | None = None

    def show(so_far: ImportReport, read_bytes: int) -> None:
        nonlocal report
        report = so_far
        if meter is not None:
            meter.show(so_far, read_bytes)

    failure: str | None = None
    try:
        work = FileImport(file, mapping, load_catalog())
        meter = _Meter(file.name, work.size_bytes, as_json)
        report = work.run(sink, started_at=_now(), clock=_now, again=again, on_progress=show)
    except ImportFailed as error:
        failure = str(error)
    except EbbtideError as error:
        failure = f"{file.name}: {error}"
    finally:
        seconds = 0.0 if meter is None else meter.stop()
    summary = _summary(report, seconds)
    if failure is not None:
        num_done = report.resumed_rows + report.num_rows
        if num_done:
            same = "the same command without --again" if again else "the same command"
            failure += f" ({num_done:,} rows are done; {same} goes on after them)"
        summary["error"] = failure
    if not as_json:
        if failure is None or report.num_rows:
            _print(summary, report)
        if failure is not None:
            errors.print(inert(failure), style="red")
    return summary


def _now() -> datetime:
    return datetime.now(UTC)


def _summary(report: ImportReport, seconds: float) -> dict[str, Any]:
    done = report.already_done
    return {
        "file": report.file,
        "already_imported_at": None
        if done is None or done.finished_at is None
        else format_instant(done.finished_at),
        "resumed_after_rows": report.resumed_rows,
        "rows": report.num_rows,
        **{one.word: report.counts[one] for one in Outcome},
        "skipped": report.num_skipped,
        "is_clean": report.is_clean,
        "reasons": dict(report.reasons.most_common()),
        "examples": [{"line": one.line, "reason": one.reason} for one in report.examples],
        "seconds": round(seconds, 3),
        "rows_per_s": round(report.num_rows / seconds) if seconds and report.num_rows else None,
    }


def _print(summary: dict[str, Any], report: ImportReport) -> None:
    name = report.file
    done = report.already_done
    if done is not None:
        console.print(
            inert(
                f"{name}: imported before, on {summary['already_imported_at']} "
                f"({done.num_stored:,} stored then); nothing to do. "
                "--again reads it once more."
            )
        )
        return
    if report.resumed_rows:
        console.print(inert(f"{name}: went on after {report.resumed_rows:,} rows"))
    speed = f", {summary['rows_per_s']:,} rows/s" if summary["rows_per_s"] else ""
    console.print(inert(f"{name}: {report.num_rows:,} rows in {summary['seconds']:.1f} s{speed}"))
    for word in (*(one.word for one in Outcome), "skipped"):
        if summary[word] or word == "stored":
            console.print(inert(f"  {word:<12} {summary[word]:>12,}"))
    for reason, num in report.reasons.most_common(20):
        lines = [str(one.line) for one in report.examples if one.reason == reason][:5]
        where = f"  (line {', '.join(lines)}{' ...' if num > len(lines) else ''})" if lines else ""
        console.print(inert(f"    {num:>10,}  {reason}{where}"))
    sys.stdout.flush()


class _Meter:
    """Shows how far a file is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, name: str, size_bytes: int, is_quiet: bool) -> None:
        self._name = name
        self._size_bytes = size_bytes
        self._is_quiet = is_quiet
        self._started = self._said = monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not is_quiet and errors.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[rows]}"),
                TimeRemainingColumn(),
                console=errors,
                transient=True,
            )
            self._task = self._bar.add_task(inert(name), total=max(size_bytes, 1), rows="")
            self._bar.start()

    def show(self, report: ImportReport, read_bytes: int) -> None:
        """One more chunk is done."""
        passed = max(monotonic() - self._started, 1e-9)
        rows = f"{report.num_rows:,} rows, {report.num_rows / passed:,.0f}/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=read_bytes, rows=rows)
        elif not self._is_quiet and monotonic() - self._said >= LINE_EVERY_S:
            self._said = monotonic()
            percent = 100 * read_bytes / max(self._size_bytes, 1)
            errors.print(inert(f"{self._name}: {percent:.0f} %, {rows}"))

    def stop(self) -> float:
        """Take the bar away; returns the seconds since the start."""
        if self._bar is not None:
            self._bar.stop()
        return monotonic() - self._started
