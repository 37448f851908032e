"""The daily brief: state, what changed, who to call, what breaks first, in at most 20 lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol

from ebbtide.alerts.messages import clean
from ebbtide.catalog.loader import Catalog
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.limits.infra import Infra, ResourceOutlook, read_infra
from ebbtide.signals.changes import EVERYBODY, RECORDED, to_recorded
from ebbtide.signals.pulse import Change
from ebbtide.signals.pulse_reading import Pulse, take_pulse
from ebbtide.signals.read import AtRisk, CustomerReader, Insight
from ebbtide.signals.rounding import to_whole
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.reading import EventFilter, read_events
from ebbtide.store.state.base import StateStore

LINES_MAX = 20
_REASONS, _MOVES, _CHANGES, _CUSTOMERS, _RESOURCES = 3, 3, 2, 4, 3
_DAY = timedelta(days=1)
_NOT_KNOWN = "  not known: a store cannot answer."


@dataclass(frozen=True, slots=True)
class Brief:
    """What is to be said at a moment.

    ``tenant_uuids`` are the customers that it names; ``lines`` are at most 20, foreign text in
    them is inert.
    """

    as_of: datetime
    state: str
    lines: tuple[str, ...]
    tenant_uuids: frozenset[str] = field(default=frozenset())


class BriefPage(Protocol):
    """Writes a brief as HTML for a mail, as the console shows it."""

    def __call__(self, brief: Brief, *, is_simulated: bool) -> str:
        """The whole document; foreign text in it is text."""
        ...


def write_brief(
    catalog: Catalog,
    events: EventStore,
    state: StateStore,
    customers: CustomerReader,
    as_of: datetime,
    known_at: datetime | None = None,
) -> Brief:
    """Write the brief of a moment; the same moment and knowledge give the same lines.

    Args:
        as_of: UTC-aware, not in the future.
        known_at: what came later was not known; None: everything that is here counts.

    Returns:
        Always a brief while the state store answers: what cannot be known says so.

    Raises:
        Unprocessable: the moment lies in the future.
    """
    pulse = take_pulse(catalog, events, state, as_of, known_at)
    at_risk: AtRisk | None = None
    infra: Infra | None = None
    recorded: list[str] | None = None
    try:
        at_risk = customers.at_risk(_CUSTOMERS, as_of=as_of, known_at=known_at)
        recorded = _recorded(events, as_of, known_at)
        infra = read_infra(state, events, as_of, as_of, known_at)
    except StoreUnavailable:
        pass  # each line that needs one of these says that it is not known
    word = pulse.verdict.state.value
    lines = [
        f"{word.replace('_', ' ')} as of {as_of:%Y-%m-%d %H:%M} UTC",
        *_cut([f"  {one}" for one in pulse.verdict.reasons], _REASONS),
        "What changed",
        *_changed(pulse, catalog, recorded),
        "Who to call",
        *([_NOT_KNOWN] if at_risk is None else _to_call(at_risk)),
        "What breaks first",
        *([_NOT_KNOWN] if infra is None else _limits(infra)),
    ]
    named = () if at_risk is None else at_risk.insights
    return Brief(
        as_of,
        word,
        tuple(clean(line) for line in lines[:LINES_MAX]),
        frozenset(to_uuid_text(one.customer.tenant_id) for one in named),
    )


def _cut(lines: Sequence[str], most: int) -> list[str]:
    """Some lines; where there are more the last one says how many."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"  ... and {len(lines) - most + 1} more"]


def _changed(pulse: Pulse, catalog: Catalog, recorded: Sequence[str] | None) -> list[str]:
    if pulse.reading is None or recorded is None:
        return [_NOT_KNOWN]
    titles = {one.name: one.title for one in catalog.signals.pulse.thresholds}
    moves = sorted(pulse.reading.counts.items(), key=lambda one: (-_size(one[1]), one[0]))
    told = [
        f"  {titles[name]}: {change.current} in 24 hours "
        f"({_against(change.share, 'the day before')}, {_against(change.share_week, 'last week')})"
        for name, change in moves
        if _size(change) > 0
    ]
    lines = [*told[:_MOVES], *_cut([f"  {one}" for one in recorded], _CHANGES)]
    return lines or ["  nothing."]


def _size(change: Change) -> Fraction:
    """How much it moved, as a share; something new counts as doubled."""
    if change.share is None:
        return Fraction(1 if change.current else 0)
    return abs(change.share)


def _against(share: Fraction | None, what: str) -> str:
    return f"none {what}" if share is None else f"{to_whole(share * 100):+d} % against {what}"


def _recorded(events: EventStore, as_of: datetime, known_at: datetime | None) -> list[str]:
    """Changes that somebody recorded in 24 hours, newest first."""
    meant = EventFilter(event_type=RECORDED, since=as_of - _DAY, as_of=as_of, known_at=known_at)
    found = to_recorded(read_events(events, meant).events)
    return [
        one.what if one.tenant_id == EVERYBODY else f"{one.what} for {one.tenant_id}"
        for one in found
    ]


def _to_call(found: AtRisk) -> Iterator[str]:
    if not found.insights:
        yield "  nobody."
    num_named = _CUSTOMERS if found.total <= _CUSTOMERS else _CUSTOMERS - 1
    for insight in found.insights[:num_named]:
        yield f"  {_customer(insight, found)}"
    if found.total > num_named:
        yield f"  ... and {found.total - num_named} more: ebbtide today"


def _customer(insight: Insight, found: AtRisk) -> str:
    one = insight.customer
    tenant = found.tenants.get(to_uuid_text(one.tenant_id))
    name = one.tenant_id if tenant is None or tenant.name is None else tenant.name
    text = f"{name} ({one.risk.risk_level}): {one.risk.primary_risk_reason}"
    steps = one.interventions
    return f"{text}. {steps[0].suggested_action}" if steps else text


def _limits(infra: Infra) -> list[str]:
    lines = [f"  {_limit(one)}" for one in infra.resources if one.projection is not None]
    return lines[:_RESOURCES] or ["  nobody looked at any resource."]


def _limit(one: ResourceOutlook) -> str:
    said, sample = one.projection, one.sample
    assert said is not None
    share = None if sample is None else sample.saturation
    full = "" if share is None else f", {to_whole(Fraction(share) * 100)} % full"
    if said.days_to_limit is None:
        return f"{one.resource}: no day in sight{full}"
    high = "later" if said.days_high is None else f"{said.days_high:.0f}"
    low = "0" if said.days_low is None else f"{said.days_low:.0f}"
    return f"{one.resource}: in {said.days_to_limit:.0f} days ({low} to {high}){full}"
