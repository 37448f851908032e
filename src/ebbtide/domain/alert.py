"""Alerts and what is sent about them: the state of a rule, a channel, a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class AlertStatus(StrEnum):
    """How a rule stands."""

    OK = "ok"
    WARNING = "warning"
    ALERT = "alert"
    NO_DATA = "no_data"  # nobody can say; whatever held before is neither confirmed nor over


#: What has to be told again when it follows on another: a higher one.
WEIGHT = {AlertStatus.OK: 0, AlertStatus.NO_DATA: 1, AlertStatus.WARNING: 2, AlertStatus.ALERT: 3}


class Group(StrEnum):
    """What an alert is about. No two are in one message: some of them name people."""

    PLATFORM = "platform"
    CUSTOMERS = "customers"
    LEARNERS = "learners"  # told by their own job; no rule of it stands in the alert states


@dataclass(frozen=True, slots=True)
class Observation:
    """What a rule says at one moment.

    Attributes:
        rule: ``kind:subject``, such as ``job:compute-stickiness``; it never changes.
        title: what the rule looks at, for people.
        text: what it found, for people.
        tenant_uuid: the customer it is about; None when it is about none.
        tells_no_data: False where another rule tells of the same blindness.
    """

    rule: str
    group: Group
    status: AlertStatus
    title: str
    text: str
    tenant_uuid: str | None = None
    tells_no_data: bool = True


@dataclass(frozen=True, slots=True)
class AlertState:
    """A rule as it stands, and what was told of it.

    Attributes:
        since: when it came into this status.
        told: the worst that receivers know of; None when for them nothing is wrong.
        told_at: when they were last told.
        starts_at: when what they know of began; None when they know of nothing.
        ok_since: since when it is ok while they still believe otherwise.
        acked_at, acked_by, note: somebody takes care; nothing more is told unless it gets worse.
        snoozed_until, snoozed_by: nothing of it is told before this moment.
    """

    rule: str
    group: Group
    status: AlertStatus
    title: str
    text: str
    tenant_uuid: str | None
    since: datetime
    seen_at: datetime
    told: AlertStatus | None = None
    told_at: datetime | None = None
    starts_at: datetime | None = None
    ok_since: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    note: str | None = None
    snoozed_until: datetime | None = None
    snoozed_by: str | None = None

    @property
    def alert_id(self) -> str:
        """Names the rule in addresses and to receivers: the same for as long as the rule."""
        return alert_id(self.rule)


def alert_id(rule: str) -> str:
    """The id of a rule's alert: 16 hexadecimal digits."""
    return sha256(rule.encode()).hexdigest()[:16]


class ChannelKind(StrEnum):
    """Ways out."""

    SLACK = "slack"  # an incoming webhook of Slack, or of something that speaks the same
    EMAIL = "email"
    WEBHOOK = "webhook"  # signed as Standard Webhooks says


@dataclass(frozen=True, slots=True)
class Channel:
    """Where to send. What is secret about it is not here: ``secret`` only names it.

    Attributes:
        url: of a webhook; None for the other kinds.
        recipients: of e-mail; empty for the other kinds.
        secret: the name of Slack's address or of the webhook's signing secrets.
        least: the mildest status it wants to hear of: warning or alert.
        wants_brief: whether it gets the daily brief.
        disabled_reason: why it is off; None when it is on.
    """

    channel_id: str
    name: str
    kind: ChannelKind
    url: str | None
    recipients: tuple[str, ...]
    secret: str | None
    least: AlertStatus
    wants_brief: bool
    created_at: datetime
    created_by: str
    disabled_reason: str | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether anything is sent there."""
        return self.disabled_reason is None


class DeliveryStatus(StrEnum):
    """How far a delivery is; the last two are final."""

    PENDING = "pending"
    SENDING = "sending"  # an attempt is under way, or its process died and nobody noticed yet
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; the reason says why


class Matter(StrEnum):
    """Why something is sent."""

    ALERTS = "alerts"
    BRIEF = "brief"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to send over one channel; ``delivery_id`` is the same at every attempt.

    ``body`` is what goes out as it stands: JSON, or for e-mail JSON with subject and text.
    """

    delivery_id: str
    channel_id: str
    matter: Matter
    body: str
    created_at: datetime
    tenant_uuids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way.

    Attributes:
        num_attempts: made or begun so far.
        due_at: of the next attempt; None when there is none.
        reason: a stable word for how the last attempt failed; None when it did not.
        ended_at: when it was delivered or given up.
    """

    delivery_id: str
    channel_id: str
    matter: Matter
    body: str
    status: DeliveryStatus
    num_attempts: int
    created_at: datetime
    due_at: datetime | None
    reason: str | None
    ended_at: datetime | None
