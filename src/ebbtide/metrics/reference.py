"""Writes the reference page of all metrics from their definitions, as Markdown.

``python -m ebbtide.metrics.reference > docs/reference/metrics.md`` renews the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta

from ebbtide.catalog.loader import Catalog, load_catalog
from ebbtide.catalog.metric import MetricDefinition
from ebbtide.metrics.lineage import trace_columns

_INTRODUCTION = """\
# Metrics

<!-- Generated from src/ebbtide/catalog/metrics/*.sql.
     Renew it with: python -m ebbtide.metrics.reference > docs/reference/metrics.md -->

A metric counts stored events and says nothing more: exact integers, sums and moments. Weights,
ratios and rounding are applied to them afterwards, by the formula that is named. Each is one SQL
text that runs unchanged on DuckDB, PostgreSQL and ClickHouse, and its cases below `tests/metrics`
hold that the three answer alike.

Every metric is asked at a moment, `as_of`. A window of 7 days is `(as_of - 7 d, as_of]`: an event
exactly at its start is out, one exactly at its end is in. With `known_at`, events that arrived
later are left out.

`event_counts` are counts of full hours from the roll-up and, to the microsecond, of the hours that
an edge of a window goes through; `events` are the stored events. Each answer says how fresh it is:
the newest `received_at` that went in.
"""


def metrics_page(catalog: Catalog) -> str:
    """The whole page: a table with one row per metric, a table of values, a section for each.

    Returns:
        Markdown text that ends with one line break.
    """
    metrics = catalog.metrics.values()
    blocks = [_INTRODUCTION, _overview(metrics), _values(metrics)]
    return "\n".join([*blocks, *map(_section, metrics)])


def _overview(metrics: Iterable[MetricDefinition]) -> str:
    rows = (
        (f"[`{one.name}`](#{one.name})", _length(one.window), one.status, one.question)
        for one in metrics
    )
    return "\n".join(_table(("metric", "window", "status", "the question"), rows)) + "\n"


def _values(metrics: Iterable[MetricDefinition]) -> str:
    rows = sorted(
        (
            f"`{value.name}`",
            value.title,
            value.unit,
            f"`{value.formula}`",
            value.null,
            f"[`{one.name}`](#{one.name})",
        )
        for one in metrics
        for value in one.values.values()
    )
    head = ("number", "what it is", "unit", "formula", "no value means", "counted by")
    return "\n".join(["## Numbers made of them", "", *_table(head, iter(rows)), ""])


def _section(metric: MetricDefinition) -> str:
    inputs = "all" if metric.inputs is None else ", ".join(f"`{name}`" for name in metric.inputs)
    facts = (
        f"One row per {', '.join(f'`{column}`' for column in metric.grain)}. "
        f"Window: {_length(metric.window)}. Unit: {metric.unit}. Event types: {inputs}. "
        f"Status: {metric.status}. Source: {metric.source}. Owner: {metric.owner}."
    )
    lines = [
        f"## {metric.name}",
        "",
        f"{metric.title}. {metric.question}",
        "",
        facts,
        "",
        f"No row or value: {metric.null}.",
        "",
    ]
    if metric.differs is not None:
        lines += [f"Not to be mixed up: {metric.differs}.", ""]
    traced = trace_columns(metric)
    lines += _table(
        ("column", "what it holds", "made of"),
        (
            (f"`{name}`", meaning, ", ".join(f"`{one}`" for one in traced[name]))
            for name, meaning in metric.columns.items()
        ),
    )
    lines.append("")
    if metric.weights:
        weights = ((f"`{name}`", f"{weight:f}") for name, weight in metric.weights.items())
        lines += [*_table(("weight of", "is"), weights), ""]
    lines += ["```sql", *metric.sql.splitlines(), "```", ""]
    return "\n".join(lines)


def _length(length: timedelta | None) -> str:
    if length is None:
        return "all history"
    minutes = length // timedelta(minutes=1)
    if minutes % 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours // 24} d" if hours % 24 == 0 and hours > 24 else f"{hours} h"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        # A bar inside a cell would open a new column.
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_page(load_catalog()))
