"""The sample company as a pure function of its arguments: events in time order, and the truth."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from ebbtide.simulate.event import Fields
from ebbtide.simulate.investigation import Investigation
from ebbtide.simulate.lifecycle import lifecycle_events
from ebbtide.simulate.redis_growth import RedisGrowth
from ebbtide.simulate.rhythm import DAY_US, floor_day, instant_text, to_us
from ebbtide.simulate.script import Frame, Script, price_usd, write_script
from ebbtide.simulate.traffic import Traffic
from ebbtide.simulate.truth import write_truth

SCALE_MIN = 0.5  # fewer calls could not carry the incidents of the stories
SCALE_MAX = 1000

_timestamp = itemgetter("timestamp")


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated LLM-proxy business; iterating it makes its events, each time the same ones."""

    num_days: int
    tenants: list[dict[str, Any]]  #: the tenant directory, one JSON object a customer
    truth: dict[str, Any]  #: what was scripted; see docs/explanation/sample-company.md
    _frame: Frame
    _scripts: list[Script]
    _redis: RedisGrowth

    def __iter__(self) -> Iterator[Fields]:
        """All events, oldest first; customers are in directory order at equal times."""
        for events in self.batches():
            yield from events

    def batches(self) -> Iterator[list[Fields]]:
        """The same events, one list per UTC day, oldest first; a list may be empty.

        Only one day is held in memory, with what already reaches into later days.
        """
        frame = self._frame
        lives = [_Life(frame, script, self._redis) for script in self._scripts]
        end_text = instant_text(frame.end_us)
        ahead: list[Fields] = []
        for day_us in range(floor_day(frame.start_us), frame.end_us + 1, DAY_US):
            events = ahead
            for life in lives:
                life.day(day_us, events)
            events.sort(key=_timestamp)  # stable, and the text order is the time order
            known = bisect_right(events, end_text, key=_timestamp)
            split = bisect_left(events, instant_text(day_us + DAY_US), hi=known, key=_timestamp)
            ahead = events[split:known]
            yield events[:split]


class _Life:
    """One customer as it goes through the window, day by day."""

    def __init__(self, frame: Frame, script: Script, redis: RedisGrowth) -> None:
        self._script = script
        self._traffic = Traffic(frame, script, redis)
        self._investigation = Investigation(frame, script)
        self._lifecycle = lifecycle_events(frame, script)

    def day(self, day_us: int, out: list[Fields]) -> None:
        """Append the events that begin on one UTC day, in no order."""
        cancelled_us = self._script.cancelled_us
        if cancelled_us is None or day_us < cancelled_us:
            events: list[Fields] = []
            incidents = self._traffic.day(day_us, events)
            self._investigation.day(day_us, incidents, events)
            if cancelled_us is not None:
                cancelled = instant_text(cancelled_us)
                events = [event for event in events if event["timestamp"] < cancelled]
            out.extend(events)
        day_text, next_text = instant_text(day_us), instant_text(day_us + DAY_US)
        out.extend(e for e in self._lifecycle if day_text <= e["timestamp"] < next_text)


def simulate(
    seed: int, num_tenants: int, num_days: int, end: datetime, scale: float = 1.0
) -> Simulation:
    """Write the story of a sample company; its events are made when the answer is iterated.

    Args:
        seed: any whole number; equal arguments give equal bytes on every machine.
        num_tenants: customers, at least 1. More of them leave the first ones as they were.
        num_days: length of the window, at least 1; stories show in full from 45 on.
        end: end of the window ``(end - num_days, end]``, with a time zone.
        scale: proxied calls per call of the plain company. Tokens a call shrink in step, so that
            money and stories stay the same. 60 customers in 45 days at 1.0: about 470,000 events.

    Raises:
        ValueError: an argument is outside these bounds.
    """
    if end.tzinfo is None:
        raise ValueError("the end of the simulation needs a time zone")
    if num_tenants < 1 or num_days < 1:
        raise ValueError("a simulation needs at least one tenant and one day")
    if not SCALE_MIN <= scale <= SCALE_MAX:
        raise ValueError(f"the scale of a simulation lies between {SCALE_MIN} and {SCALE_MAX}")
    end_us = to_us(end)
    frame = Frame(seed, num_days, end_us - num_days * DAY_US, end_us, scale)
    redis = RedisGrowth.over(frame)
    scripts = [write_script(frame, index) for index in range(num_tenants)]
    return Simulation(
        num_days=num_days,
        tenants=[_directory_entry(script) for script in scripts],
        truth=write_truth(frame, scripts, redis),
        _frame=frame,
        _scripts=scripts,
        _redis=redis,
    )


def _directory_entry(script: Script) -> dict[str, Any]:
    plan = script.next_plan or script.plan
    return {
        "tenant_id": script.tenant_id,
        "name": script.company.name,
        "plan": plan,
        "price_usd": price_usd(plan),
        "started": instant_text(script.signed_up_us),
        "cancelled": None if script.cancelled_us is None else instant_text(script.cancelled_us),
        "contacts": list(script.company.contacts),
    }
