"""Finds the known word that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like this one, whatever the letters' case.

    Returns:
        None when nothing looks like it; then a guess would only mislead.
    """
    by_folded = {one.casefold(): one for one in known}
    # A very long text cannot be a slip, and comparing takes the square of its length.
    found = get_close_matches(word[:100].casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a refusal: ``; did you mean X?``, or nothing when nothing comes near."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found is not None else ""
