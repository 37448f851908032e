"""Reads the metrics, one SQL file each: a header that says what is counted, then portable SQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from ebbtide.catalog.definition import Definition
from ebbtide.domain.errors import CatalogError
from ebbtide.domain.nearest import did_you_mean

STATUSES = ("experimental", "stable", "deprecated")
#: What a metric may be asked of; see ``store/events/relations.py``.
RELATIONS = ("event_counts", "events")
#: The last column of each metric: the newest ``received_at`` that went into the row.
FRESHNESS = "freshness"
ALL = "all"

_FILE_FORM = re.compile(r"\s*/\*---\n(?P<header>.*?)\n---\*/\n(?P<sql>.+)", re.S)
_NAME_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LENGTH_FORM = re.compile(r"([1-9][0-9]{0,3})(m|h|d)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
_TYPE_FORM = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")

#: What no metric may say, with the reason: engines differ in it, or a past answer would change.
_FORBIDDEN: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"\b(now|now64|today|yesterday|getdate|sysdate|clock_timestamp|statement_timestamp"
            r"|transaction_timestamp|current_(date|time|timestamp)|localtime(stamp)?|age)\b",
            re.I,
        ),
        "time comes in as an argument",
    ),
    (
        re.compile(r"\d\.\d|(?<!\w)\.\d|\d[eE]-?\d"),
        "weights and ratios are applied outside, exactly",
    ),
    (re.compile(r"\bfilter\s*\(", re.I), "FILTER over nothing differs; write SUM(CASE WHEN ...)"),
    (re.compile(r"::|\bcast\s*\(", re.I), "casts differ between engines"),
    (re.compile(r"\b(round|avg|interval|extract|date_trunc|json\w*)\b|->", re.I), "engines differ"),
    (re.compile(r"\b(select|,)\s*\*", re.I), "name the columns"),
    (re.compile(r";"), "a metric is one SELECT"),
    (re.compile(r"\bevent_rollup\b", re.I), "ask event_counts; it is exact at the edges too"),
)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A number that is shown to people and comes out of a metric's columns.

    ``formula`` is the id that goes into stored results; ``null`` says what no value means.
    """

    name: str
    title: str
    unit: str
    formula: str
    null: str


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What is counted, over which window, and the portable text that counts it.

    Attributes:
        grain: the columns that name one row; none when there is one row for everything.
        window: how far back it looks; None means over all history.
        windows: shorter windows inside of it, by their word (``"7d"``). The text names the start
            of each as ``:start_7d``.
        inputs: the event types that are read; None means all.
        relation: ``event_counts`` or ``events``, the one that the text is mainly asked of.
        columns: what each column holds, in the order of the answer.
        weights: exact; applied in Python on the counts.
        values: the numbers made of the columns that people see, by name.
        sql: the text, without its header; its last column is :data:`FRESHNESS`.
        definition_hash: sha256 of the file, in hex.
    """

    name: str
    title: str
    question: str
    status: str
    unit: str
    grain: tuple[str, ...]
    window: timedelta | None
    windows: Mapping[str, timedelta]
    inputs: tuple[str, ...] | None
    null: str
    source: str
    differs: str | None
    owner: str
    relation: str
    columns: Mapping[str, str]
    weights: Mapping[str, Decimal]
    values: Mapping[str, MetricValue]
    sql: str
    definition_hash: str


def load_metrics(
    event_types: Collection[str], folder: Traversable | None = None
) -> Mapping[str, MetricDefinition]:
    """Read all metrics.

    Args:
        event_types: the names that exist.
        folder: None means the metrics that come with Ebbtide.

    Returns:
        By name, in alphabetical order.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    where = files("ebbtide.catalog").joinpath("metrics") if folder is None else folder
    metrics = {}
    for file in sorted(where.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise CatalogError(f"{file.name}: not UTF-8: {error}") from error
            metric = read_metric(text, file.name, event_types)
            metrics[metric.name] = metric
    return MappingProxyType(metrics)


def read_metric(text: str, file_name: str, event_types: Collection[str]) -> MetricDefinition:
    """Read one definition.

    Args:
        text: of the whole file.
        file_name: such as ``stickiness.sql``; must be the name.
        event_types: the names that exist.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    match = _FILE_FORM.fullmatch(text)
    if match is None:
        raise CatalogError(f"{file_name}: must open with a header between /*--- and ---*/")
    one = Definition.parse(match["header"], file_name)
    name = one.text("name")
    if not _NAME_FORM.fullmatch(name) or file_name != f"{name}.sql":
        raise one.error("name", f"{name!r} belongs into a file {name}.sql, in lower_snake form")
    columns = {key: one_column for key, one_column in _texts(one, "columns")}
    metric = MetricDefinition(
        name=name,
        title=one.text("title"),
        question=one.text("question"),
        status=one.word("status", STATUSES),
        unit=one.text("unit"),
        grain=() if (grain := one.texts("grain")) == (ALL,) else grain,
        window=None if (window := one.text("window")) == ALL else _length(one, "window", window),
        windows=MappingProxyType(
            {word: _length(one, "windows", word) for word in one.texts("windows")}
            if one.has("windows")
            else {}
        ),
        inputs=_inputs(one, event_types),
        null=one.text("null"),
        source=one.text("source"),
        differs=one.text("differs") if one.has("differs") else None,
        owner=one.text("owner"),
        relation=one.word("relation", RELATIONS),
        columns=MappingProxyType(columns),
        weights=MappingProxyType(dict(_weights(one))),
        values=MappingProxyType(dict(_values(one))),
        sql=match["sql"].strip(),
        definition_hash=hashlib.sha256(text.encode()).hexdigest(),
    )
    one.close()
    _check(one, metric, event_types)
    return metric


def code_of(sql: str) -> str:
    """A text without its comments."""
    return _COMMENT.sub(" ", sql)


def _length(one: Definition, key: str, word: str) -> timedelta:
    match = _LENGTH_FORM.fullmatch(word)
    if match is None:
        raise one.error(key, f"{word!r} is no length such as 5m, 48h or 30d")
    return int(match[1]) * _UNITS[match[2]]


def _inputs(one: Definition, event_types: Collection[str]) -> tuple[str, ...] | None:
    inputs = one.texts("inputs")
    if inputs == (ALL,):
        return None
    for event_type in inputs:
        if event_type not in event_types:
            hint = did_you_mean(event_type, event_types)
            raise one.error("inputs", f"unknown event type {event_type}{hint}")
    return inputs


def _texts(one: Definition, key: str) -> Iterator[tuple[str, str]]:
    table = one.table(key)
    for name in table.keys():
        yield name, table.text(name)


def _weights(one: Definition) -> Iterator[tuple[str, Decimal]]:
    if one.has("weights"):
        table = one.table("weights")
        for name in table.keys():
            number = table.number(name)
            yield name, Decimal(number.numerator) / Decimal(number.denominator)


def _values(one: Definition) -> Iterator[tuple[str, MetricValue]]:
    if one.has("values"):
        table = one.table("values")
        for name in table.keys():
            value = table.table(name)
            yield (
                name,
                MetricValue(
                    name,
                    value.text("title"),
                    value.text("unit"),
                    value.text("formula"),
                    value.text("null"),
                ),
            )
            value.close()


def _check(one: Definition, metric: MetricDefinition, event_types: Collection[str]) -> None:
    """What only the header and the text together can get wrong."""
    code = code_of(metric.sql)
    bare = _QUOTED.sub("''", code)
    for pattern, reason in _FORBIDDEN:
        if found := pattern.search(bare):
            raise one.error("SQL", f"{found[0]!r} is not portable here: {reason}")
    if not re.search(rf"\b{metric.relation}\b", bare):
        raise one.error("relation", f"the text does not name {metric.relation}")
    for literal in _QUOTED.findall(code):
        if not _TYPE_FORM.fullmatch(literal) or len(literal) < 3:
            continue  # a word of an answer
        if literal not in event_types:
            raise one.error("SQL", f"unknown event type {literal}")
        if metric.inputs is not None and literal not in metric.inputs:
            raise one.error("SQL", f"{literal} is not among the inputs, so none would be found")
    known = {"as_of", *(f"start_{word}" for word in metric.windows)}
    for parameter in _PARAMETER.findall(bare):
        if parameter not in known:
            raise one.error("SQL", f":{parameter} is not one of {', '.join(sorted(known))}")
    for word, length in metric.windows.items():
        if metric.window is not None and length > metric.window:
            raise one.error("windows", f"{word} reaches further back than the window")
    for column in metric.grain:
        if column not in metric.columns:
            raise one.error("grain", f"{column} is not among the columns")
    if FRESHNESS in metric.columns:
        raise one.error("columns", f"{FRESHNESS} is taken off the answer and not listed")
    for weight in metric.weights.values():
        if not weight.is_finite():
            raise one.error("weights", "a weight has no end")
