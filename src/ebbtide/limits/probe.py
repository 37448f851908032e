"""What every probe is: something that looks at a resource now, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

#: What each probe reads: known without it, for saying that it is not known.
PROBE_RESOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "disk": ("disk",),
        "event_store": ("event_store",),
        "state_store": ("state_store",),
        "postgres": ("db_storage", "db_connections"),
        "redis": ("redis_memory", "redis_clients"),
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in use of one resource; ``limit`` is None when there is none, or none is known."""

    resource: str
    used: float
    limit: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A probe could not look; ``reason`` is for people and holds no secret."""

    reason: str


class Probe(Protocol):
    """Looks at one thing; it may take a few seconds, and never raises for what it looks at."""

    @property
    def name(self) -> str:
        """One of :data:`PROBE_RESOURCES`."""

    def read(self) -> list[Reading] | Unavailable:
        """Look now."""
