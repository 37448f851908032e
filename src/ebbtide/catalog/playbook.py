"""Reads the playbooks, one TOML file each: when one applies, what to do, and what success is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from ebbtide.catalog.condition import (
    MEASURES,
    ORDERS,
    Condition,
    read_condition,
    read_event_types,
    read_text,
)
from ebbtide.catalog.definition import Definition, read_folder

STATUSES = ("experimental", "stable", "deprecated")
#: Levels of risk, the worst first.
LEVELS = ("critical", "high", "medium", "low")
#: What can be done, and how soon; the most urgent first.
ACTION_TYPES = ("call", "email", "feature_help", "technical", "pricing")
PRIORITIES = ("immediate", "today", "this_week")
SUCCESS_KINDS = ("event", "fall", "condition")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; a call has a ``talk_track``, what is written has a ``template``."""

    step: int
    type: str
    action: str
    timing: str
    talk_track: str | None
    template: str | None


@dataclass(frozen=True, slots=True)
class Success:
    """What is measured in the ``within_days`` after it was done.

    ``event``: any event of ``event_types`` happens. ``fall``: their number is lower than in the
    same time before by at least ``fall_percent``. ``condition``: ``metric`` compared with
    ``than`` holds at some moment.
    """

    kind: str
    within_days: int
    text: str
    event_types: tuple[str, ...]
    fall_percent: int | None
    metric: str | None
    comparison: str | None
    than: Fraction | None


@dataclass(frozen=True, slots=True)
class Playbook:
    """A known situation of a customer, and the way out of it."""

    id: str
    title: str
    status: str
    risk_level: str
    source: str
    owner: str
    reason: str  # why the customer needs attention, with words in braces
    notes: str
    false_positives: tuple[str, ...]
    when: tuple[Condition, ...]  # all must hold
    steps: tuple[Step, ...]
    success: Success

    @property
    def trigger_conditions(self) -> tuple[str, ...]:
        """The conditions in words; all of them must hold."""
        return tuple(condition.title for condition in self.when)


def load_playbooks(
    event_types: Collection[str], folder: Traversable | None = None
) -> Mapping[str, Playbook]:
    """Read all playbooks of a folder.

    Args:
        event_types: the names that exist.
        folder: None means the playbooks that come with Ebbtide.

    Returns:
        By id, the worst level first, then in alphabetical order.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    where = files("ebbtide.catalog").joinpath("playbooks") if folder is None else folder
    read = dict(read_folder(where, lambda one: read_playbook(one, event_types)))
    worst_first = sorted(read.values(), key=lambda one: (LEVELS.index(one.risk_level), one.id))
    return MappingProxyType({one.id: one for one in worst_first})


def read_playbook(one: Definition, event_types: Collection[str]) -> Playbook:
    """Read one file.

    Args:
        event_types: the names that exist.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    name = one.text("name")
    if one.file_name != f"{name}.toml":
        raise one.error("name", f"{name} belongs into a file named {name}.toml")
    positives = one.table("false_positives")
    playbook = Playbook(
        id=name,
        title=one.text("title"),
        status=one.word("status", STATUSES),
        risk_level=one.word("risk", LEVELS),
        source=one.text("source"),
        owner=one.text("owner"),
        reason=read_text(one, "reason"),
        notes=one.text("notes"),
        false_positives=positives.texts("known"),
        when=tuple(read_condition(each, event_types) for each in one.tables("when")),
        steps=tuple(_step(number, each) for number, each in enumerate(one.tables("actions"), 1)),
        success=_success(one.table("success"), event_types),
    )
    positives.close()
    for condition in playbook.when:
        if condition.metric == "risk_level":
            raise one.error("when", "the level of risk follows from the playbooks that match")
    one.close()
    return playbook


def _step(number: int, one: Definition) -> Step:
    step = Step(
        step=number,
        type=one.word("do", ACTION_TYPES),
        action=one.text("action"),
        timing=one.text("timing"),
        talk_track=one.text("talk_track") if one.has("talk_track") else None,
        template=one.text("template") if one.has("template") else None,
    )
    one.close()
    return step


def _success(one: Definition, event_types: Collection[str]) -> Success:
    kind = one.word("kind", SUCCESS_KINDS)
    by_events, by_condition = kind != "condition", kind == "condition"
    success = Success(
        kind=kind,
        within_days=one.whole("within_days"),
        text=one.text("text"),
        event_types=read_event_types(one, event_types) if by_events else (),
        fall_percent=one.whole("fall_percent") if kind == "fall" else None,
        metric=one.word("metric", _numbers()) if by_condition else None,
        comparison=one.word("is", ORDERS) if by_condition else None,
        than=one.number("than") if by_condition else None,
    )
    if success.fall_percent is not None and success.fall_percent > 100:
        raise one.error("fall_percent", "nothing falls by more than 100 percent")
    one.close()
    return success


def _numbers() -> list[str]:
    return [name for name, (kind, _) in MEASURES.items() if kind == "number"]
