"""Makes channels: what a person says about one, checked before it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from ebbtide.alerts.messages import message_id, text_body
from ebbtide.alerts.secrets import NAME_FORM
from ebbtide.domain.alert import AlertStatus, Channel, ChannelKind, Matter, Message
from ebbtide.domain.errors import Unprocessable
from ebbtide.egress.addresses import Reach, resolve
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.http import read_url
from ebbtide.egress.mail import check_mailbox

RECIPIENTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A channel as somebody asks for it; see :class:`Channel`."""

    name: str
    kind: ChannelKind
    url: str | None
    recipients: Sequence[str]
    secret: str | None
    least: AlertStatus
    wants_brief: bool


def make_channel(said: Wanted, reach: Reach, at: datetime, by: str) -> Channel:
    """A channel of which everything is in order as far as can be told without calling it.

    Raises:
        Unprocessable: something is not; the message names the field.
    """
    is_mail, is_web = said.kind is ChannelKind.EMAIL, said.kind is ChannelKind.WEBHOOK
    if (said.url is not None) != is_web:
        raise Unprocessable("url: a webhook has one, the other kinds have none")
    if bool(said.recipients) != is_mail:
        raise Unprocessable("recipients: e-mail has some, the other kinds have none")
    if (said.secret is None) != is_mail:
        raise Unprocessable("secret: Slack and webhooks name one, e-mail does not")
    if said.secret is not None and not NAME_FORM.fullmatch(said.secret):
        raise Unprocessable("secret: the name of one has capital letters, digits and underscores")
    if said.least not in (AlertStatus.WARNING, AlertStatus.ALERT):
        raise Unprocessable("least: warning or alert")
    try:
        for one in said.recipients:
            check_mailbox(one)
    except ValueError as error:
        raise Unprocessable(f"recipients: {error}") from error
    if said.url is not None:
        _check_url(said.url, reach)
    return Channel(
        channel_id=uuid4().hex[:12],
        name=said.name,
        kind=said.kind,
        url=said.url,
        recipients=tuple(said.recipients),
        secret=said.secret,
        least=said.least,
        wants_brief=said.wants_brief,
        created_at=at,
        created_by=by,
    )


def trial_message(channel: Channel, at: datetime) -> Message:
    """A message that only shows that the channel works."""
    text = "Ebbtide reaches you here. Nothing is wrong: somebody asked for a test."
    body = text_body(channel.kind, "Test", [text])
    return make_message(channel, Matter.TEST, body, at, uuid4().hex)


def make_message(
    channel: Channel, matter: Matter, body: Mapping[str, object], at: datetime, *same: object
) -> Message:
    """A message; whatever is the ``same`` has the same id."""
    return Message(
        message_id(channel.channel_id, matter, *same),
        channel.channel_id,
        matter,
        json.dumps(body, ensure_ascii=False),
        at,
    )


def _check_url(url: str, reach: Reach) -> None:
    try:
        target = read_url(url)
    except ValueError as error:
        raise Unprocessable(f"url: {error}") from error
    try:
        addresses = resolve(target.host, target.port, reach)
    except EgressFailed as error:
        if error.reason == "dns":
            return  # it may have an address later, which is checked at every attempt
        raise Unprocessable(
            "url: it leads to an address that is not called from here; EBBTIDE_EGRESS_ALLOW opens "
            "networks of your own"
        ) from error
    if target.scheme == "http" and not all(reach.is_own(one) for one in addresses):
        raise Unprocessable("url: plain http goes to networks of your own only; use https")
