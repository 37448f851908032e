"""The rules of revenue as their definition gives them: from where on a customer is a risk."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ebbtide.catalog.definition import Definition


@dataclass(frozen=True, slots=True)
class RevenueRule:
    """Thresholds; exactly at one of them is not yet a risk.

    Attributes:
        share_above: a fraction of all model costs, or of all API calls.
        share_min_tenants: with fewer tenants that use the resource nobody is flagged.
        calls_times_median: API calls, in medians of the others.
    """

    formula: str
    share_above: Fraction
    share_min_tenants: int
    calls_times_median: Fraction


def read_revenue(one: Definition) -> RevenueRule:
    """Read the definition.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    rule = RevenueRule(
        formula=one.text("formula"),
        share_above=one.number("share_above"),
        share_min_tenants=one.whole("share_min_tenants"),
        calls_times_median=one.number("calls_times_median"),
    )
    one.close()
    return rule
