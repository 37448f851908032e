"""What the backfill route takes and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.models.jobs import FailedTenant

_EXAMPLE: dict[str, Any] = {
    "as_of": "2026-03-05T00:00:00Z",
    "num_tenants": 42,
    "num_at_risk": 7,
    "num_silent": 3,
    "num_scores": 118,
    "failed_tenants": [],
}


class MomentFilled(BaseModel):
    """One moment of the past that was computed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    as_of: str
    num_tenants: int = Field(description="Customers that had an event by then.")
    num_at_risk: int = Field(description="How many of them stood on the at-risk list.")
    num_silent: int = Field(description="How many of them were silent.")
    num_scores: int = Field(
        description="Results that differed from those before and are kept; 0 when it was "
        "computed already."
    )
    failed_tenants: list[FailedTenant]
