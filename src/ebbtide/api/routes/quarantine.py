"""Quarantine: what could not be stored, why, and letting it in after a fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import admin, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.catalog.mapping import MappingText, SourceMapping, mapping_from_text
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.quarantine import QuarantineFilter, QuarantineRow, QuarantineStatus
from ebbtide.domain.time import format_instant

router = APIRouter(tags=["quarantine"], route_class=JsonRoute)
RowNumber = Annotated[int, Field(ge=1, lt=2**63)]
RESULTS_MAX = 1000
REASONS_MAX = 100  # reasons may hold names from the data; an answer stays small
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


class GivenMapping(BaseModel):
    """A mapping file that the server does not have."""

    model_config = ConfigDict(extra="forbid")

    toml: str = Field(max_length=500_000, description="The file.")
    prices: str | None = Field(
        None, max_length=500_000, description="The JSON text of the price list that it names."
    )
    file_name: str = Field("mapping", max_length=200, description="What errors call it.")


class ToRelease(Selection):
    """Which rows to try; fields that are left out mean any."""

    mapping: GivenMapping | None = Field(
        None, description="Taken for rows that were imported with a mapping of this name."
    )

    def to_mapping(self) -> SourceMapping | None:
        """The given mapping, checked."""
        given = self.mapping
        if given is None:
            return None
        return mapping_from_text(MappingText(given.file_name, given.toml, given.prices))


class Attempt(BaseModel):
    """What became of one row."""

    id: int
    result: Literal["stored", "duplicate", "quarantined"]
    reason: str | None


class Released(BaseModel):
    """What a release did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tried": 3,
                    "released": 1,
                    "remaining": 2,
                    "reasons": {"naive_timestamp": 2},
                    "missing_mappings": {},
                    "results": [{"id": 7, "result": "stored", "reason": None}],
                }
            ]
        },
    )

    tried: int
    released: int = Field(description="Stored now, or found to be stored before.")
    remaining: int = Field(description="Tried, and still waiting.")
    reasons: dict[str, int] = Field(description="Of those that remain, as found this time.")
    missing_mappings: dict[str, int] = Field(
        description="Rows that could not be read, by the mapping that they were imported with."
    )
    results: list[Attempt] = Field(description="Row by row; the first 1,000.")


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
    selection: ToRelease | None = None,
) -> Released:
    """Mapping files are read anew, so a fix of one needs no restart.

    Rows that were imported with a mapping file need it again, for the server does not keep it:
    give it as ``mapping``, or put it into the server's folder of mappings.

    A released event counts as received now: at an earlier moment it was not known.
    """
    selection = selection or ToRelease.model_validate({})
    report = house.releaser.release(
        selection.to_filter(QuarantineStatus.PENDING), selection.to_mapping()
    )
    return Released(
        tried=report.num_tried,
        released=report.num_released,
        remaining=report.num_remaining,
        reasons=_most(report.reasons),
        missing_mappings=_most(report.missing_mappings),
        results=[
            Attempt.model_validate(
                {"id": one.id, "result": one.outcome or "quarantined", "reason": one.reason}
            )
            for one in report.results[:RESULTS_MAX]
        ],
    )


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


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:REASONS_MAX])


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
        "mapping": entry.mapping,
        "raw": text,
        "raw_base64": row.raw_base64 if text is None else None,
        "raw_bytes": row.raw_bytes,
        "is_cut": row.is_cut,
        "released_at": None if row.released_at is None else format_instant(row.released_at),
        "released_result": row.released_outcome,
    }
