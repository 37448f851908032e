"""What the intervention routes take and answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import StatedInstant
from ebbtide.api.models.from_customer import instant
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.intervention import NOTE_MAX_CHARS, DismissReason, Intervention
from ebbtide.domain.time import format_instant

_EXAMPLE: dict[str, Any] = {
    "intervention_id": 17,
    "tenant_id": "acme-ai",
    "tenant_uuid": "b95fdb9c-2b4b-5dc8-a4d6-3f1f0f5d7e61",
    "rule": "silent_churn",
    "playbook_id": "silent_churn",
    "intervention_type": "call",
    "priority": "today",
    "suggested_action": "Call them: their traffic goes on, but nobody looks at incidents.",
    "context": "API calls go on; the last investigation was 8 days ago.",
    "expected_outcome": "Somebody opens an incident again within a week.",
    "triggering_signals": ["API call within 48 h", "no investigation in 8 days"],
    "state": "done",
    "is_open": True,
    "suggested_at": "2026-03-12T08:00:00Z",
    "accepted_at": "2026-03-12T09:10:00Z",
    "dismissed_at": None,
    "dismiss_reason": None,
    "done_at": "2026-03-12T15:00:00Z",
    "note": "Spoke to Ada; she had no idea that replays exist.",
    "changed_at": "2026-03-12T15:04:00Z",
    "changed_by": "k2uxj3q7m4ab",
    "reason_ended_at": None,
    "outcome": None,
    "outcome_reason": "window_open",
    "outcome_closes_at": "2026-03-19T15:00:00Z",
    "outcome_closed_at": None,
}


class InterventionShown(BaseModel):
    """A suggestion and its life. All times are UTC."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    intervention_id: int
    tenant_id: str
    tenant_uuid: str
    rule: str = Field(description="Which rule suggests it.")
    playbook_id: str | None
    intervention_type: str
    priority: str
    suggested_action: str
    context: str
    expected_outcome: str
    triggering_signals: list[str] = Field(min_length=1)
    state: str = Field(description="suggested, accepted, dismissed, done or lapsed.")
    is_open: bool = Field(description="While it is open the same is not suggested again.")
    suggested_at: str
    accepted_at: str | None
    dismissed_at: str | None
    dismiss_reason: str | None
    done_at: str | None
    note: str | None
    changed_at: str | None
    changed_by: str | None = Field(description="Id of the key that changed it last.")
    reason_ended_at: str | None = Field(description="When its reason no longer held.")
    outcome: str | None = Field(description="success or failure, by the playbook's own measure.")
    outcome_reason: str | None = Field(
        description="Why there is no outcome: not_done, window_open or no_playbook."
    )
    outcome_closes_at: str | None
    outcome_closed_at: str | None


class InterventionPage(BaseModel):
    """Some interventions, newest first."""

    items: list[InterventionShown]
    total: int | None = Field(
        description="How many match, on all pages; null for an earlier moment."
    )
    next_cursor: int | None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_EXAMPLE], "total": 1, "next_cursor": None}]}
    )


class Accepted(BaseModel):
    """What may be said when one is accepted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "mine"}]})

    note: str | None = Field(None, max_length=NOTE_MAX_CHARS)


class Dismissed(BaseModel):
    """Why one is turned down."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "not_applicable"}]}
    )

    reason: DismissReason
    note: str | None = Field(None, max_length=NOTE_MAX_CHARS)


class Done(BaseModel):
    """That one is done; the outcome is measured from then on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"done_at": "2026-03-12T15:00:00Z", "note": "Spoke to Ada."}]
        },
    )

    done_at: StatedInstant = Field(None, description="When it was done; without it, now.")
    note: str | None = Field(None, max_length=NOTE_MAX_CHARS)


def shown(one: Intervention) -> InterventionShown:
    """A row as the API shows it."""
    said = one.suggestion
    return InterventionShown(
        intervention_id=one.id,
        tenant_id=said.tenant_id,
        tenant_uuid=to_uuid_text(said.tenant_id),
        rule=said.rule,
        playbook_id=said.playbook_id,
        intervention_type=said.intervention_type,
        priority=said.priority,
        suggested_action=said.suggested_action,
        context=said.context,
        expected_outcome=said.expected_outcome,
        triggering_signals=list(said.triggering_signals),
        state=one.state,
        is_open=one.is_open,
        suggested_at=format_instant(one.suggested_at),
        accepted_at=instant(one.accepted_at),
        dismissed_at=instant(one.dismissed_at),
        dismiss_reason=one.dismiss_reason,
        done_at=instant(one.done_at),
        note=one.note,
        changed_at=instant(one.changed_at),
        changed_by=one.changed_by,
        reason_ended_at=instant(one.ended_at),
        outcome=one.effect,
        outcome_reason=one.effect_reason,
        outcome_closes_at=instant(one.effect_closes_at),
        outcome_closed_at=instant(one.effect_closed_at),
    )
