"""``/ops/pulse``: is the business healthy right now, and from where on is it not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.pulse import (
    PulseShown,
    ThresholdEdit,
    ThresholdEdits,
    ThresholdList,
    shown,
    threshold_shown,
)
from ebbtide.api.services import Services
from ebbtide.catalog.pulse import LEVELS, Threshold
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.signals.pulse_reading import take_pulse

router = APIRouter(tags=["pulse"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


@router.get("/ops/pulse", summary="The state of the business, and why")
def get_pulse(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    as_of: Annotated[
        Instant, Query(description="The moment to answer for; now by default.")
    ] = None,
    known_at: Annotated[
        Instant, Query(description="What was received later does not count; without it all does.")
    ] = None,
) -> PulseShown:
    """The last 24 hours beside the 24 before them and the same hours of last week.

    It answers when a store cannot: the state is then UNKNOWN, and no number is made up.
    """
    check_unbound(key)
    now = house.clock()
    pulse = take_pulse(
        house.catalog, house.events, house.state, as_of or now, known_at, house.pulse
    )
    titles = {one.name: one.title for one in house.catalog.signals.pulse.thresholds}
    return shown(pulse, titles, now)


@router.get("/ops/thresholds", summary="From where on the pulse gives alarm")
def list_thresholds(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    as_of: Annotated[Instant, Query(description="As they held then; now by default.")] = None,
    known_at: Annotated[
        Instant, Query(description="As they were known then: the earlier of both decides.")
    ] = None,
) -> ThresholdList:
    """As they hold, with who changed them last."""
    check_unbound(key)
    # A change holds from the moment it is made, so it cannot be known later than it holds.
    at = min((one for one in (as_of, known_at) if one is not None), default=None)
    return _thresholds(house, at)


def _thresholds(house: Services, at: datetime | None = None) -> ThresholdList:
    edits = house.state.thresholds.edits(at)
    rows = house.state.thresholds.effective(house.catalog.signals.pulse.thresholds, at)
    return ThresholdList(thresholds=[threshold_shown(one, edits.get(one.name)) for one in rows])


@router.put("/ops/thresholds", summary="Change thresholds")
def put_thresholds(
    body: ThresholdEdits, house: House, key: Annotated[ApiKey, Depends(admin)]
) -> ThresholdList:
    """Change some, all or none; past pulses asked with ``known_at`` keep those of their time."""
    check_unbound(key)
    shelf, defaults = house.state.thresholds, house.catalog.signals.pulse.thresholds
    standing = {one.name: one for one in shelf.effective(defaults)}
    names = [edit.name for edit in body.thresholds]
    for number, edit in enumerate(body.thresholds):
        _check(edit, standing, is_again=edit.name in names[:number])
    changed = [_edited(standing[one.name], one) for one in body.thresholds if not one.reset]
    reset = [one.name for one in body.thresholds if one.reset]
    shelf.put(changed, house.clock(), f"key {key.key_id}", reset=reset)
    return _thresholds(house)


def _check(edit: ThresholdEdit, standing: dict[str, Threshold], *, is_again: bool) -> None:
    if edit.name not in standing:
        hint = did_you_mean(edit.name, standing)
        raise Unprocessable(f"name is one of {', '.join(standing)}{hint}")
    if is_again:
        raise Unprocessable(f"{edit.name} is named twice")
    if edit.level is not None and edit.level not in LEVELS:
        raise Unprocessable(f"level is one of {', '.join(LEVELS)}")
    rest = edit.model_dump(exclude_unset=True, exclude={"name", "reset"})
    if edit.reset and rest:
        raise Unprocessable(f"{edit.name} is reset, so nothing else can be said of it")


def _edited(threshold: Threshold, edit: ThresholdEdit) -> Threshold:
    changed = threshold
    if edit.threshold_pct is not None:
        changed = replace(changed, than=Fraction(edit.threshold_pct) / 100)
    if edit.level is not None:
        changed = replace(changed, level=edit.level)
    if edit.min_baseline is not None:
        changed = replace(changed, min_baseline=edit.min_baseline)
    if edit.is_enabled is not None:
        changed = replace(changed, is_enabled=edit.is_enabled)
    return changed
