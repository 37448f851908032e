"""The Redis of the sample proxy: it grows evenly and passes 80 % shortly before the end."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.simulate.rhythm import DAY_US, HOUR_US
from ebbtide.simulate.script import Frame

RESOURCE = "redis_memory"
LIMIT_KB = 256 * 1024
ALARM_PERCENT = 80  # a producer speaks up from here on, not below
END_LEVEL_KB = LIMIT_KB * 82 // 100
GROWTH_KB_PER_DAY = 3_277  # about 3.2 MB: a quarter full at the start of 45 days
SWING_KB = 600  # keys expire at night
QUIET_US = 6 * HOUR_US  # one tenant reports the same limit at most this often


@dataclass(frozen=True, slots=True)
class RedisGrowth:
    """Memory in use as a straight line with a daily swing; the line is the ground truth."""

    end_us: int
    growth_kb_per_day: int

    @classmethod
    def over(cls, frame: Frame) -> RedisGrowth:
        """The growth for a window; flatter when it is longer than 45 days."""
        return cls(frame.end_us, GROWTH_KB_PER_DAY * 45 // max(45, frame.num_days))

    def trend_kb(self, moment_us: int) -> int:
        """The line without the daily swing."""
        return END_LEVEL_KB + (moment_us - self.end_us) * self.growth_kb_per_day // DAY_US

    def level_mb(self, moment_us: int) -> float:
        """Memory in use at a moment, in MB with one decimal."""
        of_day = moment_us % DAY_US
        swing = SWING_KB - 4 * SWING_KB * abs(of_day - DAY_US // 2) // (2 * DAY_US)
        return (self.trend_kb(moment_us) + swing - SWING_KB // 2) * 10 // 1024 / 10

    def when_trend_reaches_us(self, level_kb: int) -> int:
        """The moment at which the line reaches a level."""
        return self.end_us + (level_kb - END_LEVEL_KB) * DAY_US // self.growth_kb_per_day

    @property
    def first_alarm_us(self) -> int:
        """No sample before this moment reaches 80 %; the swing may bring it forward a little."""
        return self.when_trend_reaches_us(LIMIT_KB * ALARM_PERCENT // 100 - SWING_KB)

    def is_alarming(self, moment_us: int) -> bool:
        """Whether an honest producer would report the limit at this moment."""
        return self.level_mb(moment_us) * 1024 * 100 >= LIMIT_KB * ALARM_PERCENT

    def sample(self, moment_us: int) -> dict[str, object]:
        """The metadata of INFRA_LIMIT_HIT at a moment."""
        current, limit = self.level_mb(moment_us), LIMIT_KB // 1024
        return {
            "resource": RESOURCE,
            "current": current,
            "limit": limit,
            "unit": "MB",
            "utilization_pct": round(current / limit * 100, 2),
        }
