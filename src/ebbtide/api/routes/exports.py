"""``/ops/exports``: files of evidence; ``/verify`` and the public keys, for anybody."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from ebbtide.api.auth import address_of
from ebbtide.api.dependencies import admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.exports import (
    AbortBody,
    CertificateShown,
    EvidenceKeyShown,
    ExportBody,
    ExportList,
    ExportShown,
    certificate_shown,
    export_shown,
    key_shown,
)
from ebbtide.api.routes.incidents import cause_of, find_incident, incident_of
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, StoreUnavailable, Unprocessable, WrongState
from ebbtide.domain.evidence import Certificate, Export, ExportState, FileFormat, Subject
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.replay import ReplayState
from ebbtide.domain.time import format_instant
from ebbtide.guard.recording import RecordingBroken
from ebbtide.replay.evidence.contents import NO_CALL, IncidentStory, of_incident, of_replay
from ebbtide.replay.evidence.exports import Make, Wish, store_event
from ebbtide.replay.evidence.keys import key_set
from ebbtide.store.events.incidents import events_of_call

WAIT_S = 20.0  # a caller waits this long for the file; then they ask again
BY_HAND = "changed_mind"
PAGE_SOURCE = "certificate-page"
_OPEN: dict[str, Any] = {"security": []}  # they take no key
_REPLAY_ID = re.compile("rep_[0-9a-f]{24}")
_ID = re.compile("cert_[0-9a-f]{32}")
# Programs that say what they are, such as those that draw a preview of a link.
_PROGRAM = re.compile("bot|crawl|spider|preview|unfurl", re.IGNORECASE)
_MEDIA = {FileFormat.JSON: "application/json", FileFormat.PDF: "application/pdf"}

log = structlog.get_logger(__name__)

router = APIRouter(tags=["evidence"], route_class=JsonRoute)
public_router = APIRouter(tags=["evidence"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
Admin = Annotated[ApiKey, Depends(admin)]


@router.post("/ops/exports", summary="Make a file of evidence", status_code=201)
def make_export(body: ExportBody, house: House, key: Admin, response: Response) -> ExportShown:
    """Signed, as JSON or as a PDF that carries the JSON.

    The answer comes when the file is there, or after 20 seconds with ``state`` started and the
    status 202: ask for the export again then. Files are kept for 7 days.
    """
    if (body.incident_id is None) == (body.replay_id is None):
        raise Unprocessable("name either an incident_id or a replay_id")
    if body.incident_id is not None:
        wish, make = _of_incident(house, key, body, body.incident_id)
    else:
        assert body.replay_id is not None
        wish, make = _of_replay(house, key, body, body.replay_id)
    export = house.exports.ask(wish, make, wait_s=WAIT_S)
    if export.state is ExportState.STARTED:
        response.status_code = 202
    return export_shown(export)


@router.get("/ops/exports", summary="Files of evidence, newest first")
def list_exports(
    house: House,
    key: Reader,
    incident_id: str | None = None,
    tenant_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ExportList:
    """What was asked for, and what became of it."""
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    found = house.state.certificates.list_exports(
        tenant_id=tenant_id, incident_id=incident_id, limit=limit
    )
    return ExportList(items=[export_shown(one) for one in found])


@router.get("/ops/exports/{export_id}", summary="One file of evidence")
def get_export(export_id: str, house: House, key: Reader) -> ExportShown:
    """Where it stands."""
    return export_shown(_find(house, key, export_id))


@router.get(
    "/ops/exports/{export_id}/file",
    summary="Fetch a file of evidence",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "application/pdf": {}}}},
)
def get_file(export_id: str, house: House, key: Admin) -> Response:
    """The file as it was signed. It may hold recorded texts, so it takes an admin key."""
    export = _find(house, key, export_id)
    content = house.exports.file(export)
    name = f"{export.certificate_id}.{export.format.value}"
    return Response(
        content,
        media_type=_MEDIA[export.format],
        headers={
            # What a customer wrote is in it: it is a file to keep, and never a page of this host.
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        },
    )


@router.post("/ops/exports/{export_id}/abort", summary="Give a file up before it is there")
def abort_export(
    export_id: str, house: House, key: Admin, body: AbortBody | None = None
) -> ExportShown:
    """Nothing of it is kept."""
    export = _find(house, key, export_id)
    reason = BY_HAND if body is None else body.reason
    return export_shown(house.exports.abort(export, reason))


@router.post("/ops/evidence-keys", summary="Sign with a new key from now on", status_code=201)
def rotate_key(house: House, key: Admin) -> EvidenceKeyShown:
    """What older keys signed stays valid, and their public halves stay published."""
    check_unbound(key)
    return key_shown(house.exports.keys.rotate())


@router.post("/ops/evidence-keys/{key_id}/revoke", summary="Trust a key no longer")
def revoke_key(key_id: str, house: House, key: Admin) -> EvidenceKeyShown:
    """Every certificate that it signed says so from now on."""
    check_unbound(key)
    return key_shown(house.exports.keys.revoke(key_id))


@public_router.get(
    "/.well-known/ebbtide-keys.json", summary="Public keys of evidence", openapi_extra=_OPEN
)
def get_keys(house: House) -> dict[str, Any]:
    """A JWK set; the ``status`` of each is current, retired or revoked. It takes no key."""
    return key_set(house.state.certificates.keys())


@public_router.get(
    "/verify/{certificate_id}", summary="Is this certificate genuine?", openapi_extra=_OPEN
)
def verify_certificate(certificate_id: str, house: House, request: Request) -> CertificateShown:
    """Whether we issued it, and whether its key still counts. It takes no key.

    A browser gets a page. Nothing of the contents is told: who has the file has them.
    """
    certificate = None
    if _ID.fullmatch(certificate_id):
        certificate = house.state.certificates.find_certificate(certificate_id)
    if certificate is None:
        raise NotFound("we know no certificate of this id")
    keys = {one.key_id: one for one in house.state.certificates.keys()}
    key = keys.get(certificate.key_id)
    _note_visit(house, certificate, request)
    return certificate_shown(certificate, is_revoked=key is None or key.revoked_at is not None)


def _note_visit(house: Services, certificate: Certificate, request: Request) -> None:
    """Store CERT_VERIFIED, once for a visit; looking ahead, or a program's look, is none."""
    agent = request.headers.get("user-agent", "")
    if "prefetch" in request.headers.get("sec-purpose", "") or _PROGRAM.search(agent):
        return
    now, address = house.clock(), address_of(request)
    if not house.visits.is_new(certificate.certificate_id, f"{address}\0{agent}", now):
        return
    metadata = {"incident_id": certificate.incident_id}
    came_from = _origin(request.headers.get("referer", ""))
    if came_from:
        metadata["referrer"] = came_from
    if house.keeps_visitor_addresses:
        metadata["source_ip"] = address
    fields = {
        "timestamp": format_instant(now),
        "tenant_id": certificate.tenant_id,
        "event_type": "CERT_VERIFIED",
        "entity_type": "certificate",
        "entity_id": certificate.certificate_id,
        "source": PAGE_SOURCE,
        "metadata": metadata,
    }
    try:
        store_event(house.ingestor, fields, now)
    except StoreUnavailable as error:
        # Whether a certificate is genuine is known all the same; only the visit is not counted.
        log.warning("evidence.visit_not_counted", error=str(error))


def _origin(referrer: str) -> str | None:
    """The site of a referrer; its path is nobody's business."""
    try:
        parts = urlsplit(referrer)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or len(referrer) > 2000:
        return None
    return f"{parts.scheme}://{parts.hostname}"


def _of_incident(
    house: Services, key: ApiKey, body: ExportBody, incident_id: str
) -> tuple[Wish, Make]:
    story = _story(house, key, incident_id, body.tenant_id)
    wish = _wish(story, body, key, Subject.INCIDENT, None, holds_texts=story.call is not None)
    return wish, partial(of_incident, story)


def _of_replay(house: Services, key: ApiKey, body: ExportBody, replay_id: str) -> tuple[Wish, Make]:
    if not _REPLAY_ID.fullmatch(replay_id):
        raise NotFound("there is no such replay")
    replay = house.lab.replayer.read(replay_id)
    if not key.covers(replay.tenant_id):
        raise NotFound("there is no such replay")
    if replay.state is ReplayState.RUNNING:
        raise WrongState("the replay still runs")
    story = _story(house, key, replay.incident_id, replay.tenant_id)
    holds_texts = replay.baseline is not None or any(one.call for one in replay.samples)
    wish = _wish(story, body, key, Subject.REPLAY, replay_id, holds_texts=holds_texts)
    return wish, partial(of_replay, story, replay)


def _story(house: Services, key: ApiKey, incident_id: str, tenant_id: str | None) -> IncidentStory:
    """All that is known of an incident now."""
    now = house.clock()
    event = find_incident(house, key, incident_id, tenant_id, now, None)
    cause = cause_of(house, incident_of(event), now)
    events = events_of_call(house.events, event, now)
    call_id = json.loads(event.metadata_json).get("call_id")
    if not isinstance(call_id, str):
        return IncidentStory(event, cause, events, why_not=NO_CALL)
    try:
        call = house.guard.recorder.get(call_id, event.tenant_id)
    except NotFound:
        return IncidentStory(event, cause, events)
    except RecordingBroken as error:
        return IncidentStory(event, cause, events, why_not=f"recorded, but not readable: {error}")
    return IncidentStory(event, cause, events, call)


def _wish(
    story: IncidentStory,
    body: ExportBody,
    key: ApiKey,
    subject: Subject,
    subject_id: str | None,
    *,
    holds_texts: bool,
) -> Wish:
    incident_id = story.event.entity_id or story.event.event_id
    return Wish(
        tenant_id=story.event.tenant_id,
        subject=subject,
        subject_id=subject_id or incident_id,
        incident_id=incident_id,
        incident_kind=story.cause.attribution,
        format=body.format,
        include=body.include.model_dump(),
        holds_texts=holds_texts and body.include.raw_output,
        asked_by=key.key_id,
    )


def _find(house: Services, key: ApiKey, export_id: str) -> Export:
    if "\0" in export_id:
        raise NotFound("there is no such export")
    export = house.state.certificates.find(export_id)
    if not key.covers(export.tenant_id):
        raise NotFound("there is no such export")
    return export
