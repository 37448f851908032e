"""What revenue looks like at the door: rounded, and percent in ``_pct``."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant
from ebbtide.signals import revenue as domain
from ebbtide.signals.billing import Subscribed
from ebbtide.signals.revenue import Part, Unit
from ebbtide.signals.revenue_reading import RevenueAt, Units
from ebbtide.signals.rounding import PCT_PLACES, to_float

INSUFFICIENT, NO_ACTIVITY = "insufficient_data", "no_activity"


class PartShown(BaseModel):
    """Some tenants and what they pay in 30 days."""

    num_tenants: int
    mrr_usd: float | None = Field(description="null when there are some and no price is known.")
    num_without_price: int = Field(description="Of them; what they pay is not in the sum.")


class LabelShown(PartShown):
    """Some of the tenants that left, by why."""

    label: str = Field(description="In the billing provider's words; not_said when nobody said.")


class LevelShown(PartShown):
    """Some of the tenants on the at-risk list."""

    risk_level: str


class RiskFlagCount(BaseModel):
    """How many tenants carry a flag."""

    flag: str
    level: str
    num_tenants: int


class RevenueShown(BaseModel):
    """All tenants together. The parts of the MRR overlap; null means unknown."""

    model_config = ConfigDict(extra="forbid")

    as_of: str
    known_at: str = Field(description="What was received later was not known yet.")
    computed_at: str
    formula: str
    mrr_usd: float | None = Field(
        description="What running subscriptions pay in 30 days; a tenant without a subscription "
        "event is not in it."
    )
    mrr_reason: str | None = Field(
        description="Why there is none: no_activity (no subscription event at all) or "
        "insufficient_data (no price is known)."
    )
    mrr: PartShown
    default_price: PartShown = Field(
        description="The part at the default price, because nobody named one."
    )
    discounted: PartShown = Field(
        description="The part with a discount: prices are those of the list, before it."
    )
    num_paying_unknown: int = Field(description="Tenants of whom nobody said whether they pay.")
    churned_mrr_30d_usd: float | None
    churned: PartShown = Field(description="Stopped within 30 days and pays nothing now.")
    churned_by_failed_payment: PartShown = Field(
        description="The part that ended because payments failed: nobody decided to leave."
    )
    churn_labels: list[LabelShown]
    at_risk_mrr_usd: float | None
    at_risk_mrr_pct: float | None = Field(description="Of the MRR.")
    at_risk_by_level: list[LevelShown]
    at_risk_tenants: int = Field(description="On the at-risk list, paying or not.")
    high_risk_count: int = Field(description="Of them with the level critical.")
    silent_churn_count: int
    leaving: PartShown = Field(description="Pays, and is to end: the intent to leave.")
    failing_payments: PartShown = Field(description="Pays, but the newest payment failed.")
    revenue_30d_usd: float | None = Field(
        description="Of tenants with a subscription, in proportion to the time subscribed."
    )
    assumed_30d: PartShown = Field(
        description="What tenants of whom nobody said whether they pay are taken to bring in "
        "their own row; it is not in revenue_30d_usd."
    )
    llm_cost_30d_usd: float | None = Field(description="Known cost of all tenants' model calls.")
    num_calls_without_cost: int = Field(description="Model calls of 30 days; the cost is a floor.")
    margin_30d_usd: float | None
    margin_pct: float | None
    margin_reason: str | None
    risk_flags: list[RiskFlagCount]


class PriceShown(BaseModel):
    """The price of 30 days, and who says so."""

    price_usd: float | None
    source: str = Field(description="event, directory, default or unknown.")
    reason: str | None = Field(
        description="Why it is not known: not_fixed (metered), or in_eur and the like."
    )


class SubscriptionShown(BaseModel):
    """One subscription as billing tells it."""

    subscription_id: str | None
    status: str | None
    is_paid: bool
    is_leaving: bool
    leaves_at: str | None
    ended_at: str | None
    reason: str | None = Field(description="Why it ended, where it was said.")
    payment_failed_at: str | None = Field(description="Null when the newest payment went through.")
    next_attempt_at: str | None
    has_discount: bool


class FlagShown(BaseModel):
    """A risk with its numbers in words."""

    flag: str
    level: str
    message: str


class UnitShown(BaseModel):
    """The economics of one tenant over 30 days; null means unknown."""

    tenant_id: str
    tenant_uuid: str
    paying: str = Field(description="yes, no or unknown; unknown is taken to pay the price.")
    plan: str | None
    price_usd: float | None = Field(description="Of 30 days; of all its subscriptions together.")
    prices: list[PriceShown]
    mrr_usd: float | None
    subscribed_days: float
    revenue_usd: float | None
    llm_cost_usd: float | None
    num_llm_calls: int
    num_calls_without_cost: int
    num_api_calls: int
    num_incidents: int
    num_replays: int
    num_exports: int
    margin_usd: float | None
    margin_pct: float | None
    margin_reason: str | None = Field(description="price_unknown, cost_unknown or no_revenue.")
    risk_flags: list[FlagShown]
    subscriptions: list[SubscriptionShown]


class UnitPage(BaseModel):
    """Tenants, the lowest margin first; those whose margin is not known come last."""

    model_config = ConfigDict(extra="forbid")

    as_of: str
    known_at: str
    computed_at: str
    formula: str
    items: list[UnitShown]
    total: int
    next_cursor: str | None


def revenue_shown(found: RevenueAt, formula: str, now: datetime) -> RevenueShown:
    """Revenue for the wire.

    Args:
        now: the moment of this answer.
    """
    one = found.revenue
    mrr = _mrr(one.mrr)
    at_risk = Part(
        sum(part.num for _, part in one.at_risk),
        sum((part.usd for _, part in one.at_risk), Fraction(0)),
        sum(part.num_without_price for _, part in one.at_risk),
    )
    has_subscriptions = any(unit.paying != "unknown" for unit in found.units)
    reason = None
    if not has_subscriptions:
        mrr, reason = None, NO_ACTIVITY
    elif mrr is None:
        reason = INSUFFICIENT
    flags: dict[tuple[str, str], int] = {}
    for unit in found.units:
        for flag in unit.flags:
            flags[flag.level, flag.name] = flags.get((flag.level, flag.name), 0) + 1
    share = at_risk.usd / one.mrr.usd if mrr and one.mrr.usd else None
    return RevenueShown(
        as_of=format_instant(found.as_of),
        known_at=format_instant(found.known_at or now),
        computed_at=format_instant(now),
        formula=formula,
        mrr_usd=mrr,
        mrr_reason=reason,
        mrr=_part(one.mrr),
        default_price=_part(one.default_price),
        discounted=_part(one.discounted),
        num_paying_unknown=one.num_unknown,
        churned_mrr_30d_usd=_mrr(one.churned) if has_subscriptions else None,
        churned=_part(one.churned),
        churned_by_failed_payment=_part(one.involuntary),
        churn_labels=[
            LabelShown(label=label, **_part(part).model_dump()) for label, part in one.labels
        ],
        at_risk_mrr_usd=_mrr(at_risk) if has_subscriptions else None,
        at_risk_mrr_pct=_pct(share),
        at_risk_by_level=[
            LevelShown(risk_level=level, **_part(part).model_dump()) for level, part in one.at_risk
        ],
        at_risk_tenants=found.num_at_risk,
        high_risk_count=found.num_critical,
        silent_churn_count=found.num_silent,
        leaving=_part(one.leaving),
        failing_payments=_part(one.failing),
        revenue_30d_usd=_usd(one.revenue_usd),
        assumed_30d=_part(one.assumed),
        llm_cost_30d_usd=_usd(one.cost_usd),
        num_calls_without_cost=one.num_calls_without_cost,
        margin_30d_usd=_usd(one.margin_usd),
        margin_pct=_pct(one.margin),
        margin_reason=_total_reason(one),
        risk_flags=[
            RiskFlagCount(flag=name, level=level, num_tenants=num)
            for (level, name), num in sorted(flags.items())
        ],
    )


def _total_reason(one: domain.Revenue) -> str | None:
    if one.margin_usd is None:
        return NO_ACTIVITY if one.revenue_usd is None else "cost_unknown"
    return None if one.margin is not None else "no_revenue"


def units_shown(
    found: Units, page: list[Unit], total: int, cursor: str | None, formula: str, now: datetime
) -> UnitPage:
    """A page of tenants for the wire."""
    return UnitPage(
        as_of=format_instant(found.as_of),
        known_at=format_instant(found.known_at or now),
        computed_at=format_instant(now),
        formula=formula,
        items=[_unit(unit) for unit in page],
        total=total,
        next_cursor=cursor,
    )


def _unit(unit: Unit) -> UnitShown:
    counts = unit.counts
    reason = unit.reason
    if reason is None and unit.margin is None:
        reason = "no_revenue"
    return UnitShown(
        tenant_id=unit.tenant_id,
        tenant_uuid=to_uuid_text(unit.tenant_id),
        paying=unit.paying,
        plan=unit.plan,
        price_usd=_usd(unit.price_usd),
        prices=[
            PriceShown(price_usd=_usd(one.usd), source=one.source, reason=one.reason)
            for one in unit.prices
        ],
        mrr_usd=_usd(unit.mrr_usd),
        subscribed_days=to_float(unit.subscribed_days),
        revenue_usd=_usd(unit.revenue_usd),
        llm_cost_usd=_usd(counts.llm_cost_usd),
        num_llm_calls=counts.num_llm_calls,
        num_calls_without_cost=counts.num_llm_calls - counts.num_llm_costs,
        num_api_calls=counts.num_api_calls,
        num_incidents=counts.num_incidents,
        num_replays=counts.num_replays,
        num_exports=counts.num_exports,
        margin_usd=_usd(unit.margin_usd),
        margin_pct=_pct(unit.margin),
        margin_reason=reason,
        risk_flags=[
            FlagShown(flag=one.name, level=one.level, message=one.text) for one in unit.flags
        ],
        subscriptions=[_subscription(one) for one in unit.subscriptions],
    )


def _subscription(one: Subscribed) -> SubscriptionShown:
    end, failed = one.end, one.failed
    return SubscriptionShown(
        subscription_id=one.subscription_id,
        status=one.status,
        is_paid=one.is_paid,
        is_leaving=one.is_leaving,
        leaves_at=one.leaves_at,
        ended_at=None if end is None else format_instant(end.timestamp),
        reason=None if end is None else end.reason,
        payment_failed_at=None if failed is None else format_instant(failed.timestamp),
        next_attempt_at=None if failed is None else failed.next_attempt_at,
        has_discount=one.has_discount,
    )


def _part(part: Part) -> PartShown:
    return PartShown(
        num_tenants=part.num, mrr_usd=_mrr(part), num_without_price=part.num_without_price
    )


def _mrr(part: Part) -> float | None:
    """Nobody pays 0; some of whom no price is known pay an unknown amount."""
    is_unknown = part.num > 0 and part.num == part.num_without_price
    return None if is_unknown else to_float(part.usd)


def _usd(amount: Fraction | None) -> float | None:
    return None if amount is None else to_float(amount)


def _pct(share: Fraction | None) -> float | None:
    return None if share is None else to_float(share * 100, PCT_PLACES)
