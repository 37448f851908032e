"""What each customer brings and costs in 30 days, and what of all that may stop coming in.

Pure functions over exact numbers. Nothing is rounded, and what is not known stays None.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from ebbtide.catalog.revenue import RevenueRule
from ebbtide.domain.event import COST_DECIMALS
from ebbtide.signals.billing import Price, Subscribed, price_of
from ebbtide.signals.facts import DAY

PERIOD = 30 * DAY
STEPS_PER_USD = 10**COST_DECIMALS
_MICROSECOND = timedelta(microseconds=1)
NOT_SAID = "not_said"
_NOTHING, _WHOLE, _DAYS = Fraction(0), Fraction(1), Fraction(30)

MARGIN_NEGATIVE = "margin_negative"
RESOURCE_SHARE = "resource_share"
EXPORTS_WITHOUT_REPLAY = "exports_without_replay"
CALLS_FAR_ABOVE_OTHERS = "calls_far_above_others"
FLAGS = (MARGIN_NEGATIVE, RESOURCE_SHARE, EXPORTS_WITHOUT_REPLAY, CALLS_FAR_ABOVE_OTHERS)


class Counts(NamedTuple):
    """What one tenant did in 30 days.

    ``llm_cost_steps`` is the known cost of its model calls in the steps that are kept,
    :data:`STEPS_PER_USD` of them a USD: whole numbers are added and compared quickest.
    """

    num_llm_calls: int = 0
    num_llm_costs: int = 0
    llm_cost_steps: int = 0
    num_api_calls: int = 0
    num_incidents: int = 0
    num_replays: int = 0
    num_exports: int = 0

    @property
    def llm_cost_usd(self) -> Fraction | None:
        """What its model calls cost: 0 without a call, None when of none the cost is known."""
        if self.num_llm_calls and not self.num_llm_costs:
            return None
        return Fraction(self.llm_cost_steps, STEPS_PER_USD)


NO_COUNTS = Counts()


@dataclass(frozen=True, slots=True)
class Flag:
    """A risk of one customer, in words with its numbers."""

    name: str
    level: str  # critical or warning
    text: str


@dataclass(frozen=True, slots=True)
class Unit:
    """The economics of one tenant over 30 days.

    Attributes:
        paying: yes, no or unknown; unknown: no event of a subscription.
        prices: of each of its subscriptions that count, or of the one it is taken to have.
        mrr_usd: what it pays in 30 days from now on; 0 when it does not pay, None when a price
            is not known or nobody said whether it pays.
        subscribed_days: of the 30, decimal; of several subscriptions the longest.
        revenue_usd: the prices, in proportion to the time subscribed; None when one is not known.
        margin_usd: what is left of it; None when it or the cost is not known.
    """

    tenant_id: str
    paying: str
    plan: str | None
    prices: tuple[Price, ...]
    mrr_usd: Fraction | None
    subscribed_days: Fraction
    revenue_usd: Fraction | None
    margin_usd: Fraction | None
    counts: Counts
    subscriptions: tuple[Subscribed, ...]
    flags: tuple[Flag, ...] = ()

    @property
    def price_usd(self) -> Fraction | None:
        """All its prices together; None when one is not known, or there is none."""
        return _sum(price.usd for price in self.prices) if self.prices else None

    @property
    def margin(self) -> Fraction | None:
        """What is left of each USD; None without revenue, or when it is not known."""
        left = self.margin_usd
        return left / self.revenue_usd if left is not None and self.revenue_usd else None

    @property
    def reason(self) -> str | None:
        """Why there is no margin; None when there is one."""
        if self.revenue_usd is None:
            return "price_unknown"
        return "cost_unknown" if self.margin_usd is None else None


def units_of(
    firsts: Mapping[str, datetime],
    counts: Mapping[str, Counts],
    subscriptions: Iterable[Subscribed],
    entered: Mapping[str, Fraction],
    as_of: datetime,
    default_price_usd: Fraction,
    rule: RevenueRule,
) -> list[Unit]:
    """Every tenant's economics, the lowest margin first; what is not known comes last.

    Args:
        firsts: the first event of each tenant that had one by then.
        counts: of 30 days; a tenant that is missing did nothing.
        subscriptions: all, at this moment.
        entered: prices of the directory, by tenant id.

    Source:
        unit_economics/1, formulas 10 and 13.
    """
    theirs: dict[str, list[Subscribed]] = {}
    for one in subscriptions:
        theirs.setdefault(one.tenant_id, []).append(one)
    units = [
        _unit(
            tenant_id,
            first_at,
            counts.get(tenant_id, NO_COUNTS),
            theirs.get(tenant_id, ()),
            entered,
            as_of,
            default_price_usd,
        )
        for tenant_id, first_at in firsts.items()
    ]
    flagged = _Flagging(units, rule)
    return sorted(map(flagged.flag, units), key=sort_key)


def sort_key(unit: Unit) -> tuple[bool, int, Fraction, str]:
    """The lowest margin first, unknown ones last, then by tenant id."""
    margin = unit.margin_usd
    if margin is None:
        return True, 0, _NOTHING, unit.tenant_id
    # Whole steps decide nearly always, and are compared far quicker than fractions.
    return False, margin.numerator * STEPS_PER_USD // margin.denominator, margin, unit.tenant_id


def _unit(
    tenant_id: str,
    first_at: datetime,
    counts: Counts,
    theirs: Sequence[Subscribed],
    entered: Mapping[str, Fraction],
    as_of: datetime,
    default_price_usd: Fraction,
) -> Unit:
    begun = [one for one in theirs if one.stretches]
    found: list[tuple[Price, Fraction, bool]] = []
    if not begun and not any(one.subscription_id for one in theirs):
        # Nobody said that it began: it is taken to pay from its first event on.
        ends = [one.end.timestamp for one in theirs if one.end is not None]
        price = price_of(theirs[0] if theirs else None, entered, default_price_usd)
        if not theirs and tenant_id in entered:
            price = Price(entered[tenant_id], "directory")
        end = min(ends, default=as_of)
        found.append((price, _within(((first_at, end),), as_of), False))
    for one in begun:
        subscribed = _within(one.stretches, as_of)
        if subscribed or one.is_paid:
            price = price_of(one, entered, default_price_usd)
            found.append((price, subscribed, one.is_paid))
    newest = max(begun or theirs, key=lambda one: one.newest_at, default=None)
    paying = "unknown"
    if theirs:
        paying = "yes" if any(one.is_paid for one in theirs) else "no"
    # A price that is not known does not matter for a time that was not subscribed.
    revenue = _sum(
        _NOTHING if not share else None if price.usd is None else _of(price.usd, share)
        for price, share, _ in found
    )
    cost = counts.llm_cost_usd
    return Unit(
        tenant_id=tenant_id,
        paying=paying,
        plan=newest.priced_by.plan if newest is not None and newest.priced_by else None,
        prices=tuple(price for price, _, _ in found),
        mrr_usd=_sum(price.usd for price, _, is_paid in found if is_paid) if theirs else None,
        subscribed_days=_of(_DAYS, max((share for _, share, _ in found), default=_NOTHING)),
        revenue_usd=revenue,
        margin_usd=None if revenue is None or cost is None else revenue - cost,
        counts=counts,
        subscriptions=tuple(theirs),
    )


def _within(stretches: Collection[tuple[datetime, datetime]], as_of: datetime) -> Fraction:
    """The share of the last 30 days that stretches fill."""
    start = as_of - PERIOD
    for a, b in stretches:
        if a <= start and b >= as_of:
            return _WHOLE
    inside = (min(b, as_of) - max(a, start) for a, b in stretches if a < as_of and b > start)
    return Fraction(sum(one // _MICROSECOND for one in inside), PERIOD // _MICROSECOND)


def _of(amount: Fraction, share: Fraction) -> Fraction:
    """A share of an amount; most tenants are subscribed all the time, and products are dear."""
    return amount if share is _WHOLE else amount * share


def _sum(amounts: Iterable[Fraction | None]) -> Fraction | None:
    """All together; None when one of them is not known."""
    total = _NOTHING
    for one in amounts:
        if one is None:
            return None
        total = one if total is _NOTHING else total + one
    return total


# -- flags -------------------------------------------------------------------------------------


class _Flagging:
    """What is compared among all tenants, worked out once."""

    def __init__(self, units: Sequence[Unit], rule: RevenueRule) -> None:
        self._rule = rule
        costs = [unit.counts.llm_cost_steps for unit in units]
        calls = sorted(unit.counts.num_api_calls for unit in units)
        self._calls = calls[bisect_left(calls, 1) :]
        self._total_cost = sum(costs)
        self._num_with_cost = sum(cost > 0 for cost in costs)
        self._total_calls = sum(self._calls)

    def flag(self, unit: Unit) -> Unit:
        """The same with its flags, critical ones first."""
        flags = list(self._flags(unit))
        if not flags:
            return unit
        return replace(unit, flags=tuple(flags))

    def _flags(self, unit: Unit) -> Iterable[Flag]:
        margin, counts, rule = unit.margin_usd, unit.counts, self._rule
        if margin is not None and margin < 0:
            yield Flag(
                MARGIN_NEGATIVE,
                "critical",
                f"costs {_usd(-margin)} USD more than it brings in 30 days",
            )
        shares = (
            ("model costs", counts.llm_cost_steps, self._total_cost, self._num_with_cost),
            ("API calls", counts.num_api_calls, self._total_calls, len(self._calls)),
        )
        above = rule.share_above
        taken = [
            f"{_pct(Fraction(used, total))} % of all {what}"
            for what, used, total, num in shares
            if num >= rule.share_min_tenants and used * above.denominator > total * above.numerator
        ]
        if taken:
            yield Flag(RESOURCE_SHARE, "critical", f"takes {' and '.join(taken)}")
        if counts.num_exports and not counts.num_replays:
            text = f"exported {counts.num_exports} times without a replay in 30 days"
            yield Flag(EXPORTS_WITHOUT_REPLAY, "warning", text)
        middle = self._middle_of_others(counts.num_api_calls)
        times = rule.calls_times_median
        if middle and 2 * counts.num_api_calls * times.denominator > sum(middle) * times.numerator:
            text = (
                f"{counts.num_api_calls} API calls, the median of the others is {sum(middle) / 2:g}"
            )
            yield Flag(CALLS_FAR_ABOVE_OTHERS, "warning", text)

    def _middle_of_others(self, own: int) -> tuple[int, int] | None:
        """Two numbers whose mean is the median of the other tenants with a call, if any."""
        calls = self._calls
        without = bisect_left(calls, own) if own else len(calls)
        num = len(calls) - (1 if own else 0)
        if num == 0:
            return None

        def nth(place: int) -> int:
            return calls[place + (place >= without)]

        return nth((num - 1) // 2), nth(num // 2)


def _usd(amount: Fraction) -> str:
    return f"{float(amount):,.2f}"


def _pct(share: Fraction) -> int:
    return int(share * 100 + Fraction(1, 2))


# -- all together ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the MRR: how many tenants, and what they pay in 30 days as far as it is known."""

    num: int = 0
    usd: Fraction = Fraction(0)
    num_without_price: int = 0


@dataclass(frozen=True, slots=True)
class Revenue:
    """All tenants together. The parts overlap: one who leaves may be at risk as well.

    Attributes:
        mrr: of those that pay; a tenant without a subscription event is not in it.
        num_unknown: tenants of whom nobody said whether they pay.
        default_price: the part whose price is the default, since nobody named one.
        discounted: the part with a discount, which its price does not know.
        churned, involuntary: of those that stopped in 30 days and pay nothing now; the second
            is the part that ended because payments failed.
        labels: the same by what they said, most MRR first.
        leaving: pays, and is to end.
        failing: pays, but the newest payment failed.
        at_risk: of those on the at-risk list, by level, worst first.
        revenue_usd: of 30 days, of tenants with a subscription whose price is known; None when
            no tenant has one.
        cost_usd: of 30 days, of all tenants, as far as it is known; None when there were calls
            and of none the cost is known.
        assumed: what tenants of whom nobody said whether they pay would have brought; their
            own margin counts it, the revenue here does not.
    """

    mrr: Part
    num_unknown: int
    default_price: Part
    discounted: Part
    churned: Part
    involuntary: Part
    labels: tuple[tuple[str, Part], ...]
    leaving: Part
    failing: Part
    at_risk: tuple[tuple[str, Part], ...]
    revenue_usd: Fraction | None
    cost_usd: Fraction | None
    assumed: Part
    num_calls_without_cost: int

    @property
    def margin_usd(self) -> Fraction | None:
        """What is left of the revenue when all tenants' calls are paid; None: not known."""
        if self.revenue_usd is None or self.cost_usd is None:
            return None
        return self.revenue_usd - self.cost_usd

    @property
    def margin(self) -> Fraction | None:
        """What is left of each USD; None without revenue."""
        left = self.margin_usd
        return left / self.revenue_usd if left is not None and self.revenue_usd else None


LEVELS = ("critical", "high", "medium", "low")


def sum_up(
    units: Collection[Unit],
    levels: Mapping[str, str],
    entered: Mapping[str, Fraction],
    as_of: datetime,
    default_price_usd: Fraction,
) -> Revenue:
    """The revenue of a moment.

    Args:
        units: every tenant's.
        levels: of the tenants on the at-risk list, by tenant id.
    """
    paying = [unit for unit in units if unit.paying == "yes"]
    gone = [(unit, end) for unit in units if (end := _left(unit, as_of)) is not None]

    def lost(ends: Iterable[tuple[Unit, Subscribed]]) -> Part:
        prices = [price_of(one, entered, default_price_usd).usd for _, one in ends]
        return _part(prices)

    labels: dict[str, list[tuple[Unit, Subscribed]]] = {}
    for unit, one in gone:
        assert one.end is not None
        labels.setdefault(one.end.reason or NOT_SAID, []).append((unit, one))
    known = [unit.revenue_usd for unit in units if unit.paying != "unknown"]
    assumed = [unit.revenue_usd for unit in units if unit.paying == "unknown"]
    counts = [unit.counts for unit in units]
    num_calls = sum(one.num_llm_calls for one in counts)
    num_costs = sum(one.num_llm_costs for one in counts)
    steps = sum(one.llm_cost_steps for one in counts)
    by_level = {
        level: _part(unit.mrr_usd for unit in paying if levels.get(unit.tenant_id) == level)
        for level in LEVELS
    }
    return Revenue(
        mrr=_part(unit.mrr_usd for unit in paying),
        num_unknown=sum(unit.paying == "unknown" for unit in units),
        default_price=_part(
            unit.mrr_usd
            for unit in paying
            if any(price.source == "default" for price in unit.prices)
        ),
        discounted=_part(_paid(paying, lambda one: one.has_discount)),
        churned=lost(gone),
        involuntary=lost(
            (unit, one) for unit, one in gone if one.end is not None and one.end.is_involuntary
        ),
        labels=tuple(
            sorted(
                ((label, lost(ends)) for label, ends in labels.items()),
                key=lambda pair: (-pair[1].usd, -pair[1].num, pair[0]),
            )
        ),
        leaving=_part(_paid(paying, lambda one: one.is_leaving)),
        failing=_part(_paid(paying, is_failing)),
        at_risk=tuple((level, part) for level, part in by_level.items() if part.num),
        revenue_usd=_total(known) if any(one is not None for one in known) else None,
        cost_usd=None if num_calls and not num_costs else Fraction(steps, STEPS_PER_USD),
        assumed=_part(assumed),
        num_calls_without_cost=num_calls - num_costs,
    )


def is_failing(one: Subscribed) -> bool:
    """Whether its newest payment failed, by the payment or by the provider's status."""
    return one.is_paid and (one.failed is not None or one.status == "past_due")


def _left(unit: Unit, as_of: datetime) -> Subscribed | None:
    """The subscription whose end in the last 30 days made a tenant stop paying."""
    if unit.paying != "no":
        return None
    ended = [
        one
        for one in unit.subscriptions
        # A trial that was never paid is no loss; a cancellation alone tells that there was one.
        if one.end is not None
        and one.end.timestamp > as_of - PERIOD
        and (one.stretches or one.subscription_id is None)
    ]
    return max(ended, key=lambda one: (_end_of(one), one.subscription_id or ""), default=None)


def _end_of(one: Subscribed) -> datetime:
    assert one.end is not None
    return one.end.timestamp


def _paid(units: Iterable[Unit], holds: Callable[[Subscribed], bool]) -> Iterable[Fraction | None]:
    """The MRR of the tenants with a subscription of which something holds."""
    return (
        unit.mrr_usd
        for unit in units
        if any(one.is_paid and holds(one) for one in unit.subscriptions)
    )


def _part(amounts: Iterable[Fraction | None]) -> Part:
    given = list(amounts)
    known = [one for one in given if one is not None]
    return Part(len(given), sum(known, Fraction(0)), len(given) - len(known))


def _total(amounts: Iterable[Fraction | None]) -> Fraction:
    return sum((one for one in amounts if one is not None), Fraction(0))
