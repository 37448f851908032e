"""What is earned with one customer in 30 days, and whether its price needs a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from ebbtide.signals.exact import compare
from ebbtide.signals.facts import DAY, Economics, SubscriptionEvent
from ebbtide.signals.rules import Rules

PERIOD = 30 * DAY
NEGATIVE = "negative"
FALLING = "falling"
_STARTED = "SUBSCRIPTION_STARTED"
_MICROSECOND = timedelta(microseconds=1)
_PERIOD_US = PERIOD // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Period:
    """Revenue and model costs of 30 days, in USD and exact."""

    revenue_usd: Fraction
    cost_usd: Fraction
    is_fully_subscribed: bool

    @property
    def margin_usd(self) -> Fraction:
        """What is left."""
        return self.revenue_usd - self.cost_usd

    @property
    def margin(self) -> Fraction | None:
        """What is left of each USD of revenue; None when there is no revenue."""
        return self.margin_usd / self.revenue_usd if self.revenue_usd else None


class Margin:
    """The last 30 days and the 30 before them; what nobody asks for is not worked out."""

    def __init__(
        self, economics: Economics, first_event_at: datetime, as_of: datetime, rules: Rules
    ) -> None:
        self._economics = economics
        self._as_of = as_of
        self._rules = rules
        self._subscribed = subscribed_times(economics.subscription, first_event_at, as_of)
        self._last: Period | None = None
        self._before: Period | None = None

    @property
    def last(self) -> Period:
        """The 30 days that end at the moment."""
        if self._last is None:
            self._last = self._period(self._as_of, self._economics.llm_cost_usd_30d)
        return self._last

    @property
    def before(self) -> Period:
        """The 30 days before those."""
        if self._before is None:
            cost_usd = self._economics.llm_cost_usd_30d_before
            self._before = self._period(self._as_of - PERIOD, cost_usd)
        return self._before

    @property
    def api_call_change(self) -> Fraction:
        """0.1: a tenth more calls than before."""
        one = self._economics
        return Fraction(one.num_api_calls_30d, one.num_api_calls_30d_before) - 1

    @property
    def warning(self) -> str | None:
        """Negative, falling, or None: no reason to talk about the price."""
        last, one, rule = self.last, self._economics, self._rules.signals.pricing
        if compare(last.revenue_usd, "below", last.cost_usd):
            return NEGATIVE
        # The cheapest first: this is asked of everybody at every run.
        rise, num_before = rule.api_call_rise, one.num_api_calls_30d_before
        num_more = one.num_api_calls_30d - num_before
        if num_more * rise.denominator < rise.numerator * num_before:
            return None
        if not (last.is_fully_subscribed and self.before.is_fully_subscribed):
            return None
        if last.margin is None or self.before.margin is None:
            return None
        return FALLING if self.before.margin - last.margin >= rule.margin_fall else None

    def _period(self, end: datetime, cost_usd: str) -> Period:
        events = self._economics.subscription
        return _period(events, self._subscribed, end, _usd(cost_usd), self._rules)


def compute_margin(
    economics: Economics | None, first_event_at: datetime, as_of: datetime, rules: Rules
) -> Margin | None:
    """Compare two periods of 30 days.

    Returns:
        None when money is not known, or when the earlier period had no API call: then there is
        nothing to compare with.

    Source:
        formulas 5, 10 and 13. A price holds from its start on; each period uses the one as of
        its own end.
    """
    if economics is None or economics.num_api_calls_30d_before == 0:
        return None
    return Margin(economics, first_event_at, as_of, rules)


def subscribed_times(
    events: Iterable[SubscriptionEvent], first_event_at: datetime, as_of: datetime
) -> list[tuple[datetime, datetime]]:
    """When the tenant was subscribed, as stretches ``[start, end)`` in order, up to ``as_of``.

    From each start to the next cancellation; a start while subscribed changes nothing. Without
    any start: from the first event of any type to the first cancellation.
    """
    ordered = sorted([(one.timestamp, one.event_type == _STARTED) for one in events])
    if len(ordered) == 1 and ordered[0][1]:
        return [(ordered[0][0], as_of)]
    if not any(is_start for _, is_start in ordered):
        end = ordered[0][0] if ordered else as_of
        return [(first_event_at, end)]
    stretches = []
    since: datetime | None = None
    for at, is_start in ordered:  # at the same instant the cancellation comes first
        if is_start and since is None:
            since = at
        elif not is_start and since is not None:
            stretches.append((since, at))
            since = None
    if since is not None:
        stretches.append((since, as_of))
    return stretches


def price_usd(events: Iterable[SubscriptionEvent], at: datetime, rules: Rules) -> Fraction:
    """The price for 30 days at a moment: that of the newest start, else the default."""
    starts = [one for one in events if one.event_type == _STARTED and one.timestamp <= at]
    if len(starts) > 1:
        starts = [max(starts, key=lambda one: (one.timestamp, Decimal(one.price_usd or 0)))]
    newest = starts[0] if starts else None
    if newest is None or newest.price_usd is None:
        return rules.signals.pricing.default_price_usd
    return _usd(newest.price_usd)


@lru_cache(maxsize=4096)
def _usd(text: str) -> Fraction:
    # Several times quicker than what a fraction does with text.
    return Fraction(*Decimal(text).as_integer_ratio())


def _period(
    events: tuple[SubscriptionEvent, ...],
    subscribed: list[tuple[datetime, datetime]],
    end: datetime,
    cost_usd: Fraction,
    rules: Rules,
) -> Period:
    start = end - PERIOD
    inside = (min(b, end) - max(a, start) for a, b in subscribed if a < end and b > start)
    subscribed_us = sum(stretch // _MICROSECOND for stretch in inside)
    revenue_usd = price_usd(events, end, rules)
    if subscribed_us != _PERIOD_US:
        revenue_usd *= Fraction(subscribed_us, _PERIOD_US)
    return Period(
        revenue_usd=revenue_usd,
        cost_usd=cost_usd,
        is_fully_subscribed=subscribed_us == _PERIOD_US,
    )
