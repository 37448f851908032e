"""Finds a number in an answer of the API, and what went into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from ebbtide.catalog.number import NumberDefinition, NumberInput, Numbers
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.time import MICROSECOND, parse_instant

ROWS_MAX = 20  # of a list that went in; what is left is one row more

_ROW_OF = re.compile(r"(\w+)\[([^\]]*)\]")
_WEEK = timedelta(days=7)

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that went in, with what it adds to the number; None: it is not added."""

    name: str
    value: Any
    adds: float | None


@dataclass(frozen=True, slots=True)
class FoundNumber:
    """A number at its place.

    Attributes:
        rows: the rows of lists that it stands in, outermost first.
        of: what names them.
    """

    definition: NumberDefinition
    answer: Answer
    rows: tuple[Answer, ...]
    of: tuple[str, ...]
    value: Any

    @property
    def reason(self) -> str | None:
        """Why there is no value."""
        if self.value is not None:
            return None
        path = self.definition.reason
        found = None if path is None else self.at(path)
        return found if isinstance(found, str) else "no_activity"

    def at(self, path: str) -> Any:
        """What stands at a place of the answer, see :class:`NumberInput`; None: nothing."""
        level = len(path) - len(path.lstrip("."))
        if level > len(self.rows):
            return None
        place: Any = self.rows[-level] if level else self.answer
        return self._below(place, path[level:])

    def parts(self) -> list[Part]:
        """Everything that went in."""
        return [part for one in self.definition.inputs for part in self._parts_of(one)]

    def event_types(self) -> tuple[str, ...] | None:
        """Of the events behind it; None: any."""
        types = self.definition.event_types
        if types is None:
            return None
        return tuple(self.at(one) if one.startswith(".") else one for one in types)

    def window(self) -> tuple[datetime | None, datetime] | None:
        """Open start and end of the events behind it; None: no events."""
        until, window = parse_instant(self.answer["as_of"]), self.definition.window
        match window.word:
            case "none":
                return None
            case "all":
                return None, until
            case "today":
                # The day begins with midnight itself, a window just after its start.
                return until.replace(hour=0, minute=0, second=0, microsecond=0) - MICROSECOND, until
            case "since":
                return parse_instant(self.answer["since"]), until
            case "cohort_week":
                begins = datetime.combine(date.fromisoformat(self.of[0]), time(), UTC)
                begins += _WEEK * (int(self.of[1]) if len(self.of) > 1 else 0)
                return begins - MICROSECOND, min(begins + _WEEK - MICROSECOND, until)
        return until - window.begins, until - window.ends

    def _below(self, place: Any, path: str) -> Any:
        for word in path.split("."):
            row_of = _ROW_OF.fullmatch(word)
            name = row_of[1] if row_of else word
            place = place.get(name) if isinstance(place, Mapping) else None
            if row_of and place is not None:
                wanted = self.of[-1] if row_of[2] == "@" else row_of[2]
                place = next((row for row in place if row.get("name") == wanted), None)
        return place

    def _parts_of(self, one: NumberInput) -> Iterator[Part]:
        if one.each is None:
            yield Part(one.name, self.at(one.path), None)
            return
        rows = [
            (str(row.get(one.name)), value)
            for row in self.at(one.each) or ()
            if (value := row.get(one.path)) is not None and not (one.adds and value == 0)
        ]
        if len(rows) > ROWS_MAX:
            rows.sort(key=lambda pair: -pair[1])
        for name, value in rows[:ROWS_MAX]:
            yield Part(name, value, value if one.adds else None)
        rest = rows[ROWS_MAX:]
        if rest and one.adds:
            total = round(sum(value for _, value in rest), 6)
            yield Part(f"{len(rest)} others", total, total)


def find_number(numbers: Numbers, name: str, answer: Answer, of: Sequence[str]) -> FoundNumber:
    """Find a number.

    Args:
        name: of a number that is known.
        answer: the one that it stands in, as JSON.
        of: what names the rows of lists on the way; an empty text is a row that does not say.

    Raises:
        Unprocessable: too few or too many rows are named.
        NotFound: there is no such row.
    """
    head, *words = name.split(".")
    place: Any = answer
    rows: list[Answer] = []
    used = 0
    path = head
    for word in words:
        place = place.get(word) if isinstance(place, Mapping) else None
        path += f".{word}"
        fields = numbers.rows.get(path)
        if fields is None:
            continue
        named = of[used : used + len(fields)]
        if len(named) < len(fields):
            raise Unprocessable(f"of names a row, here by {', '.join(fields)}")
        used += len(fields)
        for row in place or ():
            if [_text(row.get(field)) for field in fields] == list(named):
                break
        else:
            raise NotFound("there is no such row")
        rows.append(row)
        place = row
    if used < len(of):
        raise Unprocessable("of names more rows than this number has")
    definition = numbers.by_name[name]
    return FoundNumber(definition, answer, tuple(rows), tuple(of), place)


def _text(value: object) -> str:
    return "" if value is None else str(value)
