"""Which tables tell what learners did, as data: those that come with Ebbtide and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from ebbtide.catalog.definition import Definition
from ebbtide.domain.errors import CatalogError

FILE_NAME = "learners.toml"


@dataclass(frozen=True, slots=True)
class ActivitySource:
    """A table whose rows say that somebody did something."""

    name: str
    table: str
    person: str
    moment: tuple[str, ...]
    covered_by: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it must have."""
        return (self.person, *self.moment)


@dataclass(frozen=True, slots=True)
class ExamTable:
    """Sessions and scores."""

    table: str
    person: str
    session: str
    moment: tuple[str, ...]
    score: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoalTable:
    """Targets, with their priorities."""

    table: str
    person: str
    level: str
    priority: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it must have."""
        return (self.person, self.level, self.priority)


@dataclass(frozen=True, slots=True)
class AbilityTable:
    """Estimates of a model of the user's own."""

    table: str
    person: str
    mean: str
    sd: str
    moment: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it must have; of the moments it may lack some."""
        return (self.person, self.mean, self.sd)


@dataclass(frozen=True)
class Sources:
    """Everything that the job reads."""

    activities: tuple[ActivitySource, ...]
    exams: ExamTable
    goals: GoalTable
    ability: AbilityTable

    @cached_property
    def by_name(self) -> dict[str, ActivitySource]:
        """The activity sources by their names."""
        return {one.name: one for one in self.activities}


def load_sources(own: Path | None = None) -> Sources:
    """Read the sources that come with Ebbtide, and a file of the user's own over them.

    Args:
        own: an activity of a name that is known replaces it, another is added; ``without``
            leaves some out; ``[exams]``, ``[goals]`` and ``[ability]`` replace theirs.

    Raises:
        CatalogError: a file cannot be read or is wrong; the message names it and the key.
    """
    packaged = files("ebbtide.catalog").joinpath("sources").joinpath(FILE_NAME)
    base = _read(Definition.parse(packaged.read_text(encoding="utf-8"), FILE_NAME), None)
    if own is None:
        return base
    try:
        text = own.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"{own}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{own}: not UTF-8: {error}") from error
    return _read(Definition.parse(text, own.name), base)


def _read(top: Definition, base: Sources | None) -> Sources:
    known = {} if base is None else dict(base.by_name)
    if base is not None and top.has("without"):
        for name in top.texts("without"):
            if known.pop(name, None) is None:
                raise top.error("without", f"there is no activity {name!r}")
    if base is None or top.has("activity"):
        seen = set()
        for one in top.tables("activity"):
            activity = _activity(one)
            if activity.name in seen:
                raise one.error("name", f"{activity.name!r} is already in this file")
            seen.add(activity.name)
            known[activity.name] = activity
    if not known:
        raise top.error("without", "leaves no activity at all")
    sources = Sources(
        tuple(known.values()),
        base.exams if base and not top.has("exams") else _exams(top.table("exams")),
        base.goals if base and not top.has("goals") else _goals(top.table("goals")),
        base.ability if base and not top.has("ability") else _ability(top.table("ability")),
    )
    top.close()
    for activity in sources.activities:
        if activity.covered_by == activity.name:
            raise top.error("activity", f"{activity.name!r} is covered by itself")
    return sources


def _activity(one: Definition) -> ActivitySource:
    activity = ActivitySource(
        one.text("name"),
        _table(one),
        one.text("person"),
        one.texts("moment"),
        one.text("covered_by") if one.has("covered_by") else None,
    )
    one.close()
    return activity


def _exams(one: Definition) -> ExamTable:
    exams = ExamTable(
        _table(one),
        one.text("person"),
        one.text("session"),
        one.texts("moment"),
        one.texts("score"),
    )
    one.close()
    return exams


def _goals(one: Definition) -> GoalTable:
    goals = GoalTable(_table(one), one.text("person"), one.text("level"), one.text("priority"))
    one.close()
    return goals


def _ability(one: Definition) -> AbilityTable:
    ability = AbilityTable(
        _table(one), one.text("person"), one.text("mean"), one.text("sd"), one.texts("moment")
    )
    one.close()
    return ability


def _table(one: Definition) -> str:
    table = one.text("table")
    parts = table.split(".")
    if len(parts) > 2 or not all(parts):
        raise one.error("table", f"{table!r} is neither a table nor schema.table")
    return table
