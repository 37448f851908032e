"""``ebbtide import``: files of events into the store, with a progress bar and a clear end."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import SourceMapping, load_mapping
from ebbtide.cli.door import CommandError, Connect, Door
from ebbtide.cli.output import AS_JSON, console, errors, inert, print_json
from ebbtide.domain.errors import EbbtideError, ImportFailed
from ebbtide.domain.event import Outcome
from ebbtide.domain.time import format_instant, parse_instant
from ebbtide.ingest.bulk import BulkOutcome, Example
from ebbtide.ingest.bulk_wire import MEDIA_TYPE, to_stream
from ebbtide.ingest.file_import import DOOR, FileImport, ImportReport, TableOrigin
from ebbtide.store.state.imports import ImportProgress

EXIT_NOTHING = 1  # a file could not be imported (to its end)
EXIT_NOT_ALL = 2  # some rows wait in quarantine, are in conflict or were refused
LINE_EVERY_S = 5.0  # between two lines where nobody watches
REQUESTS_MAX = 2  # one is being stored, the next is being sent and checked
TRIES = 5  # of one request that met a store or server in trouble
RETRY_AFTER_S = 2.0

_T = TypeVar("_T")


class ServerSink:
    """Chunks go to a server, which checks and stores them and keeps the progress."""

    def __init__(self, door: Door, pause: Callable[[float], None]) -> None:
        """Bind to a server.

        Args:
            pause: waits some seconds before a request is sent again.
        """
        self._door = door
        self._pause = pause
        self._senders = ThreadPoolExecutor(REQUESTS_MAX, thread_name_prefix="ebbtide-send")
        self._under_way: deque[Future[BulkOutcome]] = deque()
        self._last_id: str | None = None

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        """Send one table while the last one is being stored; the server keeps their order."""
        while len(self._under_way) >= REQUESTS_MAX:
            wait([self._under_way.popleft()])
        request_id, after = uuid4().hex, self._last_id
        self._last_id = request_id
        asked: dict[str, str | None] = {
            "door": DOOR,
            "source": origin.default_source,
            "file": origin.file,
            "key": origin.key,
            "mapping": origin.mapping,
            "raw_later": "1" if origin.asks_raw else None,
        }
        future = self._senders.submit(
            self._send, table, asked | {"request_id": request_id, "after": after}
        )
        self._under_way.append(future)
        return future

    def _send(self, table: pa.Table, asked: dict[str, str | None]) -> BulkOutcome:
        """Send one table; sending it again after a lost answer stores nothing twice."""
        body = to_stream(table)
        answer = self._ask(lambda: self._door.send("/v1/bulk", body, MEDIA_TYPE, **asked))
        outcome = BulkOutcome()
        outcome.counts.update({one: answer[one.word] for one in Outcome})
        outcome.reasons.update(answer["reasons"])
        outcome.examples = [Example(one["line"], one["reason"]) for one in answer["examples"]]
        outcome.raw_wanted = answer["raw_wanted"]
        return outcome

    def close(self) -> None:
        """Wait for what is under way."""
        self._senders.shutdown()

    def find_progress(self, import_key: str) -> ImportProgress | None:
        """Ask how far an import came."""
        try:
            kept = self._ask(lambda: self._door.get(f"/v1/imports/{import_key}"))
        except CommandError as error:
            if error.status == 404:
                return None
            raise
        started_at = parse_instant(kept.pop("started_at"))
        finished_at = kept.pop("finished_at")
        return ImportProgress(
            **kept,
            started_at=started_at,
            finished_at=None if finished_at is None else parse_instant(finished_at),
        )

    def save_progress(self, progress: ImportProgress) -> None:
        """Have it written down."""
        body = {
            "file": progress.file,
            "position": progress.position,
            "rows_done": progress.rows_done,
            **{f"num_{one.word}": getattr(progress, f"num_{one.word}") for one in Outcome},
            "is_finished": progress.finished_at is not None,
        }
        self._ask(lambda: self._door.put(f"/v1/imports/{progress.import_key}", body))

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Ask again while server or stores are in trouble; every request here may be repeated."""
        for attempt in range(1, TRIES + 1):
            try:
                return request()
            except CommandError as error:
                passes = error.status is None or error.status in (429, 503)
                if not passes or attempt == TRIES:
                    raise
                self._pause(RETRY_AFTER_S * attempt)
        raise AssertionError("unreachable")


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


def import_command(connect: Connect, pause: Callable[[float], None] = sleep) -> Callable[..., None]:
    """The command."""

    def import_files(
        files: list[Path] = typer.Argument(..., help="JSON Lines, CSV or Parquet; .gz too."),
        mapping: Path | None = typer.Option(
            None, "--mapping", "-m", help="TOML file that says how rows become events."
        ),
        again: bool = typer.Option(
            False, "--again", help="Read from the beginning, also what was imported before."
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Import files of events.

        It may be interrupted at any time and goes on where it stopped. The same file again stores
        nothing twice. Rows that are no events wait in quarantine with file and line.

        Exit code: 0 every row is in, 2 some are not, 1 a file could not be read or sent.

        Examples:

        ebbtide import events.jsonl

        ebbtide import commits.parquet --mapping teams.toml
        """
        layout = None if mapping is None else load_mapping(mapping)
        summaries = []
        code = 0
        with connect() as door:
            with closing(ServerSink(door, pause)) as sink:
                for file in files:
                    summary = _import_one(file, layout, sink, again, as_json)
                    summaries.append(summary)
                    if "error" in summary:
                        code = EXIT_NOTHING
                    elif not summary["is_clean"] and code == 0:
                        code = EXIT_NOT_ALL
        if as_json:
            print_json({"files": summaries})
        if code:
            raise typer.Exit(code)

    return import_files


def _import_one(
    file: Path, mapping: SourceMapping | None, sink: ServerSink, again: bool, as_json: bool
) -> dict[str, Any]:
    """Import one file and say how it went; one that fails does not stop the next."""
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
