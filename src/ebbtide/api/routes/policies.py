"""``/ops/policies``: versions of policies, who has which, and taking a decision back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from ebbtide.api.dependencies import Instant, admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.changes import EVENT_TYPE, EVERYBODY
from ebbtide.api.models.policies import (
    AssignBody,
    Assigned,
    PolicyList,
    PolicyShown,
    PolicySummary,
    UndoBody,
    VersionBody,
    VersionMade,
    VersionShown,
    WhomBody,
    assignment_shown,
    version_shown,
)
from ebbtide.api.services import Services
from ebbtide.catalog.policy import read_policy
from ebbtide.domain.errors import (
    CatalogError,
    NotFound,
    PolicyRefused,
    StoreUnavailable,
    Unprocessable,
)
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.policy import DEFAULT, OFF, Assignment, StoredVersion
from ebbtide.domain.time import format_instant
from ebbtide.guard.assigned import parsed, to_stored
from ebbtide.ingest.incoming import Incoming
from ebbtide.store.state.policies import Act, effective

router = APIRouter(tags=["guard"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Admin = Annotated[ApiKey, Depends(admin)]
AsOf = Annotated[Instant, Query(description="The moment to answer for; now by default.")]
_NOT_CONFIRMED = "this changes what is blocked for these tenants from now on: send confirm: true"

log = structlog.get_logger(__name__)


@router.get("/ops/policies", summary="All policies, and who has which version")
def list_policies(house: House, key: Reader, as_of: AsOf = None) -> PolicyList:
    """As it was at the moment asked about; versions that came later are left out."""
    check_unbound(key)
    by_policy: dict[str, list[StoredVersion]] = {}
    for one in house.state.policies.versions():
        if as_of is None or one.created_at <= as_of:
            by_policy.setdefault(one.policy_id, []).append(one)
    assignments = house.state.policies.assignments(as_of=as_of)
    items = []
    for policy_id, versions in sorted(by_policy.items()):
        newest = parsed(versions[-1])
        default, tenants = _who_has(policy_id, assignments)
        items.append(
            PolicySummary(
                policy_id=policy_id,
                title=newest.title,
                meaning=newest.meaning,
                versions=[one.version for one in versions],
                default_version=default,
                tenants=tenants,
            )
        )
    return PolicyList(as_of=format_instant(as_of or house.clock()), items=items)


@router.get("/ops/policies/{policy_id}", summary="One policy: versions and assignments")
def show_policy(policy_id: str, house: House, key: Reader, as_of: AsOf = None) -> PolicyShown:
    """Everything that is known of it, as it was at the moment asked about."""
    check_unbound(key)
    found = house.state.policies.versions(policy_id)
    versions = [
        version_shown(one, parsed(one)) for one in found if as_of is None or one.created_at <= as_of
    ]
    if not versions:
        raise NotFound("there is no such policy")
    assignments = house.state.policies.assignments(policy_id, as_of=as_of)
    default, tenants = _who_has(policy_id, assignments)
    return PolicyShown(
        as_of=format_instant(as_of or house.clock()),
        policy_id=policy_id,
        default_version=default,
        tenants=tenants,
        versions=versions,
        assignments=[assignment_shown(one) for one in reversed(assignments)],
    )


@router.post("/ops/policies", status_code=201, summary="Add a version of a policy")
def add_version(body: VersionBody, house: House, key: Admin, response: Response) -> VersionMade:
    """Nobody has it until it is assigned. The same again is answered with 200."""
    check_unbound(key)
    try:
        version = read_policy(body.definition, "definition")
        stored = to_stored(version, house.clock(), _who(key))
    except CatalogError as error:
        raise PolicyRefused(str(error)) from error
    is_new = house.state.policies.add_version(stored)
    if not is_new:
        response.status_code = 200
        stored = next(
            one
            for one in house.state.policies.versions(stored.policy_id)
            if one.version == stored.version
        )
    house.policies.forget()
    shown: VersionShown = version_shown(stored, version)
    return VersionMade(policy_id=stored.policy_id, is_new=is_new, **shown.model_dump())


@router.post("/ops/policies/{policy_id}/assign", status_code=201, summary="Assign a version")
async def assign(policy_id: str, body: AssignBody, house: House, key: Admin) -> Assigned:
    """It holds here at once, in other processes within two seconds; it is recorded as a change."""
    act = _act(policy_id, body, body.version, house.clock(), key)
    if body.default and body.version == DEFAULT:
        raise Unprocessable("default stands for what all others have; they need a version, or off")
    return await _decide(house, lambda: house.state.policies.assign(act))


@router.post(
    "/ops/policies/{policy_id}/rollback", status_code=201, summary="Go back to the version before"
)
async def roll_back(policy_id: str, body: WhomBody, house: House, key: Admin) -> Assigned:
    """Each has again the version before the present one; again goes one further back."""
    act = _act(policy_id, body, DEFAULT, house.clock(), key)
    return await _decide(house, lambda: house.state.policies.roll_back(act))


@router.post(
    "/ops/policies/assignments/{assignment_id}/undo",
    status_code=201,
    summary="Take an assignment back",
)
async def undo(assignment_id: str, body: UndoBody, house: House, key: Admin) -> Assigned:
    """Everybody it touched has again what was before; refused when more was decided since."""
    check_unbound(key)
    if not body.confirm:
        raise Unprocessable(_NOT_CONFIRMED)
    new_id, now = _new_id(), house.clock()
    return await _decide(
        house,
        lambda: house.state.policies.undo(
            assignment_id, new_id=new_id, at=now, by=_who(key), reason=body.reason
        ),
    )


def _act(policy_id: str, body: WhomBody, version: str, at: datetime, key: ApiKey) -> Act:
    check_unbound(key)
    if (body.tenants is None) is not body.default:
        raise Unprocessable("send tenants, or default: true, one of them")
    if not body.confirm:
        raise Unprocessable(_NOT_CONFIRMED)
    tenants = None if body.tenants is None else tuple(body.tenants)
    return Act(_new_id(), policy_id, tenants, version, at, _who(key), body.reason)


async def _decide(house: Services, write: Any) -> Assigned:
    made: list[Assignment] = await run_in_threadpool(write)
    house.policies.forget()
    default = await run_in_threadpool(_default_version, house, made[0])
    return Assigned(
        assignment_id=made[0].assignment_id,
        items=[assignment_shown(one) for one in made],
        is_recorded=await _record(house, made, default),
    )


def _default_version(house: Services, one: Assignment) -> str:
    default, _ = _who_has(one.policy_id, house.state.policies.assignments(one.policy_id))
    return default or OFF


async def _record(house: Services, made: Sequence[Assignment], default: str) -> bool:
    """Store what was decided as a change, for each tenant that it touched."""
    records = [_change(one, default) for one in made]
    try:
        future = house.ingestor.submit(
            [Incoming(one, b"", None) for one in records],
            door="policies",
            received_at=house.clock(),
        )
        await asyncio.wrap_future(future)
    except StoreUnavailable as error:
        # The assignment holds; it must not look as if it had failed.
        log.error(
            "policies.change_not_recorded",
            assignment_id=made[0].assignment_id,
            code=error.code,
        )
        return False
    return True


def _change(one: Assignment, default: str) -> dict[str, Any]:
    def name(version: str) -> str:
        return default if version == DEFAULT else version

    return {
        "event_id": f"policy:{one.assignment_id}",  # ids are a tenant's own
        "timestamp": format_instant(one.assigned_at),
        "tenant_id": one.tenant_id or EVERYBODY,
        "event_type": EVENT_TYPE,
        "source": "policies",
        "metadata": {
            "kind": "policy_version",
            "policy_id": one.policy_id,
            "policy_version": name(one.version),
            "previous": name(one.previous),
            "note": one.reason,
        },
    }


def _who_has(
    policy_id: str, assignments: Sequence[Assignment]
) -> tuple[str | None, dict[str, str]]:
    holds = effective(assignments).get(policy_id, {})
    default = holds.get(None)
    return (
        None if default is None or default.version == OFF else default.version,
        {one.tenant_id: one.version for one in holds.values() if one.tenant_id is not None},
    )


def _who(key: ApiKey) -> str:
    return f"key {key.key_id}"


def _new_id() -> str:
    return secrets.token_hex(8)
