"""What goes out about alerts: one body for each kind of channel, with foreign text made inert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from ebbtide.alerts.machine import Notice
from ebbtide.domain.alert import (
    AlertState,
    AlertStatus,
    Channel,
    ChannelKind,
    Group,
    Matter,
    Message,
)
from ebbtide.domain.time import format_instant

ALERTS_MAX = 50  # in one message; the rest is counted
TEXT_MAX_CHARS = 500
_SLACK_MAX_CHARS = 2900  # of one block; it takes 3000
_NOT_OVER = "0001-01-01T00:00:00Z"  # what Alertmanager says of what still lasts
_SEVERITY = {
    AlertStatus.OK: "none",
    AlertStatus.WARNING: "warning",
    AlertStatus.ALERT: "critical",
    AlertStatus.NO_DATA: "critical",
}
_WORDS = {
    AlertStatus.OK: "OVER",
    AlertStatus.WARNING: "WARNING",
    AlertStatus.ALERT: "ALERT",
    AlertStatus.NO_DATA: "NO DATA",
}
_CUSTOMER = "customer:"


def message_id(*parts: object) -> str:
    """The id of a message: the same parts always give the same."""
    return "msg_" + sha256("\0".join(str(one) for one in parts).encode()).hexdigest()[:32]


def alerts_message(
    channel: Channel,
    group: Group,
    notices: Sequence[Notice],
    now: datetime,
    *,
    num_unlisted: int = 0,
    is_simulated: bool = False,
) -> Message | None:
    """What a channel is sent about some notices of one group; None when it wants none of them.

    Args:
        num_unlisted: so many more are wanted that are not among the notices, and no worse.
    """
    wanted = [one for one in notices if is_wanted(one, channel.least)]
    if not wanted:
        return None
    # The worst first, and what is over last.
    wanted.sort(key=lambda one: (one.is_resolved, one.state.status is not AlertStatus.ALERT))
    shown = wanted[:ALERTS_MAX]
    num_more = len(wanted) - len(shown) + num_unlisted
    match channel.kind:
        case ChannelKind.WEBHOOK:
            body = _alertmanager(channel, group, shown, num_more, is_simulated)
        case _:
            lines = [_line(one) for one in shown]
            if num_more:
                where = "" if group is Group.LEARNERS else ": ebbtide alerts list"
                lines.append(f"... and {num_more} more{where}")
            num_others = len(wanted) - 1 + num_unlisted
            title = f"{lines[0]} (and {num_others} more)" if num_others else lines[0]
            body = text_body(channel.kind, title, lines, is_simulated=is_simulated)
    return Message(
        message_id(channel.channel_id, *(_said(one) for one in wanted)),
        channel.channel_id,
        Matter.ALERTS,
        json.dumps(body, ensure_ascii=False),
        now,
        frozenset(one.state.tenant_uuid for one in wanted if one.state.tenant_uuid is not None),
    )


def text_body(
    kind: ChannelKind, title: str, lines: Sequence[str], *, is_simulated: bool = False
) -> dict[str, Any]:
    """Lines of text for people, as Slack, mail, or a webhook takes them."""
    mark = "[simulated] " if is_simulated else ""
    title = mark + clean(title)
    text = "\n".join(clean(line) for line in lines)
    if kind is ChannelKind.EMAIL:
        return {"subject": f"[Ebbtide] {title}"[:200], "text": f"{mark}{text}\n"}
    if kind is ChannelKind.WEBHOOK:
        return {"title": title, "text": mark + text}
    # In plain text nothing is a link, a mention or a picture, whatever a customer calls itself.
    whole = (mark + text)[:_SLACK_MAX_CHARS]
    block = {"type": "section", "text": {"type": "plain_text", "text": whole, "emoji": False}}
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "blocks": [block]}


def clean(text: str) -> str:
    """One line of bounded length, without control characters and such that turn text around."""
    if len(text) <= TEXT_MAX_CHARS and text.isprintable():
        return text  # nearly always, and many times over
    shown = "".join(c if c.isprintable() else " " for c in text[: TEXT_MAX_CHARS + 1])
    return shown if len(shown) <= TEXT_MAX_CHARS else shown[: TEXT_MAX_CHARS - 3] + "..."


def is_wanted(notice: Notice, least: AlertStatus) -> bool:
    """Whether a channel hears of it that is told of nothing less bad than ``least``."""
    # What is over is told to those who heard of it, and blindness to everybody.
    of = notice.state.told if notice.is_resolved else notice.state.status
    return least is AlertStatus.WARNING or of is not AlertStatus.WARNING


def _said(notice: Notice) -> str:
    state = notice.state
    return f"{state.rule} {notice.is_resolved} {state.told} {state.told_at} {state.ok_since}"


def _line(notice: Notice) -> str:
    state = notice.state
    word = "OVER" if notice.is_resolved else _WORDS[state.status]
    again = " (still)" if notice.is_reminder else ""
    return f"{word}{again}: {state.title}: {state.text}"


def _alertmanager(
    channel: Channel, group: Group, shown: Sequence[Notice], num_more: int, is_simulated: bool
) -> dict[str, Any]:
    """The body that Alertmanager posts, version 4, so that its receivers take it."""
    common = {"group": group.value} | ({"simulated": "true"} if is_simulated else {})
    is_firing = any(not one.is_resolved for one in shown)
    return {
        "version": "4",
        "groupKey": f"ebbtide:{group.value}",
        "truncatedAlerts": num_more,
        "status": "firing" if is_firing else "resolved",
        "receiver": channel.name,
        "groupLabels": {"group": group.value},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [_alert(one, common) for one in shown],
    }


def _alert(notice: Notice, common: dict[str, str]) -> dict[str, Any]:
    state = notice.state
    severity = _SEVERITY[(state.told or state.status) if notice.is_resolved else state.status]
    starts_at = state.starts_at or state.since
    ends_at = state.ok_since if notice.is_resolved else None
    return {
        "status": "resolved" if notice.is_resolved else "firing",
        "labels": common | _labels(state) | {"severity": severity},
        "annotations": {"summary": clean(state.title), "description": clean(state.text)},
        "startsAt": format_instant(starts_at),
        "endsAt": _NOT_OVER if ends_at is None else format_instant(ends_at),
        "generatorURL": "",
        "fingerprint": state.alert_id,
    }


def _labels(state: AlertState) -> dict[str, str]:
    kind = state.rule.partition(":")[0]
    labels = {"alertname": kind, "rule": clean(state.rule)}
    if state.rule.startswith(_CUSTOMER):
        labels["tenant"] = clean(state.rule.removeprefix(_CUSTOMER))
    return labels
