"""``/ops/playbooks``: known situations, who is in them now, and how well the way out works."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from ebbtide.api.dependencies import reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.from_customer import moment
from ebbtide.api.models.playbooks import PlaybookAnswer, PlaybookDetail, PlaybookList, detail
from ebbtide.api.routes.customers import AsOf, KnownAt
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean

router = APIRouter(tags=["playbooks"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]


@router.get("/ops/playbooks", summary="All playbooks, the worst level first")
def list_playbooks(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> PlaybookList:
    """Each with the customers that match at the moment; summaries are of all time up to it."""
    found = house.customers.playbooks(as_of=as_of, known_at=known_at, tenant_id=key.tenant_id)
    return PlaybookList(
        **moment(found.moment),
        items=[
            PlaybookDetail.model_validate(detail(one, found.matching[id_], found.summary(id_)))
            for id_, one in house.catalog.playbooks.items()
        ],
        total=len(house.catalog.playbooks),
    )


@router.get("/ops/playbooks/{playbook_id}", summary="One playbook")
def get_playbook(
    playbook_id: str, house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> PlaybookAnswer:
    """When it applies, what to do, what success is, who matches, and what came of it so far."""
    known = house.catalog.playbooks
    if playbook_id not in known:
        raise NotFound(f"there is no such playbook{did_you_mean(playbook_id, known)}")
    found = house.customers.playbooks(as_of=as_of, known_at=known_at, tenant_id=key.tenant_id)
    return PlaybookAnswer.model_validate(
        moment(found.moment)
        | detail(known[playbook_id], found.matching[playbook_id], found.summary(playbook_id))
    )
