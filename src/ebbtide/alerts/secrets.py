"""Secrets of channels by name, as the operator gives them; they are never stored nor shown."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: As in names of environment variables and files.
NAME_FORM = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class Secrets:
    """Values by name; printing it shows names only."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def get(self, name: str | None) -> str | None:
        """The value; None when the operator gave none of this name."""
        return None if name is None else self._values.get(name)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"
