"""What a recogniser is: made once from its settings, it looks at one side of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from ebbtide.domain.call import Call
from ebbtide.domain.errors import PolicyRefused
from ebbtide.domain.policy import Finding, Stage

#: Characters of one side that a recogniser reads. What is beyond is not "allowed", it is unread.
READ_MAX_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a recogniser found, and why it could not see all of it; ``unknown`` None if it could."""

    findings: tuple[Finding, ...] = ()
    unknown: str | None = None


#: It looked at everything and found nothing.
NOTHING = Seen()


class Detector(Protocol):
    """One recogniser with its settings."""

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at one side of a call."""
        ...


def text_of(call: Call, stage: Stage) -> tuple[str | None, str | None]:
    """The text of one side as far as it is read, and what is unknown about it."""
    text = call.input_text if stage is Stage.INPUT else call.output
    if text is None:
        return None, f"the call has no {stage.value}"
    if len(text) > READ_MAX_CHARS:
        return text[:READ_MAX_CHARS], f"cut: {READ_MAX_CHARS:,} of {len(text):,} characters read"
    return text, None


class Options:
    """Settings of a recogniser, read strictly: what nobody asked for is a slip."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def number(self, name: str) -> Fraction | None:
        """A number above 0; None when it is not set."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        try:
            number = None if isinstance(value, bool | str) else Fraction(value)
        except (TypeError, ValueError):
            number = None
        if number is None or number <= 0:
            raise PolicyRefused(f"options.{name}: must be a number above 0")
        return number

    def words(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Some of a few words; all of them when it is not set."""
        value = self._values.pop(name, None)
        if value is None:
            return allowed
        if not isinstance(value, list) or not value or any(one not in allowed for one in value):
            raise PolicyRefused(f"options.{name}: must be a list out of {', '.join(allowed)}")
        return tuple(one for one in allowed if one in value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Texts of the policy's own; none when it is not set."""
        value = self._values.pop(name, [])
        good = isinstance(value, list) and all(isinstance(x, str) and x.strip() for x in value)
        if not good or len(value) > 200:
            raise PolicyRefused(f"options.{name}: must be a list of texts, 200 at most")
        return tuple(value)

    def close(self) -> None:
        """Refuse what is left."""
        for name in sorted(self._values):
            raise PolicyRefused(f"options.{name}: unknown")
