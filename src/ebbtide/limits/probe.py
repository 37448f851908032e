"""What every probe is: something that looks at a resource now, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


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
        """What it is called in answers."""

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that it reads, for saying that they are not known."""

    def read(self) -> list[Reading] | Unavailable:
        """Look now."""
