"""Writes the page of measured figures: of each part the newest in ``benchmarks/results``.

``python tools/figures_page.py`` renews ``docs/reference/figures.md``; a test compares. What was
not measured does not stand there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
PAGE = REPOSITORY / "docs" / "reference" / "figures.md"

Figures = dict[str, Any]

_PAGE = """\
# Figures

<!-- Generated from benchmarks/results/*.json.
     Renew it with: make docs -->

What was measured, and on what. `make bench` and `make chaos` measure your machine and keep the
figures in `benchmarks/results/`. A figure that is not here was not measured.

{sections}
"""


def figures_page() -> str:
    """The page; a part that was never measured is left out."""
    sections = [
        _section("Speed and size", "bench", _BENCH),
        _section("Promises under attack", "chaos", _CHAOS),
    ]
    return _PAGE.format(sections="\n\n".join(filter(None, sections)) or "Nothing yet.")


# -- the rows: what it is called, where it stands, how it is shown ---------------------------------

Row = tuple[str, str, Callable[[Any], str]]


def _per_second(value: float) -> str:
    return f"{value:,.0f} events/s"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


def _times(value: float) -> str:
    return f"{value:,}"


_HTTP = "HTTP ingest, batches of 100 from 16 clients, every answer after the flush"
_BENCH: list[Row] = [
    (f"DuckDB: {_HTTP}", "http_duckdb.events_per_s_median", _per_second),
    ("... 99 of 100 answers within", "http_duckdb.latency_ms_p99", _milliseconds),
    ("... the same on top of the large store below", "large_duckdb.http_ingest_on_top"
     ".events_per_s_median", _per_second),
    (f"PostgreSQL: {_HTTP}", "http_postgres.events_per_s_median", _per_second),
    ("... 99 of 100 answers within", "http_postgres.latency_ms_p99", _milliseconds),
    ("DuckDB: `ebbtide import` of a Parquet file", "import_duckdb.events_per_s", _per_second),
    ("... events in the file", "import_duckdb.num_events", _times),
    ("PostgreSQL: `ebbtide import` of a Parquet file", "import_postgres.events_per_s",
     _per_second),
    ("DuckDB: a large store, events in it", "large_duckdb.num_events", _times),
    ("... on disk, roll-up included", "large_duckdb.store_bytes", _megabytes),
    ("... memory of the idle server", "large_duckdb.rss_idle_bytes", _megabytes),
    ("... seconds to start", "large_duckdb.start_s", "{:.1f} s".format),
    ("Scores of 1,000 customers: events in the store", "signals.num_events", _times),
    ("... a tick of all jobs after 1,000 new events", "signals.tick_ms", _milliseconds),
    ("... everything computed anew", "signals.full_recompute_ms", _milliseconds),
    ("... `GET /ops/customers/at-risk`, 95 of 100 answers within", "signals_http.at_risk_ms_p95",
     _milliseconds),
    ("... the tick, compared, with twice the history", "signals_twice_as_long.tick_ratio", _times),
    ("... the tick, compared, with twice the events a day", "signals_twice_as_dense.tick_ratio",
     _times),
    ("... one SQL statement over a plain table in PostgreSQL",
     "signals_seed_sql.compute_stickiness_ms", _milliseconds),
    ("... which is so many ticks", "signals_seed_sql.times_a_tick", _times),
    ("Questions over HTTP: events in the store", "questions.num_events", _times),
    ("... the pulse, 95 of 100 answers within", "questions.pulse_ms_p95", _milliseconds),
    ("... the slowest of 16 questions, 95 of 100 answers within", "questions.question_ms_p95",
     _milliseconds),
    ("Console: events in the store", "console.num_events", _times),
    ("... Today, 95 of 100 answers within", "console.screens.today.ms_p95", _milliseconds),
    ("... Pulse", "console.screens.pulse.ms_p95", _milliseconds),
    ("... a customer", "console.screens.customer.ms_p95", _milliseconds),
    ("... the slowest of 17 pages", "console.screen_ms_p95", _milliseconds),
    ("... bytes of the first visit, at most", "console.first_load_bytes", _times),
    ("Guard proxy: added to a call, half of them within", "proxy.overhead_ms_p50",
     "{:.1f} ms".format),
    ("... 95 of 100 within", "proxy.overhead_ms_p95", "{:.1f} ms".format),
    ("... calls a second from 16 clients", "proxy.guarded_calls_per_s", _times),
    ("Policy-only replay of 100,000 recorded calls: PII_FILTER",
     "policy_replay_pii_filter.processes_s", "{:.1f} s".format),
    ("... CONTENT_ACCURACY", "policy_replay_content_accuracy.processes_s", "{:.1f} s".format),
    ("Inactivity job on PostgreSQL: users, three of ten inactive", "learners.num_users", _times),
    ("... rows of activity", "learners.num_rows", _times),
    ("... the whole command", "learners.job_s", "{:.1f} s".format),
    ("... memory of the command", "learners.rss_bytes", _megabytes),
    ("... one user after another, with the tables' own indexes, takes so many times as long",
     "learners.one_by_one.times_the_job", _times),
    ("... the same with an index by user on each table, without the view",
     "learners.one_by_one_indexed.times_the_job", _times),
    ("... the job, compared, with twice the users", "learners.twice_as_many_ratio", _times),
]  # fmt: skip
_KILLS: list[Row] = [
    ("`kill -9` under load", "kills", _times),
    ("... events acknowledged", "acknowledged_events", _times),
    ("... acknowledged and lost", "lost", _times),
    ("... stored twice", "stored_twice", _times),
]
_SLOTS: list[Row] = [
    ("processes race for slots", "processes", _times),
    ("... slots", "slots", _times),
    ("... processes killed, and as many frozen", "kills", _times),
    ("... slots with exactly one result", "slots_with_one_result", _times),
    ("... late writes refused", "writes_refused", _times),
]
_CHAOS: list[Row] = [
    *((f"DuckDB: {title}", f"kills_duckdb.{path}", shown) for title, path, shown in _KILLS),
    *((f"PostgreSQL: {title}", f"kills_postgres.{path}", shown) for title, path, shown in _KILLS),
    ("Requests watched by strace", "fsync_before_answer.requests", _times),
    ("... with a flush before the answer", "fsync_before_answer.with_fsync_before_answer", _times),
    ("A full disk: events acknowledged around it", "disk_full.acknowledged_events", _times),
    ("... lost", "disk_full.lost", _times),
    ("... stored twice", "disk_full.stored_twice", _times),
    *((f"SQLite: {title}", f"slots_sqlite.{path}", shown) for title, path, shown in _SLOTS),
    *((f"PostgreSQL: {title}", f"slots_postgresql.{path}", shown) for title, path, shown in _SLOTS),
]


def _section(title: str, name: str, rows: Iterable[Row]) -> str | None:
    files = sorted(RESULTS.glob(f"{name}-*.json"))
    if not files:
        return None
    reports: list[Figures] = [json.loads(file.read_text("utf-8")) for file in files]
    newest = reports[-1]
    # Of each part the newest figures, as far as they are of one machine and one set of versions.
    alike = [
        one
        for one in reports
        if (one["machine"], one["versions"]) == (newest["machine"], newest["versions"])
    ]
    figures: Figures = {}
    for one in alike:
        figures |= one["figures"]
    shown = list(_filled(rows, figures))
    if not shown:
        return None
    machine, versions = newest["machine"], newest["versions"]
    days = sorted({one["measured_at"][:10] for one in alike})
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    said = (
        f"Measured {when} with {machine['cores']} cores and"
        f" {machine['memory_gib']} GiB, Python {machine['python']}, DuckDB {versions['duckdb']};\n"
        "load generator and server on the same machine."
    )
    table = ["| | |", "| --- | ---: |", *(f"| {title} | {value} |" for title, value in shown)]
    return "\n".join((f"## {title}", "", said, "", *table))


def _filled(rows: Iterable[Row], figures: Figures) -> Iterator[tuple[str, str]]:
    for title, path, shown in rows:
        value: Any = figures
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            yield title, shown(value)


if __name__ == "__main__":
    PAGE.write_text(figures_page(), encoding="utf-8")
