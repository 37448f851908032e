"""Bulk loading over HTTP: Arrow tables in, counts out; and how far imports have come."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.auth import admit
from ebbtide.api.dependencies import admin, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.receive import receive_body
from ebbtide.api.services import Services, services_of
from ebbtide.api.turns import Turns
from ebbtide.domain.errors import Forbidden, NotFound, Unprocessable, UnsupportedEncoding
from ebbtide.domain.event import Outcome
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.keys import ApiKey, Scope
from ebbtide.domain.quarantine import FILE_MAX_CHARS
from ebbtide.domain.time import format_instant
from ebbtide.ingest.bulk import BulkSource, CheckedTable
from ebbtide.ingest.bulk_wire import BODY_MAX_BYTES, MEDIA_TYPE, from_stream
from ebbtide.store.state.imports import ImportProgress

RECEIVE_DEADLINE_S = 120.0  # 64 MB over a slow line
REASONS_MAX = 100  # reasons may hold names from the data; an answer stays small

_DOOR = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_KEY = re.compile(r"[0-9A-Za-z._:-]{1,200}")
_FLAG = re.compile(r"[01]")

_turns = Turns()

router = APIRouter(tags=["imports"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


async def post_bulk(request: Request) -> Response:
    """Load one Arrow table of unchecked events; answered when every row is durable somewhere.

    Query parameters: ``key`` (obligatory) names the content of the file, ``door`` (``import``),
    ``source`` of rows that name none, ``file`` for people who look into quarantine, ``mapping``
    that made events of the rows, for a release. A sender that does not wait for an answer before
    the next request gives each a ``request_id``, and names the one before it as ``after``: then
    the rows are stored in this order.

    With ``raw_later=1``, rows that must wait in quarantine but bring no ``raw`` are neither kept
    nor counted: the answer lists their lines as ``raw_wanted``, and the sender is to send them
    again with it.
    """
    house = services_of(request)
    caller = await admit(house.authenticator, request, Scope.ADMIN)
    _check_unbound(caller)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise UnsupportedEncoding(f"send {MEDIA_TYPE}")
    asked = request.query_params
    door = _matching("door", asked.get("door", "import"), _DOOR)
    key = _matching("key", asked.get("key", ""), _KEY)
    source = _short("source", asked.get("source") or door, ID_MAX_CHARS)
    file = _short("file", asked.get("file") or "", FILE_MAX_CHARS) or None
    mapping = _short("mapping", asked.get("mapping") or "", ID_MAX_CHARS) or None
    asks_raw = _matching("raw_later", asked.get("raw_later", "0"), _FLAG) == "1"
    request_id = _optional("request_id", asked.get("request_id"))
    after = _optional("after", asked.get("after"))
    with _turns.taken(request_id):
        body = await receive_body(request, limit=BODY_MAX_BYTES, deadline_s=RECEIVE_DEADLINE_S)
        origin = BulkSource(
            door=door,
            received_at=house.clock(),
            default_source=source,
            file=file,
            key=key,
            key_id=caller.key_id,
            mapping=mapping,
            asks_raw=asks_raw,
        )

        def check() -> CheckedTable:
            return house.bulk.check(from_stream(body), origin)

        checked = await run_in_threadpool(check)
        await _turns.after(after)
        outcome = await run_in_threadpool(house.bulk.store, checked)
    answer = {one.word: outcome.counts[one] for one in Outcome} | {
        "reasons": dict(outcome.reasons.most_common(REASONS_MAX)),
        "examples": [{"line": one.line, "reason": one.reason} for one in outcome.examples],
        "raw_wanted": outcome.raw_wanted,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _check_unbound(key: ApiKey) -> None:
    if key.tenant_id is not None:
        raise Forbidden("a key that is bound to a tenant cannot load files")


def _matching(name: str, value: str, form: re.Pattern[str]) -> str:
    if form.fullmatch(value) is None:
        raise Unprocessable(f"the parameter {name} must match {form.pattern}")
    return value


def _optional(name: str, value: str | None) -> str | None:
    return None if value is None else _matching(name, value, _KEY)


def _short(name: str, value: str, most: int) -> str:
    if len(value) > most or "\0" in value:
        raise Unprocessable(f"the parameter {name} has at most {most} characters and no NUL")
    return value


# -- progress ----------------------------------------------------------------------------------


class ProgressBody(BaseModel):
    """How far an import is; ``position`` is in the unit of its reader."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"file": "events.csv", "position": 100000, "rows_done": 100000}]
        },
    )

    file: str = Field(min_length=1, max_length=FILE_MAX_CHARS)
    position: int = Field(ge=0, lt=2**63)
    rows_done: int = Field(ge=0, lt=2**63)
    num_stored: int = Field(0, ge=0, lt=2**63)
    num_duplicate: int = Field(0, ge=0, lt=2**63)
    num_conflict: int = Field(0, ge=0, lt=2**63)
    num_quarantined: int = Field(0, ge=0, lt=2**63)
    num_refused: int = Field(0, ge=0, lt=2**63)
    is_finished: bool = False


@router.get("/v1/imports", summary="Every import, newest first", dependencies=[Depends(admin)])
def list_imports(house: House) -> dict[str, Any]:
    """How far each import came; one that is not finished goes on when it is run again."""
    return {"imports": [shown(progress) for progress in house.state.imports.list()]}


@router.get("/v1/imports/{key}", summary="One import", dependencies=[Depends(admin)])
def get_import(key: str, house: House) -> dict[str, Any]:
    """How far it came."""
    progress = house.state.imports.find(_matching("key", key, _KEY))
    if progress is None:
        raise NotFound("there is no such import")
    return shown(progress)


@router.put("/v1/imports/{key}", summary="Write down how far an import is")
def put_import(
    key: str, body: ProgressBody, house: House, caller: Annotated[ApiKey, Depends(admin)]
) -> dict[str, Any]:
    """Called by ``ebbtide import`` after each chunk that is durable."""
    _check_unbound(caller)
    now = house.clock()
    shelf = house.state.imports
    begun = shelf.start(_matching("key", key, _KEY), body.file, now)
    counts = body.model_dump(exclude={"file", "is_finished"})
    progress = replace(begun, **counts, finished_at=now if body.is_finished else None)
    shelf.save(progress)
    return shown(progress)


def shown(progress: ImportProgress) -> dict[str, Any]:
    """An import as the API shows it."""
    finished_at = progress.finished_at
    return {
        "import_key": progress.import_key,
        "file": progress.file,
        "position": progress.position,
        "rows_done": progress.rows_done,
        **{f"num_{one.word}": getattr(progress, f"num_{one.word}") for one in Outcome},
        "started_at": format_instant(progress.started_at),
        "finished_at": None if finished_at is None else format_instant(finished_at),
    }
