"""What changed for a customer lately, and which change came just before its decline began.

Pure functions of rows and moments. That a change came first does not make it the cause; the
number of others who saw the same change and did not decline stands beside it for that reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ebbtide.domain.event import Event
from ebbtide.domain.tenant import to_price_usd
from ebbtide.metrics.compute import MetricTable
from ebbtide.signals.facts import DAY

RECENT = timedelta(days=14)  # a change this old is still called recent
LOOK_BACK_DAYS = 30  # how many midnights are looked at for the start of a decline
BEFORE_DECLINE = timedelta(days=14)  # a change further before its start explains nothing
DECLINED_BELOW = Fraction(8, 10)  # of the 30-day base
_TICK = timedelta(microseconds=1)
_WEEK_US = 7 * DAY // _TICK

#: The tenant of events that touch everybody.
EVERYBODY = "platform"
RECORDED = "CHANGE_RECORDED"

#: What a founder can do most about comes first.
KINDS = (
    "freeze",
    "plan_change",
    "price_change",
    "rate_limit",
    "policy_version",
    "model_switch",
    "deploy",
)
#: Kinds of recorded changes: our word, and where subject and value stand in the metadata.
_RECORDED_KINDS = {
    "policy_version": ("policy_version", "policy_id", "policy_version"),
    "model": ("model_switch", "subject", "model"),
    "price": ("price_change", "subject", "value"),
    "rate_limit": ("rate_limit", "subject", "value"),
    "deploy": ("deploy", "subject", "value"),
    "plan": ("plan_change", "subject", "plan"),
}
#: Kinds of which the first sight and the record are two words for one thing.
_SEEN_TOO = ("policy_version", "model_switch")


class Sighting(NamedTuple):
    """One thing that was first seen at a tenant, or happened to it.

    ``kind`` is ``freeze``, ``subscription``, ``model`` or ``policy_version``. ``subject`` is the
    policy or the scope of the freeze, ``value`` the version, model or plan. ``price`` is that of
    a subscription, as text.
    """

    tenant_id: str
    at: datetime
    kind: str
    subject: str | None = None
    value: str | None = None
    price: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is different for a tenant from a moment on."""

    tenant_id: str
    at: datetime
    kind: str
    subject: str | None
    value: str | None

    @property
    def same(self) -> tuple[str, str | None, str | None]:
        """What two tenants share who saw the same change."""
        return self.kind, self.subject, self.value

    @property
    def what(self) -> str:
        """The change in words."""
        match self.kind:
            case "policy_version":
                return f"version {self.value} of policy {self.subject}"
            case "model_switch":
                return f"first use of model {self.value}"
            case "plan_change":
                return f"plan changed to {self.value or 'one without a name'}"
            case "price_change":
                return f"price{self._of} changed to {self.value or 'unknown'} USD"
            case "rate_limit":
                return f"rate limit{self._of} changed to {self.value or 'unknown'}"
            case "deploy":
                return " ".join(filter(None, ("deploy", self.subject, self.value)))
        return "traffic frozen" if self.subject is None else f"traffic frozen ({self.subject})"

    @property
    def _of(self) -> str:
        return "" if self.subject is None else f" of {self.subject}"

    def text(self, as_of: datetime) -> str:
        """The change in words, with its age in whole days."""
        return f"{self.what}, {ago(self.at, as_of)}"


def ago(at: datetime, as_of: datetime) -> str:
    """How long ago, in whole days."""
    days = (as_of - at) // DAY
    return "today" if days == 0 else "1 day ago" if days == 1 else f"{days} days ago"


def to_changes(sightings: Iterable[Sighting]) -> dict[str, list[Change]]:
    """What changed, by tenant, newest first.

    The first model, the first version of a policy and the first subscription of a tenant are
    its start, not a change.

    Args:
        sightings: of any tenants, in any order, over all time.
    """
    changes: dict[str, list[Change]] = {}
    plans: dict[str, tuple[str | None, str | None]] = {}
    known: dict[tuple[str, str, str | None], set[str | None]] = {}
    for one in sorted(sightings, key=lambda s: (s.at, s.kind, s.subject or "", s.value or "")):
        found: list[tuple[str, str | None, str | None]] = []
        if one.kind == "freeze":
            found.append(("freeze", one.subject, None))
        elif one.kind == "subscription":
            before = plans.get(one.tenant_id)
            plans[one.tenant_id] = (one.value, one.price)
            if before is not None and before[0] != one.value:
                found.append(("plan_change", None, one.value))
            if before is not None and before[1] != one.price:
                found.append(("price_change", None, one.price))
        else:
            seen = known.setdefault((one.tenant_id, one.kind, one.subject), set())
            if seen and one.value not in seen:
                kind = "model_switch" if one.kind == "model" else one.kind
                found.append((kind, one.subject, one.value))
            seen.add(one.value)
        for kind, subject, value in found:
            change = Change(one.tenant_id, one.at, kind, subject, value)
            changes.setdefault(one.tenant_id, []).insert(0, change)
    return changes


def to_recorded(events: Iterable[Event]) -> list[Change]:
    """Changes that somebody has recorded; an event that names no kind is none."""
    found = []
    for event in events:
        said = json.loads(event.metadata_json)
        kind = said.get("kind")
        if kind in _RECORDED_KINDS:
            word, subject_key, value_key = _RECORDED_KINDS[kind]
            subject, value = (
                None if said.get(key) is None else str(said[key])
                for key in (subject_key, value_key)
            )
            found.append(Change(event.tenant_id, event.timestamp, word, subject, value))
    return found


def join(*parts: Iterable[Change]) -> list[Change]:
    """Changes of one tenant from several sources, newest first, each once.

    Of a version or model that was recorded and also seen, the earlier moment counts.
    """
    joined: list[Change] = []
    met = set()
    everything = [one for part in parts for one in part]
    for one in sorted(everything, key=lambda one: (one.at, KINDS.index(one.kind))):
        if one.kind in _SEEN_TOO:
            if one.same in met:
                continue
            met.add(one.same)
        joined.insert(0, one)
    return joined


def recent(changes: Iterable[Change], as_of: datetime) -> list[Change]:
    """The changes of the last 14 days, in the order given."""
    return [one for one in changes if as_of - RECENT < one.at <= as_of]


class Actions(NamedTuple):
    """Investigations of one type within one hour that ends on a full hour."""

    last_at: datetime
    event_type: str
    num: int


def decline_began(
    actions: Iterable[Actions],
    first_event_at: datetime,
    as_of: datetime,
    weights: Mapping[str, int],
) -> datetime | None:
    """The first midnight of the unbroken run, up to now, of 7-day scores below 0.8 of the base.

    Args:
        actions: those of one tenant in the 60 days before the last midnight.
        first_event_at: its first event of any type, for the base of a young tenant.
        weights: by event type, as whole numbers of any one unit.

    Returns:
        A midnight UTC of the last 30 days; None when the newest one is not below.
    """
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    by_day = _scores_by_day(actions, midnight, weights)
    below, of = DECLINED_BELOW.numerator, DECLINED_BELOW.denominator
    began = None
    for day in range(LOOK_BACK_DAYS):
        at = midnight - day * DAY
        if at <= as_of - LOOK_BACK_DAYS * DAY or at < first_event_at:
            break
        week, month = sum(by_day[day : day + 7]), sum(by_day[day : day + 30])
        age_us = min(30 * DAY, max(7 * DAY, at - first_event_at)) // _TICK
        # week < 0.8 x month x 7 / T, in whole numbers
        if not week * of * age_us < below * month * _WEEK_US:
            break
        began = at
    return began


def _scores_by_day(
    actions: Iterable[Actions], midnight: datetime, weights: Mapping[str, int]
) -> list[int]:
    """Weighted actions by UTC day: first the day that ended at ``midnight``, then the one before.

    What happened at a midnight belongs to the day that ends there.
    """
    days = [0] * (LOOK_BACK_DAYS + 30)
    for one in actions:
        day = (midnight - one.last_at) // DAY
        if 0 <= day < len(days):
            days[day] += weights[one.event_type] * one.num
    return days


@dataclass(frozen=True, slots=True)
class Correlation:
    """The change that came nearest before a decline; ``num_others`` saw it and did not decline.

    ``num_others_declined`` saw it too and did decline.
    """

    change: Change
    declined_from: datetime
    num_others: int
    num_others_declined: int

    @property
    def days_between(self) -> Fraction:
        """From the change to the start of the decline, in days."""
        return Fraction((self.declined_from - self.change.at) // _TICK, DAY // _TICK)

    @property
    def text(self) -> str:
        """The finding in words; it names no cause."""
        days = (self.declined_from - self.change.at) // DAY
        span = "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"
        others = self.num_others + self.num_others_declined
        beside = (
            "no other customer saw the same"
            if others == 0
            else f"of {others} others who saw the same, {self.num_others} did not decline"
        )
        return f"{self.change.what}, {span} before the decline began; {beside}"


def nearest_before(changes: Iterable[Change], declined_from: datetime) -> Change | None:
    """The newest change at or before the start of a decline, at most 14 days before it."""
    fitting = [one for one in changes if declined_from - BEFORE_DECLINE <= one.at <= declined_from]
    # Of several at one moment the kind that a founder can do most about.
    return max(fitting, key=lambda one: (one.at, -KINDS.index(one.kind)), default=None)


def who_saw_the_same(
    change: Change, changes: Mapping[str, Sequence[Change]], as_of: datetime
) -> list[str]:
    """Tenants with the same change in the last 44 days, in the order of the mapping."""
    since = as_of - LOOK_BACK_DAYS * DAY - BEFORE_DECLINE
    return [
        tenant_id
        for tenant_id, theirs in changes.items()
        if any(one.same == change.same and since < one.at <= as_of for one in theirs)
    ]


def to_sightings(table: MetricTable) -> list[Sighting]:
    """The rows of ``change_events`` as sightings."""
    columns = ("tenant_id", "at", "kind", "subject", "value", "metadata")
    sightings = []
    for tenant_id, at, kind, subject, value, metadata in zip(
        *(table.column(name) for name in columns), strict=True
    ):
        said = json.loads(metadata, parse_float=Decimal) if metadata else {}
        price = to_price_usd(said.get("price_usd")) if kind == "subscription" else None
        if kind == "freeze":
            subject = said.get("scope") or subject
        sightings.append(
            Sighting(
                tenant_id,
                at,
                kind,
                None if subject is None else str(subject),
                value,
                None if price is None else f"{price.normalize():f}",
            )
        )
    return sightings
