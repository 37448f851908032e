"""Tells whether a new version of a policy is worse than the one before it, beyond chance.

Pure functions of counts. Tenants that ran both versions are compared; where none did, all that
ran either one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

from ebbtide.catalog.incidents import RegressionRule
from ebbtide.signals.chance import p_more_often, p_more_severe


class Calls(NamedTuple):
    """Calls that a version checked for a tenant; a row of ``policy_version_calls``."""

    tenant_id: str
    policy_id: str
    version: str
    num: int
    first_at: datetime


class Incidents(NamedTuple):
    """Incidents of a version at a tenant; a row of ``policy_version_incidents``."""

    tenant_id: str
    policy_id: str
    version: str
    severity: int | None
    num: int
    num_fired: int
    first_at: datetime


Row = TypeVar("Row", Calls, Incidents)


@dataclass(frozen=True, slots=True)
class Side:
    """One version on the tenants that are compared.

    ``num_fired`` are the incidents on which the policy may have fired; the others were caused by
    something else on a call that it checked, and are no part of its rate.
    """

    version: str
    num_calls: int
    num_incidents: int
    num_fired: int
    severities: Mapping[int, int]

    @property
    def rate(self) -> Fraction | None:
        """Incidents of the policy a call; None without a call."""
        return Fraction(self.num_fired, self.num_calls) if self.num_calls else None

    @property
    def mean_severity(self) -> Fraction | None:
        """None when no severity is known."""
        num = sum(self.severities.values())
        if num == 0:
            return None
        return Fraction(sum(value * times for value, times in self.severities.items()), num)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A new version beside the one before it.

    Attributes:
        first_seen_at: the first call or incident of the new version.
        exposed: ``both`` when tenants ran both versions, else ``either``.
        tenants: those that are compared.
        affected: tenants with incidents of the new version, the most first.
        p_rate, p_severity: of chance alone; None when there is nothing to compare.
        level: below which a p counts, corrected for the number of policies compared.
        found_by: ``rate``, ``severity``, both, or none.
    """

    policy_id: str
    new: Side
    old: Side
    first_seen_at: datetime
    exposed: str
    tenants: frozenset[str]
    affected: tuple[tuple[str, int], ...]
    p_rate: float | None
    p_severity: float | None
    level: float
    found_by: tuple[str, ...]

    @property
    def is_regression(self) -> bool:
        """Whether the new version is worse."""
        return bool(self.found_by)


def compare_versions(
    calls: Sequence[Calls], incidents: Sequence[Incidents], as_of: datetime, rule: RegressionRule
) -> list[Comparison]:
    """Every new version against the one before it, regressions first.

    Args:
        calls, incidents: of 14 days up to ``as_of``.

    Returns:
        Empty when no policy has a version first seen within the days of the rule, with another
        one before it.
    """
    ran = _by_version(calls)
    happened = _by_version(incidents)
    pairs = _pairs(ran, happened, as_of - timedelta(days=rule.new_within_days))
    level = float(rule.significance) / max(1, len({policy_id for policy_id, *_ in pairs}))
    found = []
    for policy_id, new, old, first_at in pairs:
        of = {
            version: (ran.get((policy_id, version), []), happened.get((policy_id, version), []))
            for version in (new, old)
        }
        tenants = {
            version: {one.tenant_id for one in chain[Calls | Incidents](*rows)}
            for version, rows in of.items()
        }
        both = tenants[new] & tenants[old]
        exposed = frozenset(both or tenants[new] | tenants[old])
        sides = {
            version: Side(
                version,
                sum(one.num for one in theirs if one.tenant_id in exposed),
                *_counted(one for one in bad if one.tenant_id in exposed),
            )
            for version, (theirs, bad) in of.items()
        }
        affected: Counter[str] = Counter()
        for one in of[new][1]:
            affected[one.tenant_id] += one.num
        ranked = tuple(sorted(affected.items(), key=lambda pair: (-pair[1], pair[0])))
        p_rate, p_severity, found_by = judge_sides(sides[new], sides[old], level, rule)
        found.append(
            Comparison(
                policy_id,
                sides[new],
                sides[old],
                first_at,
                "both" if both else "either",
                exposed,
                ranked,
                p_rate,
                p_severity,
                level,
                found_by,
            )
        )
    found.sort(key=lambda one: (not one.is_regression, one.policy_id, one.first_seen_at))
    return found


def judge_sides(
    new: Side, old: Side, level: float, rule: RegressionRule
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """Both chances, and which of them call it a regression."""
    p_rate = p_severity = None
    if new.num_calls and old.num_calls:
        p_rate = p_more_often(new.num_fired, new.num_calls, old.num_fired, old.num_calls)
    before, after = old.mean_severity, new.mean_severity
    if before is not None and after is not None:
        p_severity = p_more_severe(new.severities, old.severities)
    found = []
    if p_rate is not None and p_rate < level and new.num_fired >= rule.min_incidents:
        found.append("rate")
    rises = before is not None and after is not None and after - before > rule.severity_rise
    is_likely = p_severity is not None and p_severity < level
    if rises and is_likely and new.num_incidents >= rule.min_incidents:
        found.append("severity")
    return p_rate, p_severity, tuple(found)


def _by_version(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by policy and version."""
    found: dict[tuple[str, str], list[Row]] = {}
    for one in rows:
        found.setdefault((one.policy_id, one.version), []).append(one)
    return found


def _pairs(
    calls: Mapping[tuple[str, str], list[Calls]],
    incidents: Mapping[tuple[str, str], list[Incidents]],
    new_since: datetime,
) -> list[tuple[str, str, str, datetime]]:
    """``(policy, new version, the version before it, first seen)`` of every new version."""
    first: dict[str, dict[str, datetime]] = {}
    for rows in (calls, incidents):
        for (policy_id, version), ones in rows.items():
            versions = first.setdefault(policy_id, {})
            at = min(one.first_at for one in ones)
            versions[version] = min(at, versions.get(version, at))
    pairs = []
    for policy_id, versions in sorted(first.items()):
        for version, at in versions.items():
            earlier = [(when, name) for name, when in versions.items() if when < at]
            if at > new_since and earlier:
                pairs.append((policy_id, version, max(earlier)[1], at))
    return pairs


def _counted(incidents: Iterable[Incidents]) -> tuple[int, int, dict[int, int]]:
    """How many incidents, of the policy itself, and of each known severity."""
    total, fired, severities = 0, 0, Counter[int]()
    for one in incidents:
        total += one.num
        fired += one.num_fired
        if one.severity is not None:
            severities[one.severity] += one.num
    return total, fired, dict(severities)


class Happened(NamedTuple):
    """An incident of the new or the old version; severity None when it was not said."""

    at: datetime
    is_new: bool
    severity: int | None
    has_fired: bool = True


def first_shown(
    comparison: Comparison,
    calls: Sequence[tuple[datetime, bool]],
    incidents: Sequence[Happened],
    rule: RegressionRule,
) -> datetime | None:
    """The moment of the incident at which the regression first showed.

    Args:
        comparison: as of now, a regression.
        calls, incidents: on the tenants compared, since the new version was first seen, oldest
            first; of a call its moment and whether the new version checked it.

    Returns:
        None when it shows only by what came after the last incident.
    """
    new, old = comparison.new, comparison.old
    calls_new = calls_old = 0
    later_old = sum(not is_new for _, is_new in calls)
    old_later = [one for one in incidents if not one.is_new]
    num_new, num_old = 0, old.num_incidents - len(old_later)
    fired_new, fired_old = 0, old.num_fired - sum(one.has_fired for one in old_later)
    seen_new: Counter[int] = Counter()
    seen_old = Counter(old.severities)
    seen_old.subtract(Counter(one.severity for one in old_later if one.severity is not None))
    place = 0
    for one in incidents:
        while place < len(calls) and calls[place][0] <= one.at:
            calls_new += calls[place][1]
            calls_old += not calls[place][1]
            place += 1
        if one.is_new:
            num_new += 1
            fired_new += one.has_fired
        else:
            num_old += 1
            fired_old += one.has_fired
        if one.severity is not None:
            (seen_new if one.is_new else seen_old)[one.severity] += 1
        if one.is_new:
            so_far = Side(new.version, calls_new, num_new, fired_new, dict(+seen_new))
            num_calls = old.num_calls - later_old + calls_old
            before = Side(old.version, num_calls, num_old, fired_old, dict(+seen_old))
            if judge_sides(so_far, before, comparison.level, rule)[2]:
                return one.at
    return None


@dataclass(frozen=True, slots=True)
class DayRise:
    """A policy whose mean severity rose from one UTC day with incidents to the next one."""

    policy_id: str
    day: datetime
    before: datetime
    mean_severity: Fraction
    rise: Fraction
    num_incidents: int


class DaySum(NamedTuple):
    """Incidents of a policy on a UTC day whose severity is known, and the sum of it."""

    policy_id: str
    day: datetime
    num: int
    severity: int


def day_over_day(sums: Iterable[DaySum], rule: RegressionRule) -> list[DayRise]:
    """Days on which a policy's mean severity rose by more than the rule says, newest first.

    A view to look at, without a test against chance: few incidents swing widely.

    Args:
        sums: at most one of a policy and day, each with at least one incident.
    """
    by_policy: dict[str, list[DaySum]] = {}
    for one in sorted(sums):
        by_policy.setdefault(one.policy_id, []).append(one)
    rises = []
    for policy_id, days in by_policy.items():
        for before, one in pairwise(days):
            mean = Fraction(one.severity, one.num)
            rise = mean - Fraction(before.severity, before.num)
            if rise > rule.severity_rise:
                rises.append(DayRise(policy_id, one.day, before.day, mean, rise, one.num))
    rises.sort(key=lambda one: (-one.day.timestamp(), -one.rise, one.policy_id))
    return rises
