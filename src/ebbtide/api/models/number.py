"""What the explanation of a number of the business looks like."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.models.events import OpsEvent
from ebbtide.api.models.explanation import ExplainInput, Formula, Lineage, Value


class NumberExplained(BaseModel):
    """Where one number of the business comes from."""

    number: str
    of: list[str] = Field(description="What names its row; empty when it stands in none.")
    title: str
    unit: str
    value: Value
    reason: str | None = Field(description="Why there is no value.")
    as_of: str
    known_at: str = Field(description="What was received later was not known yet.")
    formula: Formula
    inputs: list[ExplainInput]
    note: str | None
    window_since: str | None = Field(description="Open start of what is read; null: all history.")
    window_until: str | None = Field(description="null: it is read from no event.")
    num_events: int | None
    num_late_events: int | None = Field(
        description="Of them, those that came after as_of; null when just what was known then"
        " was asked for."
    )
    events: list[OpsEvent] = Field(description="The newest of them.")
    events_url: str | None = Field(description="All of them.")
    lineage: list[Lineage]
    kept: list[str] = Field(description="Columns of the state store that went in.")

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "number": "pulse.exports_delta_pct",
                    "of": [],
                    "title": "Change of exports",
                    "unit": "%",
                    "value": -25.0,
                    "reason": None,
                    "as_of": "2026-03-12T08:00:00Z",
                    "known_at": "2026-03-12T08:00:04.120000Z",
                    "formula": {
                        "id": "pulse/2",
                        "text": "(the last 24 hours - the 24 hours before)"
                        " / the 24 hours before x 100",
                    },
                    "inputs": [
                        {
                            "name": "in the last 24 hours",
                            "value": 9,
                            "weight": None,
                            "contributes": None,
                        },
                        {
                            "name": "in the 24 hours before",
                            "value": 12,
                            "weight": None,
                            "contributes": None,
                        },
                    ],
                    "note": None,
                    "window_since": "2026-03-10T08:00:00Z",
                    "window_until": "2026-03-12T08:00:00Z",
                    "num_events": 21,
                    "num_late_events": 0,
                    "events": [],
                    "events_url": "/ops/events?event_type=EXPORT_GENERATED",
                    "lineage": [
                        {
                            "metric": "pulse_counts",
                            "definition_hash": "5d3c...",
                            "column": "num_exports",
                            "comes_from": ["event_counts.event_type", "event_counts.num"],
                        }
                    ],
                    "kept": [],
                }
            ]
        },
    )
