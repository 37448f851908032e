"""The numbers of the learners' formulas: each is written here and nowhere else."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

# churn_risk/2
SILENCE_WEIGHT = Decimal("0.6")
GAP_WEIGHT = Decimal("0.25")
GAP_FULL_DAYS = 7  # a mean gap of a week or more weighs in full
RARITY_WEIGHT = Decimal("0.15")
SESSIONS_FULL = 10  # so many sessions or more weigh nothing
HISTORY = timedelta(days=56)  # over which sessions count; whoever is silent for longer has S = 1

#: Above this a learner is at high risk, and somebody is told.
HIGH_RISK = 0.7

# goal_probability/2
OBSERVATION_VARIANCE_MIN = 0.01  # of scores in units of the population's deviation

#: Stored values have so many decimals: enough for any use, and 0.7 is 0.7.
STORED_DECIMALS = 12


def week_of(as_of: datetime) -> date:
    """The Monday of the ISO week in which a moment (UTC) lies."""
    return as_of.date() - timedelta(days=as_of.weekday())
