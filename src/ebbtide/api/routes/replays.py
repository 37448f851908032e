"""``/ops/replays`` and ``/ops/spending``: incidents made again, and what that may cost."""

from __future__ import annotations

import json
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import admin, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.replays import (
    AbortReplayBody,
    CallShown,
    ReplayBody,
    ReplayPage,
    ReplayShown,
    SpendingPage,
    call_shown,
    replay_row,
    replay_shown,
    spending_shown,
    usd,
)
from ebbtide.api.routes.incidents import find_incident
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.replay import PolicyChoice, ReplayState
from ebbtide.replay.run import Wish
from ebbtide.store.state.replays import ReplayFilter, StoredReplay

router = APIRouter(tags=["replays"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Admin = Annotated[ApiKey, Depends(admin)]
RowNumber = Annotated[int, Query(ge=1, lt=2**63, description="next_cursor of the page before")]
_ID = re.compile("rep_[0-9a-f]{24}")


@router.post("/ops/replays", summary="Replay an incident", status_code=202)
def start_replay(body: ReplayBody, house: House, key: Admin) -> ReplayShown:
    """Make the recorded call of an incident again, up to 20 times, and compare the answers.

    It is begun when this answers; ask for it until its state is not ``running`` any more. Money
    is set aside before each call. 409 ``spending-cap-reached`` where a cap leaves too little.
    """
    now = house.clock()
    event = find_incident(house, key, body.incident_id, body.tenant_id, now, None)
    call_id = json.loads(event.metadata_json).get("call_id")
    wish = Wish(
        event,
        call_id if isinstance(call_id, str) else None,
        body.model,
        tuple(PolicyChoice(one.policy_id, one.version) for one in body.policies),
        body.samples,
    )
    return replay_shown(house.lab.replayer.start(wish, asked_by=key.key_id))


@router.get("/ops/replays", summary="Replays, newest first")
def list_replays(
    house: House,
    key: Reader,
    incident_id: Annotated[str | None, Query(max_length=200)] = None,
    tenant_id: Annotated[str | None, Query(max_length=200)] = None,
    state: ReplayState | None = None,
    cursor: RowNumber | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ReplayPage:
    """Without their texts; a key that is bound to a tenant sees that tenant's."""
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    if incident_id is not None and "\0" in incident_id:
        return ReplayPage(items=[], next_cursor=None)
    meant = ReplayFilter(tenant_id, incident_id, state)
    rows = house.state.replays.list_newest(meant, before=cursor, limit=limit + 1)
    return ReplayPage(
        items=[replay_row(one.replay, one.match) for one in rows[:limit]],
        next_cursor=rows[limit - 1].id if len(rows) > limit else None,
    )


@router.get("/ops/replays/{replay_id}", summary="One replay, with both outputs and what differs")
def get_replay(replay_id: str, house: House, key: Reader) -> ReplayShown:
    """Texts and verdicts are null or empty when the recording is not kept any more."""
    return replay_shown(house.lab.replayer.opened(_find(house, key, replay_id)))


@router.post("/ops/replays/{replay_id}/abort", summary="Give a replay up")
def abort_replay(
    replay_id: str, house: House, key: Admin, body: AbortReplayBody | None = None
) -> ReplayShown:
    """No further call is made; one under way comes to its end, and is paid."""
    _find(house, key, replay_id)
    reason = None if body is None else body.reason
    return replay_shown(house.lab.replayer.abort(replay_id, reason))


@router.get("/ops/recorded-calls/{call_id:anything}", summary="One recorded call")
def get_recorded_call(
    call_id: str,
    house: House,
    key: Reader,
    tenant_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> CallShown:
    """What a replay of it would send again, and what came out then, without personal data."""
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    if "\0" in call_id or "\0" in (tenant_id or ""):
        raise NotFound("this call was not recorded, or its time is over")
    return call_shown(house.guard.recorder.get(call_id, tenant_id))


@router.get("/ops/spending", summary="What replays cost today, and what they may")
def get_spending(
    house: House,
    key: Reader,
    tenant_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> SpendingPage:
    """Of this UTC day. What nobody saw the end of counts as spent in full."""
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    caps, shelf, day = house.lab.replayer.terms.caps, house.state.spending, house.clock().date()
    everybody = theirs = None
    if key.tenant_id is None:
        everybody = spending_shown(shelf.of_day(day, caps.day_usd))
    if tenant_id is not None:
        theirs = spending_shown(shelf.of_day(day, caps.tenant_day_usd, tenant_id))
    return SpendingPage(
        run_cap_usd=usd(caps.run_usd),
        tenant_day_cap_usd=usd(caps.tenant_day_usd),
        day_cap_usd=usd(caps.day_usd),
        all=everybody,
        tenant=theirs,
    )


def _find(house: Services, key: ApiKey, replay_id: str) -> StoredReplay:
    if not _ID.fullmatch(replay_id):
        raise NotFound("there is no such replay")
    found = house.state.replays.get(replay_id)
    if not key.covers(found.replay.tenant_id):
        raise NotFound("there is no such replay")
    return found
