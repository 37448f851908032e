"""``/ops/alerts``, ``/ops/channels``, ``/ops/deliveries``: who is told, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.alerts.channels import Wanted, make_channel, trial_message
from ebbtide.api.dependencies import admin, check_unbound, intervener, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.alerts import (
    Acknowledged,
    AlertStateList,
    AlertStateShown,
    ChannelBody,
    ChannelList,
    ChannelShown,
    ChannelSwitch,
    DeliveryPage,
    DeliveryShown,
    Snoozed,
    channel_shown,
    delivery_shown,
    state_shown,
)
from ebbtide.api.services import Services
from ebbtide.domain.alert import (
    WEIGHT,
    AlertState,
    AlertStatus,
    Channel,
    ChannelKind,
    DeliveryStatus,
)
from ebbtide.domain.errors import NotFound, Unprocessable, WrongState
from ebbtide.domain.keys import ApiKey

router = APIRouter(tags=["alerts"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Intervener = Annotated[ApiKey, Depends(intervener)]
Admin = Annotated[ApiKey, Depends(admin)]
BY_HAND = "switched_off"


@router.get("/ops/alerts", summary="Every rule that is not simply well")
def list_alerts(house: House, key: Reader, status: AlertStatus | None = None) -> AlertStateList:
    """As the newest run of ``send-alerts`` left them, the worst first."""
    check_unbound(key)
    states = house.state.alerts.list()
    states.sort(key=lambda one: (-WEIGHT[one.status], one.rule))
    return AlertStateList(
        items=[state_shown(one) for one in states if status is None or one.status is status]
    )


@router.post("/ops/alerts/{alert_id}/acknowledge", summary="Take an alert on")
def acknowledge(
    alert_id: str, house: House, key: Intervener, body: Acknowledged | None = None
) -> AlertStateShown:
    """Nothing more is told of it until it gets worse, or is over."""
    now, note = house.clock(), None if body is None else body.note

    def step(state: AlertState) -> AlertState:
        if state.status is AlertStatus.OK:
            raise WrongState("it is ok already")
        return replace(state, acked_at=now, acked_by=key.key_id, note=note)

    return _change(house, key, alert_id, step)


@router.post("/ops/alerts/{alert_id}/snooze", summary="Hear nothing of an alert for a while")
def snooze(alert_id: str, body: Snoozed, house: House, key: Intervener) -> AlertStateShown:
    """What is still wrong at that moment is told then."""
    if body.until is not None and body.until <= house.clock():
        raise Unprocessable("until lies in the past")
    by = None if body.until is None else key.key_id
    return _change(
        house,
        key,
        alert_id,
        lambda state: replace(state, snoozed_until=body.until, snoozed_by=by),
    )


@router.get("/ops/deliveries", summary="What was sent, or waits to be")
def list_deliveries(
    house: House,
    key: Reader,
    status: DeliveryStatus | None = None,
    channel_id: str | None = None,
    cursor: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeliveryPage:
    """Newest first; each ends delivered or dead."""
    check_unbound(key)
    rows = house.state.outbox.list_newest(
        status=status, channel_id=channel_id, before=cursor, limit=limit + 1
    )
    return DeliveryPage(
        items=[delivery_shown(one) for _, one in rows[:limit]],
        next_cursor=rows[limit - 1][0] if len(rows) > limit else None,
    )


@router.get("/ops/channels", summary="Where alerts are sent")
def list_channels(house: House, key: Admin) -> ChannelList:
    """All of them, by name."""
    check_unbound(key)
    return ChannelList(items=[_shown(house, one) for one in house.state.outbox.channels()])


@router.post("/ops/channels", summary="Make a channel", status_code=201)
def add_channel(body: ChannelBody, house: House, key: Admin) -> ChannelShown:
    """The first channel of all is told with the next run what is not well already."""
    check_unbound(key)
    said = Wanted(
        body.name,
        body.kind,
        body.url,
        body.recipients,
        body.secret,
        body.least,
        body.wants_brief,
    )
    reach = house.sender.transport.http.reach
    channel = make_channel(said, reach, house.clock(), f"key {key.key_id}")
    house.state.outbox.add_channel(channel)
    return _shown(house, channel)


@router.put("/ops/channels/{channel_id}", summary="Switch a channel on or off")
def switch_channel(channel_id: str, body: ChannelSwitch, house: House, key: Admin) -> ChannelShown:
    """What waits for one that is switched off is given up."""
    check_unbound(key)
    reason = None if body.is_enabled else BY_HAND
    return _shown(house, house.state.outbox.switch(channel_id, reason, house.clock()))


@router.delete("/ops/channels/{channel_id}", summary="Delete a channel")
def delete_channel(channel_id: str, house: House, key: Admin) -> dict[str, bool]:
    """What waits for it is given up."""
    check_unbound(key)
    house.state.outbox.remove_channel(channel_id, house.clock())
    return {"deleted": True}


@router.post("/ops/channels/{channel_id}/test", summary="Send a test")
def test_channel(channel_id: str, house: House, key: Admin) -> DeliveryShown:
    """Make one attempt now and say how it ended; what the receiver said is not shown."""
    check_unbound(key)
    outbox = house.state.outbox
    channel = next((one for one in outbox.channels() if one.channel_id == channel_id), None)
    if channel is None:
        raise NotFound("there is no such channel")
    message = trial_message(channel, house.sender.now())
    outbox.put_now(message)
    return delivery_shown(house.sender.try_now(message.delivery_id))


def _shown(house: Services, channel: Channel) -> ChannelShown:
    transport = house.sender.transport
    if channel.kind is ChannelKind.EMAIL:
        return channel_shown(channel, has_secret=transport.has_mail)
    return channel_shown(channel, has_secret=transport.secrets.get(channel.secret) is not None)


def _change(
    house: Services, key: ApiKey, alert_id: str, step: Callable[[AlertState], AlertState]
) -> AlertStateShown:
    check_unbound(key)
    return state_shown(house.state.alerts.change(alert_id, step))
