"""The state machine of the pulse: counts and thresholds in, a state with its reasons out.

Pure functions. Comparisons are decided on exact fractions; percent appear in texts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from ebbtide.catalog.pulse import Threshold
from ebbtide.signals.rounding import to_whole

WINDOW_WORDS = "24 hours"


class State(StrEnum):
    """How the business is; the first that holds, in this order, counts."""

    UNKNOWN = "UNKNOWN"
    ACTIVE_FAILURE = "ACTIVE_FAILURE"
    SILENT_DEGRADATION = "SILENT_DEGRADATION"
    STABLE = "STABLE"


#: What a critical alert of each kind means. Something above its limit fails now; something that
#: falls is how customers leave.
_STATE_OF_KIND = {
    "above": State.ACTIVE_FAILURE,
    "drop": State.SILENT_DEGRADATION,
    "spike": State.SILENT_DEGRADATION,
    "silent": State.SILENT_DEGRADATION,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A count of a window beside that of the one before, and of the same one a week earlier."""

    current: int
    previous: int
    last_week: int

    @property
    def share(self) -> Fraction | None:
        """(current - previous) / previous; None when there is nothing to compare with."""
        return _share(self.current, self.previous)

    @property
    def share_week(self) -> Fraction | None:
        """The same against last week."""
        return _share(self.current, self.last_week)

    @property
    def reason(self) -> str | None:
        """Why there is no share: ``new`` or ``no_activity``."""
        return _reason(self.current, self.previous)

    @property
    def reason_week(self) -> str | None:
        """The same against last week."""
        return _reason(self.current, self.last_week)


def _share(current: int, before: int) -> Fraction | None:
    return Fraction(current - before, before) if before > 0 else None


def _reason(current: int, before: int) -> str | None:
    if before > 0:
        return None
    return "new" if current > 0 else "no_activity"


@dataclass(frozen=True, slots=True)
class Sample:
    """How full a resource was at a moment, in its own unit."""

    resource: str
    at: datetime
    used: Fraction
    limit: Fraction

    @property
    def saturation(self) -> Fraction:
        """Used of the limit, as a fraction; the limit is above 0."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class Producer:
    """Who sends events.

    Attributes:
        source: its name, as its events have it.
        newest_at: timestamp of its newest event.
        newest_received_at: when its newest event came.
        num_24h: events of 24 hours.
        num_now: events of the last 3 hours.
        num_before: events of the same 3 hours 1, 2, ... 7 days earlier; zeros when nobody looked,
            because it is there now.
    """

    source: str
    newest_at: datetime
    newest_received_at: datetime
    num_24h: int
    num_now: int
    num_before: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the stores said; counts are of 24 hours.

    Attributes:
        as_of: the moment.
        newest_at: timestamp of the newest event of 24 hours; None when there is none.
        counts: by name of the threshold that looks at them.
        num_events: events of any type; 0 means that nothing was seen.
        num_llm_calls, num_llm_failed: all calls, and the failed ones among them.
        samples: the newest one of each resource.
        blind: for each probe that cannot look its name and why.
    """

    as_of: datetime
    newest_at: datetime | None
    counts: dict[str, Change]
    num_events: int
    num_llm_calls: int
    num_llm_failed: int
    samples: tuple[Sample, ...]
    producers: tuple[Producer, ...]
    blind: tuple[tuple[str, str | None], ...] = ()

    @property
    def llm_failure_rate(self) -> Fraction | None:
        """Failed calls of all calls; None without a call."""
        if self.num_llm_calls == 0:
            return None
        return Fraction(self.num_llm_failed, self.num_llm_calls)

    @property
    def infra_saturation(self) -> Fraction | None:
        """That of the fullest resource; None without a sample."""
        return max((sample.saturation for sample in self.samples), default=None)


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that is passed; ``weight`` is how many times over."""

    name: str
    level: str
    text: str
    state: State | None  # what it makes of the state; None for a warning
    weight: Fraction


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state and why."""

    state: State
    reasons: tuple[str, ...]
    alerts: tuple[Alert, ...]


class _Finding(NamedTuple):
    """What is beyond a threshold, in words, how many times over, and whether it is an alarm."""

    text: str
    weight: Fraction
    is_alarming: bool = True


def judge(
    reading: Reading | None, thresholds: Sequence[Threshold] | None, stale_after: timedelta
) -> Verdict:
    """The state at a moment.

    Args:
        reading: None when the event store cannot answer.
        thresholds: None when the state store cannot answer.
        stale_after: without any event for longer than that nobody knows the state.

    Returns:
        Reasons are never empty; what weighs most comes first. Without a reading there are no
        alerts either: nothing is known.
    """
    if reading is None:
        return Verdict(State.UNKNOWN, ("The event store cannot answer.",), ())
    if thresholds is None:
        text = "The state store cannot answer, so nobody can say which thresholds hold."
        return Verdict(State.UNKNOWN, (text,), ())
    alerts: list[Alert] = []
    remarks: list[str] = []
    for threshold in thresholds:
        if threshold.is_enabled:
            for found in _findings(reading, threshold):
                if found.is_alarming:
                    alerts.append(_alert(threshold, found))
                else:
                    remarks.append(found.text)
    order = [*State, None]
    # Stable: of equals the order of the rules.
    alerts.sort(key=lambda one: (one.level != "critical", order.index(one.state), -one.weight))
    remarks += [
        f"{probe} cannot be looked at ({why or 'no reason given'}): how full it is is not known."
        for probe, why in reading.blind
    ]
    told = [alert.text for alert in alerts] + remarks
    silence = _silence_of_all(reading, stale_after)
    if silence is not None:
        return Verdict(State.UNKNOWN, (silence, *told), tuple(alerts))
    reached = [alert.state for alert in alerts if alert.state is not None]
    state = next((one for one in State if one in reached), State.STABLE)
    return Verdict(state, tuple(told or ["Nothing has passed a threshold."]), tuple(alerts))


def _silence_of_all(reading: Reading, stale_after: timedelta) -> str | None:
    """Why nobody can know, when events have stopped; None when they come."""
    if reading.num_events == 0 or reading.newest_at is None:
        return f"No event in {WINDOW_WORDS}: either nothing happens, or nothing reaches us."
    if reading.as_of - reading.newest_at <= stale_after:
        return None
    hours = (reading.as_of - reading.newest_at) // timedelta(hours=1)
    return (
        f"No event for {hours} hours, the newest is of {_minute(reading.newest_at)}: either nothing"
        " happens, or nothing reaches us. The numbers say how it was until then."
    )


def _alert(threshold: Threshold, found: _Finding) -> Alert:
    state = _STATE_OF_KIND[threshold.kind] if threshold.level == "critical" else None
    return Alert(threshold.name, threshold.level, found.text, state, found.weight)


def _findings(reading: Reading, threshold: Threshold) -> Iterable[_Finding]:
    """What is beyond a threshold."""
    match threshold.kind:
        case "drop" | "spike":
            yield from _moved(reading.counts[threshold.name], threshold)
        case "silent":
            for producer in reading.producers:
                if is_silent(producer, threshold):
                    yield _Finding(_silence(producer), Fraction(1))
        case "above" if threshold.name == "llm_failure_rate":
            rate = reading.llm_failure_rate
            if rate is not None and rate > threshold.than:
                text = (
                    f"{reading.num_llm_failed} of {reading.num_llm_calls} LLM calls failed "
                    f"({_pct(rate)} %)"
                )
                is_enough = reading.num_llm_calls >= threshold.min_baseline
                yield _told(text, rate / threshold.than, is_enough, "calls")
        case "above":
            for sample in reading.samples:
                if sample.saturation > threshold.than:
                    text = f"{sample.resource} is {_pct(sample.saturation)} % full."
                    yield _Finding(text, sample.saturation / threshold.than)


def _moved(change: Change, threshold: Threshold) -> Iterable[_Finding]:
    share = change.share
    if share is None:
        return
    is_drop = threshold.kind == "drop"
    if not (-share if is_drop else share) > threshold.than:
        return
    text = (
        f"{threshold.title} {'fell' if is_drop else 'rose'} by {_pct(abs(share))} % against the "
        f"{WINDOW_WORDS} before ({change.current} after {change.previous})"
    )
    is_enough = change.previous >= threshold.min_baseline
    yield _told(text, abs(share) / threshold.than, is_enough, "to compare with")


def _told(text: str, weight: Fraction, is_enough: bool, what: str) -> _Finding:
    if is_enough:
        return _Finding(f"{text}.", weight)
    return _Finding(f"{text}: too few {what} for an alarm.", weight, is_alarming=False)


def _silence(producer: Producer) -> str:
    newest = _minute(producer.newest_at)
    return f"{producer.source} has gone silent: its newest event is of {newest}."


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def is_silent(producer: Producer, threshold: Threshold) -> bool:
    """Whether a producer is usually there at this time of day, and is not now.

    The same weekday one week earlier must be among the days on which it was there: a producer
    that rests at weekends is not missed on a Saturday.
    """
    days = [num >= threshold.min_baseline for num in producer.num_before]
    usual = Fraction(sum(days), len(days)) >= threshold.than
    return producer.num_now == 0 and days[-1] and usual


def _pct(share: Fraction) -> int:
    return to_whole(share * 100)


def percentile(counts: Sequence[tuple[int, int]], share: Fraction) -> Fraction | None:
    """A percentile by linear interpolation between the two nearest values, exact.

    Args:
        counts: ``(value, how often)``, values ascending.
        share: 0.95 for the 95th percentile; 0 to 1.

    Returns:
        None when there is no value.

    Example:
        >>> percentile([(10, 1), (20, 1)], Fraction(95, 100))
        Fraction(39, 2)
    """
    total = sum(num for _, num in counts)
    if total == 0:
        return None
    place = share * (total - 1)
    lower = place.numerator // place.denominator
    below, above = _nth(counts, lower), _nth(counts, min(lower + 1, total - 1))
    return below + (place - lower) * (above - below)


def _nth(counts: Iterable[tuple[int, int]], place: int) -> Fraction:
    seen = 0
    for value, num in counts:
        seen += num
        if seen > place:
            return Fraction(value)
    raise IndexError(place)


def age_s(at: datetime, as_of: datetime) -> int:
    """Full seconds that have gone by."""
    return (as_of - at) // timedelta(seconds=1)
