"""``/ops/interventions``: what was suggested, and what people do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import intervener, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.interventions import (
    Accepted,
    Dismissed,
    Done,
    InterventionPage,
    InterventionShown,
    shown,
)
from ebbtide.api.routes.customers import AsOf, KnownAt, earlier
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound
from ebbtide.domain.intervention import Intervention, State
from ebbtide.domain.keys import ApiKey
from ebbtide.store.state.interventions import InterventionFilter

router = APIRouter(tags=["interventions"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Intervener = Annotated[ApiKey, Depends(intervener)]
RowNumber = Annotated[int, Query(ge=1, lt=2**63, description="next_cursor of the page before")]


@router.get("/ops/interventions", summary="Suggested interventions, newest first")
def list_interventions(
    house: House,
    key: Reader,
    tenant_id: str | None = None,
    playbook: str | None = None,
    state: State | None = None,
    is_open: bool | None = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: RowNumber | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> InterventionPage:
    """Rows with their whole life. A key that is bound to a tenant sees that tenant's only.

    With a moment the rows are shown as they stood then; ``total`` is null.
    """
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            return InterventionPage(items=[], total=0, next_cursor=None)
        tenant_id = key.tenant_id
    meant = InterventionFilter(tenant_id, None if state is None else (state,), playbook, is_open)
    shelf, at = house.state.interventions, earlier(as_of, known_at)
    if at is None:
        rows = shelf.list_newest(meant, before=cursor, limit=limit + 1)
    else:
        rows = shelf.list_as_of(meant, at, before=cursor, limit=limit + 1)
    return InterventionPage(
        items=[shown(row) for row in rows[:limit]],
        total=shelf.count(meant) if at is None else None,
        next_cursor=rows[limit - 1].id if len(rows) > limit else None,
    )


@router.get("/ops/interventions/{intervention_id}", summary="One intervention")
def get_intervention(
    intervention_id: int,
    house: House,
    key: Reader,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> InterventionShown:
    """What was suggested, why, and what became of it, up to now or as it stood at a moment."""
    shelf, at = house.state.interventions, earlier(as_of, known_at)
    row = _own(key, shelf.get(intervention_id))
    return shown(row if at is None else shelf.get_as_of(intervention_id, at))


@router.post("/ops/interventions/{intervention_id}/accept", summary="Take it on")
def accept(
    intervention_id: int, house: House, key: Intervener, body: Accepted | None = None
) -> InterventionShown:
    """Say that you will do it; it is not suggested again meanwhile."""
    note = None if body is None else body.note
    now = house.clock()
    return _change(house, key, intervention_id, lambda one: one.accept(now, key.key_id, note))


@router.post("/ops/interventions/{intervention_id}/dismiss", summary="Turn it down, with a reason")
def dismiss(
    intervention_id: int, house: House, key: Intervener, body: Dismissed
) -> InterventionShown:
    """Say why not; it is not suggested again before its reason has gone away and come back."""
    now = house.clock()
    return _change(
        house,
        key,
        intervention_id,
        lambda one: one.dismiss(body.reason, now, key.key_id, body.note),
    )


@router.post("/ops/interventions/{intervention_id}/done", summary="Say that it is done")
def do(
    intervention_id: int, house: House, key: Intervener, body: Done | None = None
) -> InterventionShown:
    """Begin the window in which the playbook's own measure says whether it helped."""
    now = house.clock()
    said = body or Done.model_validate({})
    return _change(
        house,
        key,
        intervention_id,
        lambda one: one.do(said.done_at or now, now, key.key_id, said.note),
    )


@router.post("/ops/interventions/{intervention_id}/undo", summary="Take the last step back")
def undo(intervention_id: int, house: House, key: Intervener) -> InterventionShown:
    """Undo an acceptance, a dismissal, or that it was done as long as nothing is measured."""
    now = house.clock()
    return _change(house, key, intervention_id, lambda one: one.undo(now, key.key_id))


def _change(
    house: Services,
    key: ApiKey,
    intervention_id: int,
    step: Callable[[Intervention], Intervention],
) -> InterventionShown:
    return shown(
        house.state.interventions.change(intervention_id, lambda one: step(_own(key, one)))
    )


def _own(key: ApiKey, one: Intervention) -> Intervention:
    if not key.covers(one.tenant_id):
        raise NotFound("there is no such intervention")
    return one
