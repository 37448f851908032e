"""Resources that can run out: what is in use of them, and how that stands to their limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

RESOURCE_MAX_CHARS = 100
UNIT_MAX_CHARS = 30


class Origin(StrEnum):
    """Who took a sample."""

    PROBE = "probe"  # we looked ourselves
    GAUGE = "gauge"  # somebody sent it
    EVENT = "event"  # it stood in an event


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What was in use of a resource at one moment; ``limit`` is None when there is none known.

    ``received_at`` is when it came, where that is another moment than ``at``.
    """

    resource: str
    at: datetime
    used: float
    limit: float | None
    unit: str | None
    origin: Origin
    received_at: datetime | None = None

    @property
    def saturation(self) -> float | None:
        """Use as a fraction of the limit; None without a limit above 0."""
        return self.used / self.limit if self.limit is not None and self.limit > 0 else None


class EdgeKind(StrEnum):
    """What changed at an edge."""

    WARNING = "warning"  # the warning share of the limit was reached
    CLEARED = "cleared"  # use fell well below it again
    EXHAUSTED = "exhausted"  # the limit itself was reached
    RELIEVED = "relieved"  # use fell below the limit again


@dataclass(frozen=True, slots=True)
class Edge:
    """A moment at which a resource crossed a line."""

    resource: str
    at: datetime
    kind: EdgeKind
    used: float
    limit: float


@dataclass(frozen=True, slots=True)
class StoredProjection:
    """What was said of a resource at a moment; days are decimal, None as in the projection."""

    resource: str
    as_of: datetime
    formula: str
    used: float
    limit: float | None
    status: str
    days_to_limit: float | None
    days_low: float | None
    days_high: float | None
    growth_per_day: float | None
    num_samples: int
    span_days: float
    num_steps: int
    is_first_of_day: bool  # of its UTC day: those five minutes later say much the same


@dataclass(frozen=True, slots=True)
class ProbeState:
    """How the newest look of a probe went; ``reason`` says why it could not look."""

    probe: str
    checked_at: datetime
    is_available: bool
    reason: str | None
