"""Everything that is said about one customer at one moment, from facts alone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction

from ebbtide.catalog.playbook import LEVELS
from ebbtide.catalog.signal import InterventionCase
from ebbtide.domain.ids import is_uuid_form
from ebbtide.domain.intervention import Suggestion
from ebbtide.signals.facts import DAY, Economics, Facts
from ebbtide.signals.friction import Friction, compute_friction
from ebbtide.signals.intent import Intent, compute_intent
from ebbtide.signals.interventions import begun_by, suggest
from ebbtide.signals.margin import compute_margin
from ebbtide.signals.measures import Measured, age_start
from ebbtide.signals.playbooks import Match, match_playbooks
from ebbtide.signals.risk import Risk, compute_risk
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import API_CALL, Silence, compute_silence, gap_start, is_paying
from ebbtide.signals.stickiness import Stickiness, compute_stickiness, to_tenths

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Customer:
    """One tenant at one moment; numbers are exact, moments are UTC, None is "not known"."""

    tenant_id: str
    as_of: datetime
    status: str  # active, churned (newest word is a cancellation), gone (no event for 30 days)
    paying: str  # yes, no, unknown
    stickiness: Stickiness
    friction: Friction
    silence: Silence
    intent: Intent
    risk: Risk
    playbooks: tuple[Match, ...]  # worst level first
    _measured: Measured = field(repr=False, compare=False)

    @property
    def interventions(self) -> tuple[Suggestion, ...]:
        """What should be done, the most urgent first; empty for tenants off the list.

        ``rule`` names the row of the table, ``playbook_id`` the matching playbook that it begins,
        with its window of success. They are put into words when they are asked for, since most
        assessments are made for the numbers alone.
        """
        if not self.risk.is_on_list:
            return ()
        return suggest(self._measured, self.playbooks, self._measured.rules.playbooks)

    def begins(self, economics: Economics | None) -> list[tuple[InterventionCase, Match | None]]:
        """Which interventions there are, with the playbook that each begins, before any words.

        Args:
            economics: its money at the moment in question; the customer's own is left aside.
        """
        if not self.risk.is_on_list:
            return []
        return begun_by(self._measured.with_money(economics), self.playbooks)

    def margin_warning(self, economics: Economics | None) -> str | None:
        """What the money of the moment in question says of the price; None: nothing."""
        one = self._measured
        margin = compute_margin(economics, one.facts.first_event_at, one.as_of, one.rules)
        return None if margin is None else margin.warning

    def is_of(self, facts: Facts, as_of: datetime) -> bool:
        """Whether this was said of these very facts, for this moment."""
        return self._measured.facts is facts and self.as_of == as_of

    def same_friction(self, facts: Facts) -> Friction | None:
        """Friction, if it is the same with later facts; None: it may be another."""
        old = self._measured.facts
        is_same = (
            facts.friction_14d == old.friction_14d
            and facts.friction_events_7d == old.friction_events_7d
            and facts.last_at(*self._measured.rules.friction_7d.units)
            == self.friction.last_friction_event
        )
        return self.friction if is_same else None

    def same_intent(self, facts: Facts) -> Intent | None:
        """Intent, if it is the same with later facts; None: it may be another."""
        if self.intent.provisional:
            return None  # time itself makes it final
        old = self._measured.facts
        is_same = facts.firsts == old.firsts and _begun_alike(facts, old)
        return self.intent if is_same else None

    def with_money(self, economics: Economics | None) -> Customer:
        """The same customer, assessed without its money, with the money known.

        Interventions alone speak of money: level, strength and playbooks are of usage.
        """
        return replace(self, _measured=self._measured.with_money(economics))


def assess(
    facts: Facts,
    as_of: datetime,
    rules: Rules,
    economics: Economics | None = None,
    *,
    before: Customer | None = None,
) -> Customer:
    """Say everything about one tenant.

    Args:
        facts: of this tenant at ``as_of``.
        as_of: the moment that the facts are of; UTC.
        rules: weights, thresholds and playbooks.
        economics: money of the last 60 days; None leaves the price out.
        before: what was said of the same tenant by the same rules at an earlier moment. What
            rests on facts that are the same is not worked out again.

    Example:
        >>> assess(facts, as_of, rules).risk.risk_level
        'high'
    """
    paying = is_paying(facts)
    if paying == "no":
        status = "churned"
    elif facts.last_event_at <= as_of - rules.signals.risk.gone_after_days * DAY:
        status = "gone"
    else:
        status = "active"
    stickiness = compute_stickiness(facts, as_of, rules)
    friction = (before and before.same_friction(facts)) or compute_friction(facts, rules)
    silence = compute_silence(facts, as_of, paying, rules)
    measured = Measured(facts, as_of, rules, stickiness, friction, silence, economics)
    matches = match_playbooks(measured, status, rules.playbooks)
    risk = compute_risk(measured, matches, status)
    measured.risk_level = risk.risk_level
    measured.risk_signal_strength = risk.risk_signal_strength
    measured.primary_risk_reason = risk.primary_risk_reason
    return Customer(
        tenant_id=facts.tenant_id,
        as_of=as_of,
        status=status,
        paying=paying,
        stickiness=stickiness,
        friction=friction,
        silence=silence,
        intent=(before and before.same_intent(facts)) or compute_intent(facts, as_of, rules),
        risk=risk,
        playbooks=matches,
        _measured=measured,
    )


def _begun_alike(one: Facts, other: Facts) -> bool:
    """Whether both know the same types of events, each since the same moment."""
    spans, others = one.spans, other.spans
    if spans is others:
        return True
    if len(spans) != len(others):
        return False
    for event_type, span in spans.items():
        there = others.get(event_type)
        if there is None or there.first_at != span.first_at:
            return False
    return True


def at_risk_order(customer: Customer) -> tuple[int, int, bool, Fraction, str]:
    """The key by which the at-risk list is sorted, the one to call first in front.

    Worst level, strongest signal, lowest ratio with an unknown one last, then tenant id by code
    point, UUIDs in lower case.
    """
    risk, delta, name = customer.risk, customer.stickiness.stickiness_delta, customer.tenant_id
    return (
        len(LEVELS) if risk.risk_level is None else LEVELS.index(risk.risk_level),
        -risk.risk_signal_strength,
        delta is None,
        Fraction(0) if delta is None else delta,
        name.lower() if is_uuid_form(name) else name,
    )


def next_change_at(facts: Facts, as_of: datetime, rules: Rules) -> datetime | None:
    """The earliest later moment at which anything that is said would jump by time alone.

    Between two such moments only what grows evenly with time is different: ages.

    Args:
        facts: of the tenant at ``as_of``, ``expires_at`` filled in.

    Returns:
        A moment after ``as_of``, perhaps one at which nothing jumps after all; None when nothing
        will ever change without a new event.
    """
    later = [moment for moment in _jumps(facts, as_of, rules) if moment > as_of]
    return min(later) if later else None


def _jumps(facts: Facts, as_of: datetime, rules: Rules) -> list[datetime]:
    """Moments at which something jumps; of those gone by already not all."""
    signals = rules.signals
    moments = [
        facts.last_event_at + signals.risk.gone_after_days * DAY,
        facts.signed_up_at + timedelta(hours=signals.intent.window_hours),
    ]
    if facts.expires_at is not None:
        moments.append(facts.expires_at)
    last_api_call = facts.last_at(API_CALL)
    if last_api_call is not None:
        within = timedelta(hours=signals.silent_churn.api_call_within_hours)
        moments.append(last_api_call + within)
    for (metric, event_types), passes_after in rules.ages.items():
        start = age_start(metric, event_types, facts)
        if start is not None:
            place = bisect_right(passes_after, as_of - start)
            if place < len(passes_after):
                moments.append(start + passes_after[place])
    since = gap_start(facts)
    if since is not None and as_of - since >= signals.silent_churn.no_investigation_for_days * DAY:
        # Texts say full days.
        moments.append(since + ((as_of - since) // DAY + 1) * DAY)
    if to_tenths(facts.actions_30d, rules):
        age = as_of - facts.first_event_at
        if age < 7 * DAY:
            moments.append(facts.first_event_at + 7 * DAY)
        elif age < 30 * DAY:
            # The base of a young tenant grows all the time, and the ratio with it.
            moments.append(as_of + _MICROSECOND)
    if to_tenths(facts.actions_7d, rules) > facts.peak_tenths:
        # This midnight may hold a new peak, which outlasts the week that made it.
        moments.append(as_of.replace(hour=0, minute=0, second=0, microsecond=0) + DAY)
    return moments
