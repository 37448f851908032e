"""What the routes of alerts, channels and deliveries take and answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import StatedInstant
from ebbtide.api.models.from_customer import instant
from ebbtide.domain.alert import AlertState, AlertStatus, Channel, ChannelKind, Delivery
from ebbtide.domain.time import format_instant

NOTE_MAX_CHARS = 1000
_EXAMPLE: dict[str, Any] = {
    "alert_id": "0b5f0d3e9c1a7742",
    "rule": "job:compute-stickiness",
    "group": "platform",
    "status": "alert",
    "title": "Job compute-stickiness",
    "text": "Run 17 is failed: a store could not answer.",
    "since": "2026-03-12T08:00:10Z",
    "seen_at": "2026-03-12T08:04:00Z",
    "told": "alert",
    "told_at": "2026-03-12T08:01:00Z",
    "acked_at": None,
    "acked_by": None,
    "note": None,
    "snoozed_until": None,
    "snoozed_by": None,
}


def _visible(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has a character that cannot be shown")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it has a NUL character")
    return text


Name = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_visible)]
Note = Annotated[str, Field(max_length=NOTE_MAX_CHARS), AfterValidator(_without_nul)]
Url = Annotated[str, Field(max_length=2000), AfterValidator(_visible)]
Mailbox = Annotated[str, Field(max_length=254), AfterValidator(_visible)]


class AlertStateShown(BaseModel):
    """How a rule stands. All times are UTC."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    alert_id: str
    rule: str
    group: str = Field(description="platform, or customers: those name customers.")
    status: str = Field(description="ok, warning, alert or no_data.")
    title: str
    text: str
    since: str
    seen_at: str = Field(description="When it was last looked at.")
    told: str | None = Field(description="The worst that receivers know of; null: nothing.")
    told_at: str | None
    acked_at: str | None
    acked_by: str | None = Field(description="Id of the key that acknowledged it.")
    note: str | None
    snoozed_until: str | None
    snoozed_by: str | None


class AlertStateList(BaseModel):
    """Every rule that is not simply well, the worst first."""

    items: list[AlertStateShown]


class Acknowledged(BaseModel):
    """What may be said when an alert is taken on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "mine"}]})

    note: Note | None = None


class Snoozed(BaseModel):
    """Until when nothing is told of it; null ends a snooze."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"until": "2026-03-13T08:00:00Z"}]}
    )

    until: StatedInstant


class ChannelBody(BaseModel):
    """A channel. No secret is sent here: ``secret`` is the name of one on the server."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "ops", "kind": "slack", "secret": "OPS_SLACK"},
                {"name": "founders", "kind": "email", "recipients": ["ada@example.com"]},
                {
                    "name": "pager",
                    "kind": "webhook",
                    "url": "https://pager.example.com/in",
                    "secret": "PAGER",
                    "least": "alert",
                },
            ]
        },
    )

    name: Name
    kind: ChannelKind
    url: Url | None = Field(None, description="Of a webhook.")
    recipients: list[Mailbox] = Field(default=[], max_length=20, description="Of e-mail.")
    secret: str | None = Field(
        None,
        max_length=64,
        description="Name of the server's EBBTIDE_SECRET_<NAME>: the address of a Slack incoming "
        "webhook, or whsec_... that webhooks are signed with.",
    )
    least: AlertStatus = Field(AlertStatus.WARNING, description="warning or alert.")
    wants_brief: bool = Field(False, description="Whether the daily brief goes there.")


class ChannelShown(BaseModel):
    """A channel as it stands; of its secret the name is known here and nothing else."""

    model_config = ConfigDict(extra="forbid")

    channel_id: str
    name: str
    kind: str
    url: str | None
    recipients: list[str]
    secret: str | None
    has_secret: bool = Field(description="Whether the server was given everything it needs.")
    least: str
    wants_brief: bool
    is_enabled: bool
    disabled_reason: str | None
    created_at: str
    created_by: str


class ChannelList(BaseModel):
    """All channels, by name."""

    items: list[ChannelShown]


class ChannelSwitch(BaseModel):
    """On or off."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_enabled": True}]}
    )

    is_enabled: bool


class DeliveryShown(BaseModel):
    """A message on its way; what it says is not shown."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: str = Field(description="The same at every attempt.")
    channel_id: str
    matter: str = Field(description="alerts, brief or test.")
    status: str = Field(description="pending, sending, delivered or dead.")
    num_attempts: int
    reason: str | None = Field(description="How the last attempt failed, as a stable word.")
    created_at: str
    due_at: str | None
    ended_at: str | None


class DeliveryPage(BaseModel):
    """Some deliveries, newest first."""

    items: list[DeliveryShown]
    next_cursor: int | None


def state_shown(state: AlertState) -> AlertStateShown:
    """One rule."""
    return AlertStateShown(
        alert_id=state.alert_id,
        rule=state.rule,
        group=state.group,
        status=state.status,
        title=state.title,
        text=state.text,
        since=format_instant(state.since),
        seen_at=format_instant(state.seen_at),
        told=state.told,
        told_at=instant(state.told_at),
        acked_at=instant(state.acked_at),
        acked_by=state.acked_by,
        note=state.note,
        snoozed_until=instant(state.snoozed_until),
        snoozed_by=state.snoozed_by,
    )


def channel_shown(channel: Channel, *, has_secret: bool) -> ChannelShown:
    """One channel."""
    return ChannelShown(
        channel_id=channel.channel_id,
        name=channel.name,
        kind=channel.kind,
        url=channel.url,
        recipients=list(channel.recipients),
        secret=channel.secret,
        has_secret=has_secret,
        least=channel.least,
        wants_brief=channel.wants_brief,
        is_enabled=channel.is_enabled,
        disabled_reason=channel.disabled_reason,
        created_at=format_instant(channel.created_at),
        created_by=channel.created_by,
    )


def delivery_shown(delivery: Delivery) -> DeliveryShown:
    """One delivery."""
    return DeliveryShown(
        delivery_id=delivery.delivery_id,
        channel_id=delivery.channel_id,
        matter=delivery.matter,
        status=delivery.status,
        num_attempts=delivery.num_attempts,
        reason=delivery.reason,
        created_at=format_instant(delivery.created_at),
        due_at=instant(delivery.due_at),
        ended_at=instant(delivery.ended_at),
    )
