"""What is said about a change, and what the list of changes answers."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ebbtide.api.dependencies import StatedInstant, TenantId
from ebbtide.domain.event import Event
from ebbtide.domain.time import format_instant

EVENT_TYPE = "CHANGE_RECORDED"
#: The tenant of what touches everybody, as with limits of the infrastructure.
EVERYBODY = "platform"
KINDS = ("policy_version", "model", "price", "rate_limit", "deploy", "plan")
#: Keys of a kind without which it says nothing.
NEEDED = {
    "policy_version": ("policy_id", "policy_version"),
    "model": ("model",),
    "price": ("value",),
    "rate_limit": ("value",),
    "deploy": (),
    "plan": ("plan",),
}
DETAILS = ("policy_id", "policy_version", "model", "plan", "subject", "value", "previous", "note")

Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class ChangeBody(BaseModel):
    """Something that was changed on purpose."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "event_id": "rollout-771",
                    "kind": "policy_version",
                    "policy_id": "CONTENT_ACCURACY",
                    "policy_version": "v12",
                    "previous": "v11",
                    "tenants": ["acme-ai", "beta-corp"],
                }
            ]
        },
    )

    kind: str = Field(description=f"One of {', '.join(KINDS)}.")
    at: StatedInstant = Field(None, description="When it took effect; now by default.")
    event_id: Words | None = Field(None, description="Makes a retry safe.")
    tenants: list[TenantId] | None = Field(
        None, min_length=1, max_length=1000, description="Whom it touches; everybody by default."
    )
    policy_id: Words | None = None
    policy_version: Words | None = None
    model: Words | None = None
    plan: Words | None = None
    subject: Words | None = None
    value: Words | None = None
    previous: Words | None = None
    note: Words | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """Kind and details, as the event carries them."""
        said = {name: getattr(self, name) for name in DETAILS}
        return {"kind": self.kind} | {k: v for k, v in said.items() if v is not None}


class ChangeShown(BaseModel):
    """A change as it was recorded."""

    event_id: str
    at: str
    tenant_id: str | None = Field(description="null: it touches everybody.")
    kind: str | None
    policy_id: str | None
    policy_version: str | None
    model: str | None
    plan: str | None
    subject: str | None
    value: str | None
    previous: str | None
    note: str | None


class ChangePage(BaseModel):
    """Changes, newest first."""

    items: list[ChangeShown]
    since: str
    as_of: str
    next_cursor: str | None


def change_shown(event: Event, everybody: str) -> ChangeShown:
    """One event of a change; ``everybody`` is the tenant id that stands for all."""
    metadata: dict[str, Any] = json.loads(event.metadata_json)
    return ChangeShown(
        event_id=event.event_id,
        at=format_instant(event.timestamp),
        tenant_id=None if event.tenant_id == everybody else event.tenant_id,
        **{name: metadata.get(name) for name in ("kind", *DETAILS)},
    )
