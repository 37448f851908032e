"""Holds the API key so that no repr, log line or crash report shows it by accident."""

from __future__ import annotations

MASK = "***"


class Secret:
    """A text that shows itself only when asked by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; use it inside an expression, never keep it in a variable."""
        return self._text

    def redact(self, text: str) -> str:
        """Another text with every occurrence of the secret masked."""
        return text.replace(self._text, MASK)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
