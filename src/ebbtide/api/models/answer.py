"""What every answer about customers says of itself: for which moment, from which knowledge."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE_MOMENT: dict[str, Any] = {
    "as_of": "2026-03-12T08:00:00Z",
    "known_at": "2026-03-12T08:00:04.120000Z",
    "computed_at": "2026-03-12T08:00:04.120000Z",
    "stored": True,
    "freshness": {
        "newest_event_at": "2026-03-12T07:59:58.310000Z",
        "newest_received_at": "2026-03-12T07:59:59.002000Z",
    },
    "kind": "heuristic",
}


class Freshness(BaseModel):
    """How new the newest thing is that went in; null when nothing did."""

    newest_event_at: str | None = Field(description="Its timestamp, at or before as_of.")
    newest_received_at: str | None = Field(description="When it came, at or before known_at.")


class Answer(BaseModel):
    """The moment of an answer. All times are UTC; null means unknown."""

    model_config = ConfigDict(extra="forbid")

    as_of: str = Field(description="The moment the answer is for: later events do not exist yet.")
    known_at: str = Field(description="What was received later was not known yet.")
    computed_at: str = Field(description="When the numbers were computed.")
    stored: bool = Field(
        description="True: the newest result of the job. False: computed for this answer."
    )
    freshness: Freshness
    kind: str = Field(
        "heuristic",
        description="risk_signal_strength is a rank for attention, not a probability.",
    )
