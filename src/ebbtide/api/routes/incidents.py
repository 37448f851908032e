"""``/ops/incidents``: what is breaking, why, and whether a change made it worse."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models import incidents as show
from ebbtide.api.services import Services
from ebbtide.catalog.incidents import ATTRIBUTIONS
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.domain.time import format_instant
from ebbtide.signals.attribution import Attribution, Incident
from ebbtide.signals.incident_reading import IncidentReader
from ebbtide.signals.rounding import PCT_PLACES, to_float
from ebbtide.store.events.incidents import events_of_call, find_incidents
from ebbtide.store.events.reading import EventFilter, read_events, to_json
from ebbtide.store.state.attributions import Correction

HOURS, HOURS_MAX = 24, 31 * 24
_DAY = timedelta(days=1)
_NUM_SIMILAR = _NUM_SAMPLES = 5

router = APIRouter(tags=["incidents"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
AsOf = Annotated[Instant, Query(description="The moment to answer for; now by default.")]
KnownAt = Annotated[Instant, Query(description="What was received later does not count.")]
Since = Annotated[Instant, Query(description="Open start of the window.")]
Hours = Annotated[
    int | None, Query(ge=1, le=HOURS_MAX, description="Length of the window, instead of since.")
]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("/ops/incidents/heatmap", summary="Incidents by model, policy and version")
def get_heatmap(
    house: House,
    key: Reader,
    since: Since = None,
    hours: Hours = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> show.Heatmap:
    """Count, share and mean severity over any window, the last 24 hours by default.

    What an incident does not say is a row of its own, null.
    """
    check_unbound(key)
    start, until = _window(house, since, hours, as_of)
    return show.heatmap(_reader(house, until, known_at).heatmap(start), start, until)


@router.get("/ops/incidents/patterns", summary="What happens more often than it did")
def get_patterns(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> show.PatternList:
    """Blocks, failed calls, limits and freezes: 24 hours against the mean day of 7."""
    check_unbound(key)
    until = as_of or house.clock()
    patterns = []
    for one in _reader(house, until, known_at).patterns():
        samples: list[Event] = []
        if one.num_7d:
            meant = EventFilter(
                event_type=one.event_type, since=until - 7 * _DAY, as_of=until, known_at=known_at
            )
            samples = read_events(house.events, meant, limit=_NUM_SAMPLES).events
        patterns.append(show.pattern(one, [to_json(event) for event in samples]))
    return show.PatternList(
        formula="incident_patterns/1", as_of=format_instant(until), patterns=patterns
    )


@router.get("/ops/incidents/regressions", summary="New versions that are worse, beyond chance")
def get_regressions(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> show.RegressionList:
    """Each version first seen within 7 days against the one before it, on the same tenants."""
    check_unbound(key)
    until = as_of or house.clock()
    reader_ = _reader(house, until, known_at)
    found, compared = reader_.regressions()
    return show.RegressionList(
        formula=house.catalog.signals.regression.formula,
        as_of=format_instant(until),
        regressions=[show.regression(one) for one in found],
        compared=[show.comparison(one) for one in compared],
        day_over_day=[show.day(one) for one in reader_.day_over_day()],
    )


@router.get("/ops/incidents/attribution", summary="Causes, and what waits for a person")
def get_attribution(
    house: House,
    key: Reader,
    since: Since = None,
    hours: Hours = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = 50,
) -> show.AttributionList:
    """Every incident has one of six causes; those that no rule found stand in the queue."""
    check_unbound(key)
    start, until = _window(house, since, hours, as_of)
    reader_ = _reader(house, until, known_at)
    incidents = reader_.incidents(start)
    causes = reader_.attributions(incidents)
    num, waiting = Counter[str](), Counter[str]()
    queue: list[Incident] = []
    for one in incidents:
        cause = causes[one.tenant_id, one.event_uuid]
        num[cause.attribution] += 1
        if cause.needs_review:
            waiting[cause.attribution] += 1
            queue.append(one)
    shares = [
        show.Share(
            attribution=name,
            num_incidents=num[name],
            share_pct=to_float(Fraction(num[name] * 100, max(1, len(incidents))), PCT_PLACES),
            num_needs_review=waiting[name],
        )
        for name in sorted(num, key=lambda name: (-num[name], ATTRIBUTIONS.index(name)))
    ]
    return show.AttributionList(
        formula=house.catalog.signals.attribution.formula,
        since=format_instant(start),
        as_of=format_instant(until),
        num_incidents=len(incidents),
        shares=shares,
        num_in_review=len(queue),
        review_queue=[
            show.incident_shown(one, causes[one.tenant_id, one.event_uuid])
            for one in queue[: -limit - 1 : -1]
        ],
    )


@router.get("/ops/incidents", summary="Incidents with their causes, newest first")
def list_incidents(
    house: House,
    key: Reader,
    tenant_id: str | None = None,
    since: Since = None,
    hours: Hours = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: str | None = None,
    limit: Limit = 50,
) -> show.IncidentPage:
    """A page of a window, the last 24 hours by default; give its ``as_of`` with every cursor."""
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    start, until = _window(house, since, hours, as_of)
    meant = EventFilter(
        _spelling(house, tenant_id),
        event_type="INCIDENT_CREATED",
        since=start,
        as_of=until,
        known_at=known_at,
    )
    page = read_events(house.events, meant, cursor=cursor, limit=limit)
    incidents = [incident_of(event) for event in page.events]
    causes = _reader(house, until, known_at).attributions(incidents)
    return show.IncidentPage(
        items=[
            show.incident_shown(one, causes[one.tenant_id, one.event_uuid]) for one in incidents
        ],
        since=format_instant(start),
        as_of=format_instant(until),
        next_cursor=page.next_cursor,
    )


@router.post(
    "/ops/incidents/{incident_id:anything}/attribution", summary="Correct the cause of an incident"
)
def correct_attribution(
    incident_id: str,
    body: show.CorrectionBody,
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
    tenant_id: Annotated[str | None, Query(description="Where tenants use one id.")] = None,
) -> show.IncidentShown:
    """Write down what a person knows; what the rules had said stays beside it."""
    if body.attribution not in ATTRIBUTIONS:
        hint = did_you_mean(body.attribution, ATTRIBUTIONS)
        raise Unprocessable(f"attribution is one of {', '.join(ATTRIBUTIONS)}{hint}")
    now = house.clock()
    incident = incident_of(find_incident(house, key, incident_id, tenant_id, now, None))
    house.state.attributions.add(
        Correction(
            to_uuid_text(incident.tenant_id),
            incident.event_uuid,
            body.attribution,
            body.note,
            now,
            f"key {key.key_id}",
        )
    )
    (cause,) = _reader(house, now, None).attributions([incident]).values()
    return show.incident_shown(incident, cause)


# Last: ids may hold slashes, so this route takes everything that is left.
@router.get("/ops/incidents/{incident_id:anything}", summary="One incident and its story")
def get_incident(
    incident_id: str,
    house: House,
    key: Reader,
    tenant_id: Annotated[str | None, Query(description="Where tenants use one id.")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> show.IncidentStory:
    """Its cause, the events and the cost of its call, and others like it."""
    until = as_of or house.clock()
    reader_ = _reader(house, until, known_at)
    # Both read a month or more, so one is asked beside the other.
    with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-incident") as beside:
        cells = None
        if key.tenant_id is None:
            cells = beside.submit(reader_.heatmap_cells, until - 30 * _DAY)
        event = find_incident(house, key, incident_id, tenant_id, until, known_at)
        told = beside.submit(events_of_call, house.events, event, until, known_at)
        incident = incident_of(event)
        recent = reader_.incidents(until - 30 * _DAY, [incident.tenant_id])
        like = [one for one in recent if _is_like(one, incident)]
        causes = reader_.attributions([incident, *like[: -_NUM_SIMILAR - 1 : -1]])
        num_alike = len(like)
        if cells is not None:
            same = (incident.model, incident.policy_id, incident.policy_version)
            num_of_all = sum(num for cell, num in cells.result() if cell == same)
            num_alike = max(len(like), num_of_all - 1)
        call = told.result()
    costs = [one.cost_usd for one in call if one.cost_usd is not None]
    return show.IncidentStory(
        incident=show.incident_shown(incident, causes[incident.tenant_id, incident.event_uuid]),
        metadata=json.loads(event.metadata_json),
        call=[to_json(one) for one in call],
        cost_usd=float(round(sum(costs, Decimal(0)), 6)) if costs else None,
        num_similar_30d=len(like),
        num_similar_all_tenants_30d=num_alike,
        similar=[
            show.incident_shown(one, causes[one.tenant_id, one.event_uuid])
            for one in like[: -_NUM_SIMILAR - 1 : -1]
        ],
    )


def cause_of(house: Services, incident: Incident, as_of: datetime) -> Attribution:
    """The cause of one incident, as people and rules see it."""
    (cause,) = _reader(house, as_of, None).attributions([incident]).values()
    return cause


def _is_like(one: Incident, incident: Incident) -> bool:
    return one.event_uuid != incident.event_uuid and (
        one.model,
        one.policy_id,
        one.policy_version,
    ) == (incident.model, incident.policy_id, incident.policy_version)


def find_incident(
    house: Services,
    key: ApiKey,
    incident_id: str,
    tenant_id: str | None,
    as_of: datetime,
    known_at: datetime | None,
) -> Event:
    """The newest incident of this id that the key may see.

    Raises:
        NotFound: there is none.
        Unprocessable: several tenants have one.
    """
    found = [
        event
        for event in find_incidents(house.events, incident_id, as_of, known_at)
        if key.covers(event.tenant_id)
        and (tenant_id is None or to_uuid_text(event.tenant_id) == to_uuid_text(tenant_id))
    ]
    if not found:
        raise NotFound("there is no such incident")
    if len({event.tenant_id for event in found}) > 1:
        raise Unprocessable("several tenants have an incident of this id; name the tenant_id")
    return found[0]


def incident_of(event: Event) -> Incident:
    """An incident from its event."""
    return Incident(
        tenant_id=event.tenant_id,
        at=event.timestamp,
        event_uuid=event.event_uuid,
        incident_id=event.entity_id,
        severity=event.severity,
        model=event.model,
        policy_id=event.policy_id,
        policy_version=event.policy_version,
        error_type=event.error_type,
        metadata=json.loads(event.metadata_json),
    )


def _spelling(house: Services, tenant_id: str | None) -> str | None:
    if tenant_id is None:
        return None
    uuid = to_uuid_text(tenant_id)
    return house.state.tenants.spellings([uuid]).get(uuid, tenant_id)


def _window(
    house: Services, since: datetime | None, hours: int | None, as_of: datetime | None
) -> tuple[datetime, datetime]:
    if since is not None and hours is not None:
        raise Unprocessable("give since or hours, not both")
    until = as_of or house.clock()
    start = since or until - timedelta(hours=hours or HOURS)
    if start > until:
        raise Unprocessable("since lies after as_of")
    return start, until


def _reader(house: Services, as_of: datetime, known_at: datetime | None) -> IncidentReader:
    return IncidentReader(
        house.catalog, house.events, house.state, as_of, known_at, house.causes, house.stretches
    )
