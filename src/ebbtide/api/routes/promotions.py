"""``/ops/policies/{id}/promote``: a version for chosen customers, after a review."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from ebbtide.api.dependencies import admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.replays import (
    PromoteBody,
    PromotionList,
    PromotionShown,
    promotion_shown,
)
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.replay.promotion import Wanted

router = APIRouter(tags=["replays"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


@router.post("/ops/policies/{policy_id}/promote", summary="Promote a version", status_code=201)
def promote(
    policy_id: str,
    body: PromoteBody,
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
) -> PromotionShown:
    """Give a version to chosen customers, once a run of it was looked at.

    ``confirm`` is the version once more. Each change is recorded, and can be undone; a regression
    undoes it by itself for as long as it is watched.
    """
    check_unbound(key)
    if body.confirm != body.version:
        raise Unprocessable("confirm has to be the version that is promoted")
    if "\0" in policy_id:
        raise NotFound("there is no such policy")
    wanted = Wanted(
        policy_id,
        body.version,
        tuple(dict.fromkeys(body.tenants)),
        body.review_id,
        timedelta(days=body.watch_days),
    )
    return promotion_shown(house.lab.promoter.promote(wanted, f"key {key.key_id}", house.clock()))


@router.get("/ops/policies/{policy_id}/promotions", summary="Promotions of a policy")
def list_promotions(
    policy_id: str, house: House, key: Annotated[ApiKey, Depends(reader)]
) -> PromotionList:
    """Newest first, with what became of them."""
    check_unbound(key)
    if "\0" in policy_id:
        raise NotFound("there is no such policy")
    found = house.state.promotions.of_policy(policy_id)
    return PromotionList(
        items=[promotion_shown(house.lab.promoter.shown(one)) for one in reversed(found)]
    )
