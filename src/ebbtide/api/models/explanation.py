"""What an explanation looks like."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.models.answer import EXAMPLE_MOMENT, Answer
from ebbtide.api.models.events import OpsEvent
from ebbtide.api.models.from_customer import moment
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import EPOCH, format_instant
from ebbtide.signals.explain import Derivation, Shown
from ebbtide.signals.read import ChangedSince
from ebbtide.signals.read import Explanation as Found
from ebbtide.signals.rounding import to_float
from ebbtide.store.events.reading import to_json

#: A number, a word, a moment, a yes or no, or a list of words.
Value = bool | int | float | str | list[str] | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Formula(_Strict):
    """The rule that was applied, with the numbers in force."""

    id: str
    text: str


class ExplainInput(_Strict):
    """One thing that went in."""

    name: str
    value: Value
    weight: float | None = Field(description="Null where it does not count by a weight.")
    contributes: float | None = Field(description="What it adds; null where it is not a sum.")


class Lineage(_Strict):
    """A column of a metric, and the stored columns that it is made of."""

    metric: str
    definition_hash: str
    column: str
    comes_from: list[str]


class ChangedSinceShown(_Strict):
    """What is otherwise now than it was known at the moment itself."""

    num_late_events: int = Field(description="Contributing events that came after as_of.")
    value_then: Value = Field(description="The number from what was known then.")
    is_different: bool
    was_unknown: bool = Field(description="Nothing of this customer was known then.")
    newer_formula: str | None = Field(
        description="This formula, when results were stored for that time by an older one."
    )
    older_formulas: list[str]


class Explanation(Answer):
    """Where one number comes from."""

    tenant_id: str
    tenant_uuid: str
    metric: str
    value: Value
    reason: str | None = Field(description="Why there is no value.")
    formula: Formula
    inputs: list[ExplainInput]
    window_since: str | None = Field(description="Open start of what is read; null: all history.")
    window_until: str
    num_events: int
    events: list[OpsEvent] = Field(description="The newest of the contributing events.")
    events_url: str = Field(description="All of them.")
    lineage: list[Lineage]
    changed_since: ChangedSinceShown | None = Field(
        description="Null when just what was known then was asked for."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE_MOMENT
                | {
                    "tenant_id": "acme-ai",
                    "tenant_uuid": "b95fdb9c-2b4b-5dc8-a4d6-3f1f0f5d7e61",
                    "metric": "stickiness_7d",
                    "value": 8.4,
                    "reason": None,
                    "formula": {
                        "id": "stickiness/2",
                        "text": "0.2 x views + 0.3 x replays + 0.5 x exports, over 7 days",
                    },
                    "inputs": [
                        {
                            "name": "INCIDENT_VIEWED in 7 days",
                            "value": 42,
                            "weight": 0.2,
                            "contributes": 8.4,
                        }
                    ],
                    "window_since": "2026-03-05T08:00:00Z",
                    "window_until": "2026-03-12T08:00:00Z",
                    "num_events": 42,
                    "events": [],
                    "events_url": "/ops/events?tenant_id=acme-ai&event_type=INCIDENT_VIEWED",
                    "lineage": [
                        {
                            "metric": "stickiness",
                            "definition_hash": "5d3c...",
                            "column": "view_7d",
                            "comes_from": ["event_counts.num", "event_counts.event_type"],
                        }
                    ],
                    "changed_since": {
                        "num_late_events": 2,
                        "value_then": 8.0,
                        "is_different": True,
                        "was_unknown": False,
                        "newer_formula": None,
                        "older_formulas": [],
                    },
                }
            ]
        }
    )


def explanation(found: Found) -> Explanation:
    """An explanation as the API shows it."""
    one = found.derivation
    return Explanation(
        **moment(found.moment),
        tenant_id=found.tenant_id,
        tenant_uuid=to_uuid_text(found.tenant_id),
        metric=one.metric,
        value=value(one.value),
        reason=one.reason,
        formula=Formula(id=one.formula, text=one.text),
        inputs=[
            ExplainInput(
                name=part.name,
                value=value(part.value),
                weight=None if part.weight is None else to_float(part.weight, 4),
                contributes=None if part.contributes is None else to_float(part.contributes),
            )
            for part in one.inputs
        ],
        window_since=None if one.reads.since is None else format_instant(one.reads.since),
        window_until=format_instant(one.reads.until),
        num_events=found.num_events,
        events=[OpsEvent.model_validate(to_json(event)) for event in found.events],
        events_url=_events_url(found),
        lineage=[
            Lineage(
                metric=metric,
                definition_hash=found.definitions[metric],
                column=column,
                comes_from=list(sources),
            )
            for metric, columns in found.lineage.items()
            for column, sources in columns.items()
        ],
        changed_since=None
        if found.since is None
        else _changed_since(found.since, found.derivation),
    )


def value(exact: Shown) -> Value:
    """An exact value as JSON has it."""
    if isinstance(exact, Fraction):
        return to_float(exact)
    if isinstance(exact, datetime):
        return format_instant(exact)
    return list(exact) if isinstance(exact, tuple) else exact


def _changed_since(since: ChangedSince, now: Derivation) -> ChangedSinceShown:
    then = since.then
    return ChangedSinceShown(
        num_late_events=since.num_late_events,
        value_then=None if then is None else value(then.value),
        is_different=then is None or then.value != now.value,
        was_unknown=then is None,
        newer_formula=now.formula if since.older_formulas else None,
        older_formulas=list(since.older_formulas),
    )


def _events_url(found: Found) -> str:
    reads, asked = found.derivation.reads, found.moment.asked_known_at
    given: dict[str, Any] = {
        "tenant_id": found.tenant_id,
        "event_type": None if reads.event_types is None else ",".join(reads.event_types),
        "since": format_instant(reads.since or EPOCH),
        "as_of": format_instant(reads.until),
        "known_at": None if asked is None else format_instant(asked),
    }
    said = {name: text for name, text in given.items() if text is not None}
    query = urlencode(said, safe=",:")
    return f"/ops/events?{query}"
