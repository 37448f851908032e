"""The thresholds of the pulse as their definition gives them, before anybody edits one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from ebbtide.catalog.definition import Definition

KINDS = ("drop", "spike", "above", "silent")
LEVELS = ("critical", "warning")

#: What the pulse knows how to compare, and how.
_COMPARED = {
    "active_tenants": "drop",
    "incidents_created": "spike",
    "replays_executed": "drop",
    "exports_generated": "drop",
    "llm_failure_rate": "above",
    "infra_saturation": "above",
    "producers": "silent",
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """From where on something is alarming.

    Attributes:
        name: what is compared.
        title: the same in words.
        kind: ``drop``, ``spike``, ``above`` or ``silent``; see the definition file.
        than: a fraction, not percent. Exactly at it is not yet alarming.
        level: ``critical`` decides the state, ``warning`` only tells.
        min_baseline: with fewer than this to compare with, it is told but gives no alarm.
        is_enabled: False: neither told nor alarming.
    """

    name: str
    title: str
    kind: str
    than: Fraction
    level: str
    min_baseline: int
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class PulseRule:
    """The formula's id and its thresholds, in the order in which they are told.

    Without any event for longer than ``stale_after`` nobody can say how things are.
    """

    formula: str
    stale_after: timedelta
    thresholds: tuple[Threshold, ...]


def read_pulse(one: Definition) -> PulseRule:
    """Read the definition.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    rule = PulseRule(
        one.text("formula"),
        timedelta(hours=one.whole("stale_after_h")),
        tuple(_threshold(each) for each in one.tables("threshold")),
    )
    if sorted(each.name for each in rule.thresholds) != sorted(_COMPARED):
        raise one.error("threshold", f"needs each of {', '.join(_COMPARED)} once")
    one.close()
    return rule


def _threshold(one: Definition) -> Threshold:
    name = one.word("name", _COMPARED)
    threshold = Threshold(
        name=name,
        title=one.text("title"),
        kind=one.word("kind", KINDS),
        than=one.number("than"),
        level=one.word("level", LEVELS),
        min_baseline=one.whole("min_baseline"),
    )
    if threshold.kind != _COMPARED[name]:
        raise one.error("kind", f"{name} is compared as {_COMPARED[name]}")
    if threshold.than <= 0:
        raise one.error("than", "must be above 0")
    one.close()
    return threshold
