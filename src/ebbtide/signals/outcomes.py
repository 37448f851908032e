"""What comes of suggestions: which are made anew, when a window closes, how good a playbook is.

Everything here is a pure function of rows and moments; nothing is read and nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.intervention import Effect, Intervention, State

#: Below this many closed windows no rate is shown: it would say more about chance than about us.
ENOUGH = 10
#: 90 % of a normal distribution lie between minus and plus this.
Z_90 = 1.6448536269514722


Key = tuple[str, str]  #: tenant UUID and rule: what makes it the same suggestion


@dataclass(frozen=True, slots=True)
class Plan:
    """What one look at all tenants changes."""

    new: tuple[Key, ...]
    changed: tuple[Intervention, ...]


def plan(suggested: Iterable[Key], holding: Iterable[Intervention], at: datetime) -> Plan:
    """Compare what holds now with what held before.

    Args:
        suggested: tenant UUID and rule of everything that the rules suggest at ``at``.
        holding: rows whose reason held when it was last looked at, oldest first.
        at: the moment.

    Returns:
        What is suggested anew, in the order given and each once, and the rows whose reason holds
        no longer. Looking twice at the same moment changes nothing the second time.
    """
    now = dict.fromkeys(suggested)
    newest: dict[Key, Intervention] = {}
    changed = []
    for row in holding:
        key = row.suggestion.key
        if key in now:
            newest[key] = row
        else:
            changed.append(row.end(at))
    new = tuple(key for key in now if key not in newest or newest[key].may_be_suggested_again(at))
    return Plan(new, tuple(changed))


def happened(last_at: datetime | None, start: datetime) -> bool:
    """Whether an event came after a window's start, which itself is outside of it.

    Args:
        last_at: the newest event of the types in question; None when there is none.
    """
    return last_at is not None and last_at > start


def has_fallen(num: int, num_before: int, fall_percent: int) -> bool:
    """Whether a count fell by at least so many percent against the same time before.

    Returns:
        False when there was nothing before: nothing cannot fall.
    """
    return num_before > 0 and num * 100 <= num_before * (100 - fall_percent)


def settle(
    start: datetime, window: timedelta, at: datetime, is_reached: bool
) -> tuple[Effect, datetime] | None:
    """How a window stands at a moment.

    Args:
        start: its open end; the other one is ``start + window``.
        at: the moment that ``is_reached`` speaks of, at most the end.
        is_reached: whether the success has been seen up to that moment.

    Returns:
        The effect and the moment that settled it; None while it is open.
    """
    if is_reached:
        return Effect.SUCCESS, at
    return (Effect.FAILURE, at) if at >= start + window else None


def close(row: Intervention, name: str, settled: tuple[Effect, datetime]) -> Intervention:
    """A row with one of its two windows closed; ``name`` as in ``open_windows``."""
    effect, at = settled
    if name == "effect":
        return replace(row, effect=effect, effect_closed_at=at)
    return replace(row, alone_effect=effect, alone_closed_at=at)


@dataclass(frozen=True, slots=True)
class Rate:
    """Successes among closed windows, and between which bounds the rate lies with 90 %.

    The three numbers are fractions; None while there are fewer than :data:`ENOUGH` windows.
    """

    num: int
    num_success: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of one playbook's suggestions.

    ``difference`` is the rate of those done minus the rate of those left alone, with its bounds;
    None unless both have enough. It compares customers that were chosen, not drawn by lot.
    """

    playbook_id: str
    num_suggested: int
    num_open: int
    num_accepted: int
    num_dismissed: int
    num_done: int
    num_lapsed: int
    dismissed_by_reason: dict[str, int]
    done: Rate
    left_alone: Rate
    difference: tuple[float, float, float] | None

    @property
    def verdict(self) -> str:
        """What the comparison says in words, and no more than it can say."""
        if self.difference is None:
            return "not enough data yet"
        _, low, high = self.difference
        if low > 0:
            return "better than leaving them alone"
        return "worse than leaving them alone" if high < 0 else "no clear difference"


def wilson(num_success: int, num: int) -> tuple[float, float]:
    """The 90 % score interval of a rate (Wilson), which stays inside 0 to 1 for small numbers.

    Args:
        num_success: at most ``num``.
        num: at least 1.
    """
    rate = num_success / num
    z2 = Z_90 * Z_90
    centre = rate + z2 / (2 * num)
    half = Z_90 * math.sqrt(rate * (1 - rate) / num + z2 / (4 * num * num))
    whole = 1 + z2 / num
    low = 0.0 if num_success == 0 else max(0.0, (centre - half) / whole)
    high = 1.0 if num_success == num else min(1.0, (centre + half) / whole)
    return low, high


def to_rate(effects: Sequence[Effect]) -> Rate:
    """The rate of success among closed windows."""
    num, num_success = len(effects), sum(one is Effect.SUCCESS for one in effects)
    if num < ENOUGH:
        return Rate(num, num_success, None, None, None)
    low, high = wilson(num_success, num)
    return Rate(num, num_success, num_success / num, low, high)


def difference(one: Rate, other: Rate) -> tuple[float, float, float] | None:
    """One rate minus another, with 90 % bounds made of both intervals (Newcombe's way)."""
    if one.rate is None or other.rate is None:
        return None
    assert one.low is not None and one.high is not None
    assert other.low is not None and other.high is not None
    middle = one.rate - other.rate
    low = middle - math.hypot(one.rate - one.low, other.high - other.rate)
    high = middle + math.hypot(one.high - one.rate, other.rate - other.low)
    return middle, low, high


def summarise(playbook_id: str, rows: Iterable[Intervention]) -> Summary:
    """What became of a playbook's suggestions.

    One customer counts once in the same stretch of time: of windows of one tenant that overlap
    only the first is counted, or a customer who goes back and forth would be many.

    Args:
        rows: of this playbook, any order.
    """
    mine = sorted(rows, key=lambda row: (row.suggested_at, row.id))
    reasons: dict[str, int] = {}
    for row in mine:
        if row.dismiss_reason is not None:
            reasons[row.dismiss_reason] = reasons.get(row.dismiss_reason, 0) + 1
    done = to_rate(
        _apart([(r.tenant_id, r.done_at, r.window, r.effect) for r in mine if r.done_at])
    )
    alone = to_rate(
        _apart(
            [
                (r.tenant_id, r.suggested_at, r.window, r.alone_effect)
                for r in mine
                if r.was_left_alone
            ]
        )
    )
    states = [row.state for row in mine]
    return Summary(
        playbook_id=playbook_id,
        num_suggested=len(mine),
        num_open=sum(row.is_open for row in mine),
        num_accepted=sum(row.accepted_at is not None for row in mine),
        num_dismissed=states.count(State.DISMISSED),
        num_done=states.count(State.DONE),
        num_lapsed=states.count(State.LAPSED),
        dismissed_by_reason=dict(sorted(reasons.items())),
        done=done,
        left_alone=alone,
        difference=difference(done, alone),
    )


def _apart(
    windows: Iterable[tuple[str, datetime | None, timedelta | None, Effect | None]],
) -> list[Effect]:
    """Effects of closed windows, left out those that overlap an earlier one of the tenant."""
    free_from: dict[str, datetime] = {}
    kept = []
    begun = [(start, tenant, window, effect) for tenant, start, window, effect in windows if start]
    for start, tenant_id, window, effect in sorted(begun, key=lambda one: one[0]):
        tenant = to_uuid_text(tenant_id)
        if window is None or start < free_from.get(tenant, start):
            continue
        free_from[tenant] = start + window
        if effect is not None:
            kept.append(effect)
    return kept
