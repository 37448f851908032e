"""``/ops/policy-replays``: what another version of a policy would have said of recorded calls."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.replays import (
    JudgementBody,
    JudgementShown,
    PolicyReplayBody,
    PolicyReplayPage,
    PolicyReplayShown,
    policy_replay_row,
    policy_replay_shown,
)
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import TimeWindow, format_instant
from ebbtide.store.state.judgements import Judgement

DAYS = 7
router = APIRouter(tags=["replays"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Admin = Annotated[ApiKey, Depends(admin)]
_ID = re.compile("prp_[0-9a-f]{24}")


@router.post("/ops/policy-replays", summary="Judge recorded calls by two versions", status_code=202)
def start_policy_replay(body: PolicyReplayBody, house: House, key: Admin) -> PolicyReplayShown:
    """What would version B have blocked or let through, against version A? No call is made.

    Over the recorded calls that the policy looked at in ``(since, as_of]``, for each customer.
    It is begun when this answers; ask for it until its state is not ``running`` any more.
    """
    check_unbound(key)
    now = house.clock()
    as_of = body.as_of or now
    if as_of > now:
        raise Unprocessable("as_of lies in the future")
    if body.since is not None and body.days is not None:
        raise Unprocessable("give since or days, not both")
    since = body.since or as_of - timedelta(days=body.days or DAYS)
    if since >= as_of:
        raise Unprocessable("since lies after as_of")
    versions = house.lab.versions
    return policy_replay_shown(
        house.lab.policy_only.start(
            versions.version(body.policy_id, body.before),
            versions.version(body.policy_id, body.after),
            TimeWindow(since, as_of),
            tenant_ids=body.tenants,
            asked_by=key.key_id,
        )
    )


@router.get("/ops/policy-replays", summary="Policy-only replays, newest first")
def list_policy_replays(
    house: House,
    key: Reader,
    cursor: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PolicyReplayPage:
    """Without their results."""
    check_unbound(key)
    rows = house.state.policy_replays.list_newest(before=cursor, limit=limit + 1)
    return PolicyReplayPage(
        items=[policy_replay_row(one) for _, one in rows[:limit]],
        next_cursor=rows[limit - 1][0] if len(rows) > limit else None,
    )


@router.get("/ops/policy-replays/{policy_replay_id}", summary="One policy-only replay")
def get_policy_replay(policy_replay_id: str, house: House, key: Reader) -> PolicyReplayShown:
    """How far it is, and its result for each customer once it is done."""
    check_unbound(key)
    if not _ID.fullmatch(policy_replay_id):
        raise NotFound("there is no such policy replay")
    return policy_replay_shown(house.state.policy_replays.get(policy_replay_id))


@router.post("/ops/block-judgements", summary="Say whether a block was wrong", status_code=201)
def judge_block(body: JudgementBody, house: House, key: Admin) -> JudgementShown:
    """A block that a person judged as wrong is a false block; one that nobody judged is neither."""
    if not key.covers(body.tenant_id):
        raise NotFound("there is no such tenant")
    now = house.clock()
    house.state.judgements.add(
        Judgement(
            body.tenant_id,
            body.call_id,
            body.policy_id,
            body.is_wrong,
            body.note,
            now,
            f"key {key.key_id}",
        )
    )
    return JudgementShown(
        tenant_id=body.tenant_id,
        call_id=body.call_id,
        policy_id=body.policy_id,
        is_wrong=body.is_wrong,
        judged_at=format_instant(now),
    )
