"""Which playbooks fit a customer now, and the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

#: A number, a word or a yes/no about a customer; None: not known.
Value = Fraction | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Match:
    """One playbook whose conditions all hold."""

    playbook_id: str
    title: str
    risk_level: str
    signals: tuple[str, ...]  # each condition in words, with its number
    numbers: Mapping[str, Value]  # each measure that was compared, exact
