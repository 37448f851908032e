"""Where each number of an answer comes from: formula in words, what went in, events and columns.

One file for each room in ``numbers/``. A number is named by its place in the answer of the API:
``pulse.comparisons.change_pct`` is the field ``change_pct`` of the rows of ``comparisons`` in the
answer ``pulse``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from itertools import product
from types import MappingProxyType

from ebbtide.catalog.definition import Definition, read_folder
from ebbtide.catalog.metric import FRESHNESS, MetricDefinition

#: Columns of an event by which the events behind a number may be chosen.
WHERE = ("tenant_id", "source", "model", "policy_id", "policy_version", "resource")
#: Windows that have no fixed length: none, from the beginning, the UTC date, as the answer says
#: in ``since``, and a week of a cohort.
WINDOW_WORDS = ("none", "all", "today", "since", "cohort_week")

_LENGTH = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Window:
    """Which time the events are of, counted back from ``as_of``; see :data:`WINDOW_WORDS`."""

    word: str | None
    begins: timedelta
    ends: timedelta


@dataclass(frozen=True, slots=True)
class NumberInput:
    """Something that went in.

    Attributes:
        name: in words; with ``each``, the field that names a row.
        path: where it stands. A dot in front: in the row of the number; two: in the row around.
        each: the list whose rows all went in; None for one value.
        adds: whether the number is the sum of these.
    """

    name: str
    path: str
    each: str | None
    adds: bool


@dataclass(frozen=True, slots=True)
class NumberDefinition:
    """One number.

    Attributes:
        name: its place in the answer.
        title: what it is, in a few words.
        unit: of the value; empty for a word.
        formula: id of the rule.
        text: the rule in words.
        inputs: what went in.
        reason: where the answer says why there is no value.
        event_types: of the events behind it; None: any.
        window: when they happened.
        where: columns of the events, and where in the answer their value stands.
        lineage: the columns of metrics that it is made of.
        kept: columns of the state store that it is made of.
        note: what else one should know.
    """

    name: str
    title: str
    unit: str
    formula: str
    text: str
    inputs: tuple[NumberInput, ...]
    reason: str | None
    event_types: tuple[str, ...] | None
    window: Window
    where: Mapping[str, str]
    lineage: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]
    note: str | None

    @property
    def answer(self) -> str:
        """The answer that it stands in."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Numbers:
    """All numbers, and by which fields the rows of each list are told apart."""

    rows: Mapping[str, tuple[str, ...]]
    by_name: Mapping[str, NumberDefinition]


def load_numbers(event_types: Collection[str], metrics: Mapping[str, MetricDefinition]) -> Numbers:
    """Read all files.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    rows: dict[str, tuple[str, ...]] = {}
    by_name: dict[str, NumberDefinition] = {}

    def read(one: Definition) -> None:
        lists = one.table("rows")
        for name in lists.keys():
            rows[name] = lists.texts(name)
        lists.close()
        for table in one.tables("number"):
            for number in _read(table, event_types, metrics):
                if number.name in by_name:
                    raise table.error("names", f"{number.name} is explained twice")
                by_name[number.name] = number
        one.close()

    for _ in read_folder(files("ebbtide.catalog").joinpath("numbers"), read):
        pass
    return Numbers(MappingProxyType(rows), MappingProxyType(by_name))


def spread(name: str) -> Iterator[str]:
    """Names out of one with choices: ``a.{b,c}`` is ``a.b`` and ``a.c``."""
    parts = _BRACES.split(name)
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ("".join(one) for one in product(*choices))


def _read(
    one: Definition, event_types: Collection[str], metrics: Mapping[str, MetricDefinition]
) -> list[NumberDefinition]:
    names = [name for text in one.texts("names") for name in spread(text)]
    events = one.texts("events") if one.has("events") else None
    for event_type in events or ():
        # A dot in front: the row says it.
        if not event_type.startswith(".") and event_type not in event_types:
            raise one.error("events", f"{event_type} is no event type")
    lineage = []
    for text in one.texts("lineage") if one.has("lineage") else ():
        metric, _, column = text.partition(".")
        known = metrics.get(metric)
        if known is None or column not in (*known.columns, FRESHNESS):
            raise one.error("lineage", f"{text} is no column of a metric")
        lineage.append((metric, column))
    kept = one.texts("kept") if one.has("kept") else ()
    if not lineage and not kept:
        raise one.error("lineage", "a number is made of something")
    where = one.table("where") if one.has("where") else None
    chosen = {name: where.text(name) for name in where.keys()} if where else {}
    for name in chosen:
        if name not in WHERE:
            raise one.error("where", f"{name} is not one of {', '.join(WHERE)}")
    found = [
        NumberDefinition(
            name=name,
            title=one.text("title"),
            unit=one.text("unit") if one.has("unit") else "",
            formula=one.text("formula"),
            text=one.text("text"),
            inputs=tuple(map(_read_input, one.tables("inputs"))) if one.has("inputs") else (),
            reason=one.text("reason") if one.has("reason") else None,
            event_types=events,
            window=_window(one),
            where=MappingProxyType(chosen),
            lineage=tuple(lineage),
            kept=kept,
            note=one.text("note") if one.has("note") else None,
        )
        for name in names
    ]
    one.close()
    return found


def _read_input(one: Definition) -> NumberInput:
    each = one.text("each") if one.has("each") else None
    adds = one.has("adds") and one.word("adds", ("yes",)) == "yes"
    found = NumberInput(one.text("name"), one.text("path"), each, adds)
    one.close()
    return found


def _window(one: Definition) -> Window:
    text = one.text("window")
    if text in WINDOW_WORDS:
        return Window(text, timedelta(0), timedelta(0))
    begins, _, ends = text.partition(" to ")
    lengths = [_LENGTH.fullmatch(part) for part in (begins, ends) if part]
    if not all(lengths):
        words = ", ".join(WINDOW_WORDS)
        raise one.error("window", f"must be such as 24h, 48h to 24h, or one of {words}")
    times = [int(found[1]) * _UNITS[found[2]] for found in lengths if found]
    return Window(None, times[0], times[1] if len(times) > 1 else timedelta(0))
