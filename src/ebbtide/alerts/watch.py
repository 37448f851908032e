"""What every rule says at a moment: the pulse, its producers, limits, jobs, customers, channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.pulse import Threshold
from ebbtide.domain.alert import AlertState, AlertStatus, Group, Observation
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.job_run import RESULTS, RunStatus
from ebbtide.limits.infra import Level, ResourceOutlook, read_infra
from ebbtide.signals.pulse import State, is_silent
from ebbtide.signals.pulse_reading import Pulse, take_pulse
from ebbtide.signals.rounding import to_whole
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore

PULSE, PRODUCER, LIMIT, JOB, CUSTOMER, CHANNEL = (
    "pulse",
    "producer",
    "limit",
    "job",
    "customer",
    "channel",
)
#: The pulse looks at the fullest resource only; here each has a rule of its own.
_INFRA = "infra_saturation"
_LEVELS = {"critical": AlertStatus.ALERT, "warning": AlertStatus.WARNING}
_RUNS = {
    RunStatus.COMPLETED: AlertStatus.OK,
    RunStatus.PARTIAL: AlertStatus.WARNING,
    RunStatus.FAILED: AlertStatus.ALERT,
}
_RUNS_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed; rules of a kind in ``blind`` could not be looked at."""

    observations: tuple[Observation, ...]
    blind: frozenset[str]

    def with_known(self, known: Mapping[str, AlertState]) -> list[Observation]:
        """Observations of everything that has a rule now, and of everything that had one.

        Of what is not there any more nothing is wrong; of what could not be looked at nothing is
        known.
        """
        observed = {one.rule for one in self.observations}
        return [
            *self.observations,
            *(self._of_absent(one) for one in known.values() if one.rule not in observed),
        ]

    def _of_absent(self, state: AlertState) -> Observation:
        is_blind = state.rule.partition(":")[0] in self.blind
        status = AlertStatus.NO_DATA if is_blind else AlertStatus.OK
        text = "It cannot be looked at now." if is_blind else "It is over, or not looked at now."
        return Observation(
            state.rule, state.group, status, state.title, text, state.tenant_uuid, False
        )


def observe(
    catalog: Catalog,
    events: EventStore,
    state: StateStore,
    jobs: Iterable[str],
    now: datetime,
) -> Seen:
    """Look at everything that has a rule.

    Args:
        jobs: names of the jobs that run on a schedule.

    Raises:
        StoreUnavailable: the state store cannot be asked. An event store that cannot is an
            observation.
    """
    pulse = take_pulse(catalog, events, state, now)
    found = [_of_pulse(pulse)]
    blind: set[str] = set()
    if pulse.verdict.state is State.UNKNOWN:
        blind |= {PULSE, PRODUCER}
    else:
        found += [*_thresholds(pulse), *_producers(pulse)]
    try:
        found += _limits(state, events, pulse.thresholds or (), now)
    except StoreUnavailable:
        blind.add(LIMIT)
    found += _jobs(state, jobs)
    found += _customers(state)
    found += _channels(state)
    return Seen(tuple(found), frozenset(blind))


def _of_pulse(pulse: Pulse) -> Observation:
    is_known = pulse.verdict.state is not State.UNKNOWN
    return Observation(
        f"{PULSE}:state",
        Group.PLATFORM,
        AlertStatus.OK if is_known else AlertStatus.NO_DATA,
        "The pulse",
        "Events come and can be read." if is_known else pulse.verdict.reasons[0],
    )


def _thresholds(pulse: Pulse) -> Iterator[Observation]:
    for one in pulse.thresholds or ():
        if one.kind == "silent" or one.name == _INFRA or not one.is_enabled:
            continue
        passed = [alert.text for alert in pulse.verdict.alerts if alert.name == one.name]
        status = _LEVELS[one.level] if passed else AlertStatus.OK
        text = " ".join(passed) or "It has not passed its threshold."
        yield Observation(f"{PULSE}:{one.name}", Group.PLATFORM, status, one.title, text)


def _producers(pulse: Pulse) -> Iterator[Observation]:
    rule = next((one for one in pulse.thresholds or () if one.kind == "silent"), None)
    if rule is None or not rule.is_enabled or pulse.reading is None:
        return
    for one in pulse.reading.producers:
        newest = one.newest_at.strftime("%Y-%m-%d %H:%M UTC")
        if is_silent(one, rule):
            status, text = _LEVELS[rule.level], f"It has gone silent: newest event of {newest}."
        else:
            status, text = AlertStatus.OK, f"Its newest event is of {newest}."
        yield Observation(
            f"{PRODUCER}:{one.source}", Group.PLATFORM, status, f"Events from {one.source}", text
        )


def _limits(
    state: StateStore, events: EventStore, thresholds: Iterable[Threshold], now: datetime
) -> list[Observation]:
    rule = next((one for one in thresholds if one.name == _INFRA and one.is_enabled), None)
    return [
        Observation(
            f"{LIMIT}:{one.resource}",
            Group.PLATFORM,
            _limit_status(one, rule),
            f"Limit of {one.resource}",
            _limit_text(one),
        )
        for one in read_infra(state, events, now).resources
    ]


def _limit_status(one: ResourceOutlook, rule: Threshold | None) -> AlertStatus:
    if one.level is Level.UNKNOWN:
        return AlertStatus.NO_DATA
    if one.level is Level.CRITICAL:
        return AlertStatus.ALERT
    share = None if one.sample is None else one.sample.saturation
    if rule is not None and share is not None and Fraction(share) > rule.than:
        return _LEVELS[rule.level]
    return AlertStatus.WARNING if one.level is Level.WARNING else AlertStatus.OK


def _limit_text(one: ResourceOutlook) -> str:
    if one.level is Level.UNKNOWN:
        return f"It is not known how full it is: {one.detail or one.reason}."
    share = None if one.sample is None else one.sample.saturation
    said = one.projection
    parts = [] if share is None else [f"{to_whole(Fraction(share) * 100)} % full"]
    if said is not None and said.days_to_limit is not None:
        parts.append(f"at its limit in {said.days_to_limit:.1f} days")
    return ("; ".join(parts) or "no limit in sight") + "."


def _jobs(state: StateStore, jobs: Iterable[str]) -> Iterator[Observation]:
    for name in jobs:
        runs = state.runs.list_newest(job=name, limit=_RUNS_LOOKED_AT)
        run = next((one for one in runs if one.status in RESULTS), None)
        if run is not None:
            text = f"Run {run.run_id} is {run.status}: {run.message}."
            yield Observation(
                f"{JOB}:{name}", Group.PLATFORM, _RUNS[run.status], f"Job {name}", text
            )


def _customers(state: StateStore) -> Iterator[Observation]:
    for one in state.alerts.critical_customers():
        yield Observation(
            f"{CUSTOMER}:{one['tenant_id']}",
            Group.CUSTOMERS,
            AlertStatus.ALERT,
            f"Customer {one['tenant_id']}",
            f"Newly at critical risk: {one['risk_reason'] or 'no reason given'}.",
            one["tenant_uuid"],
        )


def _channels(state: StateStore) -> Iterator[Observation]:
    for one in state.outbox.channels():
        # One that a person switched off is as it should be.
        is_lost = one.disabled_reason is not None and one.disabled_reason.startswith("http_")
        yield Observation(
            f"{CHANNEL}:{one.name}",
            Group.PLATFORM,
            AlertStatus.WARNING if is_lost else AlertStatus.OK,
            f"Channel {one.name}",
            f"Its receiver answered {one.disabled_reason}; nothing is sent there any more."
            if is_lost
            else "It is in order.",
        )
