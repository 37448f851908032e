"""What is going to happen to each sample customer, settled before its first event is made."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.simulate.company import PLAN_PRICE_USD, Company, company
from ebbtide.simulate.draws import Draws, Weighted
from ebbtide.simulate.personas import NEVER, PROXY_ONLY, Role, role
from ebbtide.simulate.rhythm import DAY_US, HOUR_US, MINUTE_US, floor_day

#: The regression: this policy gets a new version at a known hour, on two tenants of five.
REGRESSION_POLICY = "CONTENT_ACCURACY"
REGRESSION_FROM_VERSION, REGRESSION_TO_VERSION = "v11", "v12"
ROLLOUT_HOUR = 14  # UTC

FADE_US = 3 * DAY_US  # a decaying tenant gives up its habits within three days
GLANCE_EVERY_DAYS = 3  # and takes one short look every third day from then on
FREEZE_US = 12 * HOUR_US

_plan_of_others = Weighted({"starter": 20, "team": 50, "business": 30})
_zone_hours = Weighted({-8: 8, -5: 20, 0: 24, 1: 32, 2: 8, 8: 8})
_main_model = Weighted({"tidal-small-1": 50, "heath-lite-2": 38, "heath-pro-2": 12})


@dataclass(frozen=True, slots=True)
class Frame:
    """The arguments of one simulation; moments in microseconds since 1970."""

    seed: int
    num_days: int
    start_us: int
    end_us: int
    scale: float

    def before_end(self, days: float) -> int:
        """The moment so many days before the end, squeezed when the window is below 45 days."""
        return self.end_us - int(days * DAY_US) * min(self.num_days, 45) // 45

    @property
    def regression_us(self) -> int:
        """The full hour at which the new version goes live, two and a half days before the end.

        In the busiest hour of that day when the window has room for it: a fault shows sooner.
        """
        moment = self.before_end(2.5)
        rollout = floor_day(moment) + ROLLOUT_HOUR * HOUR_US
        rollout -= DAY_US if rollout > moment else 0
        return rollout if rollout > self.start_us + DAY_US else moment - moment % HOUR_US


@dataclass(frozen=True, slots=True)
class Script:
    """One customer with its part and its key moments; ``None`` where nothing of the kind comes."""

    index: int
    company: Company
    role: Role
    plan: str
    zone_hours: int  #: hours east of UTC at which its people work
    signed_up_us: int
    calls_per_day: float  #: on a full working day, before ``scale``
    model: str
    tokens_in_median: int
    tokens_out_median: int
    is_round_the_clock: bool
    cancelled_us: int | None = None
    decay_us: int | None = None
    silent_us: int | None = None
    frustrated_us: int | None = None
    frozen_us: int | None = None
    model_switch_us: int | None = None
    next_model: str | None = None
    upgraded_us: int | None = None
    next_plan: str | None = None
    regression_us: int | None = None

    @property
    def tenant_id(self) -> str:
        return self.company.tenant_id

    @property
    def replays_from_us(self) -> int:
        """Before this moment it replays nothing."""
        never = "exports_without_replays" in self.role.traits
        days = NEVER if never else self.role.persona.replays_from_day
        return self.signed_up_us + days * DAY_US

    @property
    def exports_from_us(self) -> int:
        """Before this moment it exports nothing."""
        days = 2 if "late_export" in self.role.traits else self.role.persona.exports_from_day
        return self.signed_up_us + days * DAY_US

    def engagement(self, moment_us: int) -> float:
        """Share of its steady number of console sessions at a moment, 0 to 1."""
        if moment_us < self.signed_up_us or _is_past(self.silent_us, moment_us):
            return 0.0
        if self.decay_us is not None and moment_us > self.decay_us:
            return max(0.0, 1 - (moment_us - self.decay_us) / FADE_US)
        if self.cancelled_us is not None:
            days_left = (self.cancelled_us - moment_us) / DAY_US
            return 0.0 if days_left <= 0 else min(1.0, 0.1 + days_left / 12)
        if self.is_aborting(moment_us):
            return 0.6
        return 1.0

    def is_glancing(self, day_us: int) -> bool:
        """Whether a faded customer takes its short look on this UTC day.

        It never stays away for a week: silence is another story than decay.
        """
        if self.decay_us is None:
            return False
        days = (day_us - floor_day(self.decay_us)) // DAY_US
        return days * DAY_US >= FADE_US and days % GLANCE_EVERY_DAYS == 0

    def call_share(self, moment_us: int) -> float:
        """Share of its steady number of proxied calls at a moment, 0 to 1."""
        if self.cancelled_us is None:
            return 1.0
        return min(1.0, max(0.3, (self.cancelled_us - moment_us) / (10 * DAY_US)))

    def is_aborting(self, moment_us: int) -> bool:
        """Whether flows are mostly given up half-way at this moment."""
        return "aborted_flows" in self.role.traits and _is_past(self.frustrated_us, moment_us)

    def is_blocked(self, moment_us: int) -> bool:
        """Whether one policy blocks it again and again at this moment."""
        return "blocked_policy" in self.role.traits and _is_past(self.frustrated_us, moment_us)

    def is_regressed(self, moment_us: int) -> bool:
        """Whether it runs the faulty policy version at this moment."""
        return _is_past(self.regression_us, moment_us)


def _is_past(turning_us: int | None, moment_us: int) -> bool:
    return turning_us is not None and moment_us >= turning_us


def write_script(frame: Frame, index: int) -> Script:
    """Settle the whole story of the customer with this number, counted from 0.

    The answer depends on the frame and the number alone, never on how many customers there are.
    """
    draws = Draws(frame.seed, index, "script")
    part = role(index, draws)
    who = company(index, draws)
    # Drawn for everyone, used by some: one order of draws is easier to keep stable.
    share, jitter = draws.unit(), draws.unit()
    hour_us = int(draws.unit() * 10 * HOUR_US) + 7 * HOUR_US
    window_us = frame.end_us - frame.start_us

    if part.state == "new":
        signed_up = frame.start_us + int(window_us * (0.52 + 0.3 * share))
    else:
        # All others are launch customers of the first six days, old enough to have a past.
        signed_up = frame.start_us + int(min(6 * DAY_US, window_us * 6 // 45) * share) + 1

    calls_per_day = 24 + 54 * draws.unit()
    model, plan = _main_model.at(draws.unit()), _plan_of_others.at(draws.unit())
    tokens_in, tokens_out = 2000 + draws.below(4000), 250 + draws.below(500)
    zone_hours = _zone_hours.at(draws.unit())
    is_hog = "resource_hog" in part.traits
    if is_hog:
        calls_per_day, model, plan = 1200.0, "tidal-large-1", "enterprise"
        tokens_in, tokens_out = 1000, 420
    if "negative_margin" in part.traits:
        calls_per_day, model, plan = 110.0, "tidal-large-1", "starter"
        tokens_in, tokens_out = 5200, 900
    if "upgraded" in part.traits:
        plan = "team"

    cancelled = decay = silent = frustrated = None
    if part.state == "cancelled":
        cancelled = frame.before_end(2 + 10 * jitter)
    elif part.state == "decaying":
        # On a full UTC day, so that "falling from the 3rd on" is true as it is written.
        decay = max(floor_day(frame.before_end(11 + 2 * jitter)), signed_up + HOUR_US)
    elif "certs_only" in part.traits:
        silent = signed_up + DAY_US
    elif part.state == "silent":
        silent = frame.before_end(9 + 4 * jitter)
    elif part.state == "frustrated":
        frustrated = floor_day(frame.before_end(9))

    frozen = switched = upgraded = next_model = next_plan = None
    if decay is not None and "frozen" in part.traits:
        frozen = decay - 2 * DAY_US + hour_us
    if decay is not None and "model_switch" in part.traits:
        switched = decay - DAY_US + hour_us
        next_model = "heath-pro-2" if model != "heath-pro-2" else "tidal-small-1"
    if "upgraded" in part.traits:
        upgraded, next_plan = signed_up + (frame.end_us - signed_up) // 2, "business"

    has_incidents = part.persona is not PROXY_ONLY
    is_there = cancelled is None or cancelled > frame.regression_us
    is_affected = index % 5 < 2 and has_incidents and is_there
    return Script(
        index=index,
        company=who,
        role=part,
        plan=plan,
        zone_hours=zone_hours,
        signed_up_us=signed_up,
        calls_per_day=calls_per_day,
        model=model,
        tokens_in_median=tokens_in,
        tokens_out_median=tokens_out,
        is_round_the_clock=is_hog,
        cancelled_us=cancelled,
        decay_us=decay,
        silent_us=silent,
        frustrated_us=frustrated,
        frozen_us=_inside(frozen, signed_up),
        model_switch_us=_inside(switched, signed_up),
        next_model=next_model,
        upgraded_us=upgraded,
        next_plan=next_plan,
        regression_us=frame.regression_us if is_affected else None,
    )


def _inside(moment_us: int | None, signed_up_us: int) -> int | None:
    """The moment, or None when a short window puts it before the sign-up."""
    return moment_us if moment_us is not None and moment_us > signed_up_us + MINUTE_US else None


def price_usd(plan: str) -> int:
    """Price of a plan in USD per 30 days."""
    return PLAN_PRICE_USD[plan]
