"""Quarantine: what could not be stored, why, and letting it in after a fix."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import admin, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.quarantine import QuarantineFilter, QuarantineRow, QuarantineStatus
from ebbtide.domain.time import format_instant

router = APIRouter(tags=["quarantine"], route_class=JsonRoute)
RowNumber = Annotated[int, Field(ge=1, lt=2**63)]
House = Annotated[Services, Depends(services)]


class Selection(BaseModel):
    """Which rows are meant; fields that are left out mean any."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "unknown_event_type"}]},
    )

    ids: list[RowNumber] | None = Field(None, max_length=100_000)
    reason: str | None = None
    tenant_id: str | None = None
    door: str | None = None

    def to_filter(self, status: QuarantineStatus | None) -> QuarantineFilter:
        """The same in the store's words."""
        ids = None if self.ids is None else frozenset(self.ids)
        return QuarantineFilter(status, self.reason, self.tenant_id, self.door, ids)


@router.get("/v1/quarantine", summary="Events that wait, newest first")
def list_quarantine(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    reason: str | None = None,
    tenant_id: str | None = None,
    door: str | None = None,
    status: QuarantineStatus | None = QuarantineStatus.PENDING,
    cursor: Annotated[
        int | None, Query(ge=1, lt=2**63, description="next_cursor of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Rows with their raw text and reason, and how many wait for each reason.

    A key that is bound to a tenant sees that tenant's rows only.
    """
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            return {"items": [], "total": 0, "by_reason": {}, "next_cursor": None}
        tenant_id = key.tenant_id
    meant = QuarantineFilter(status, reason, tenant_id, door)
    shelf = house.state.quarantine
    rows = shelf.list_newest(meant, before=cursor, limit=limit + 1)
    counts = shelf.count_by_reason(meant)
    more = len(rows) > limit
    return {
        "items": [_shown(row) for row in rows[:limit]],
        "total": sum(counts.values()),
        "by_reason": counts,
        "next_cursor": rows[limit - 1].id if more else None,
    }


@router.post("/v1/quarantine/release", summary="Try rows again and store those that pass")
def release(
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
    selection: Selection | None = None,
) -> dict[str, Any]:
    """Mapping files are read anew, so a fix of one needs no restart.

    A released event counts as received now: at an earlier moment it was not known.
    """
    meant = (selection or Selection.model_validate({})).to_filter(QuarantineStatus.PENDING)
    report = house.releaser.release(meant)
    return {
        "tried": report.num_tried,
        "released": report.num_released,
        "remaining": report.num_remaining,
        "results": [
            {"id": one.id, "result": one.outcome or "quarantined", "reason": one.reason}
            for one in report.results[:1000]
        ],
    }


@router.post("/v1/quarantine/discard", summary="Give rows up; they stay listed as discarded")
def discard(
    house: House, key: Annotated[ApiKey, Depends(admin)], selection: Selection
) -> dict[str, Any]:
    """A person's decision that these are no events; nothing is deleted.

    The selection must name something: giving up everything that waits would be a slip.
    """
    if not selection.model_dump(exclude_none=True):
        raise Unprocessable("say which rows are meant: ids, reason, tenant_id or door")
    num = house.state.quarantine.discard(
        selection.to_filter(QuarantineStatus.PENDING), house.clock()
    )
    return {"discarded": num}


def _shown(row: QuarantineRow) -> dict[str, Any]:
    entry = row.entry
    text = row.raw_text
    return {
        "id": row.id,
        "reason": entry.reason,
        "status": row.status.value,
        "door": entry.door,
        "tenant_id": entry.tenant_id,
        "received_at": format_instant(entry.received_at),
        "last_seen_at": format_instant(row.last_seen_at),
        "num_seen": row.num_seen,
        "num_attempts": row.num_attempts,
        "file": entry.file,
        "line": entry.line,
        "raw": text,
        "raw_base64": row.raw_base64 if text is None else None,
        "raw_bytes": row.raw_bytes,
        "is_cut": row.is_cut,
        "released_at": None if row.released_at is None else format_instant(row.released_at),
        "released_result": row.released_outcome,
    }
