"""Finds phrases in a text: a quick look for their rarest word first, then a pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ebbtide.catalog.phrases import Phrase

#: Characters that a reader does not see; put between letters they hide a word from a search.
_UNSEEN = dict.fromkeys(
    [0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_PLAIN = {0x2019: "'", 0x2018: "'", 0xA0: " ", 0x202F: " ", 0x2011: "-", 0x2013: "-"}
_FULL_WIDTH = {number: chr(number - 0xFEE0) for number in range(0xFF01, 0xFF5F)}
_TO_PLAIN = {**_UNSEEN, **_PLAIN, **_FULL_WIDTH}


#: Places that are looked at for one phrase: a text made of nothing but triggers is no text.
PLACES_MAX = 100
#: Characters around a trigger that are looked at; no phrase is longer.
_AROUND = 200


def plain(text: str) -> str:
    """A text as its reader takes it, in small letters; its length may differ from the original."""
    lowered = text.lower()
    if not lowered.isascii():
        lowered = lowered.translate(_TO_PLAIN).lower()
    return f" {lowered} "  # so that a trigger may begin or end with a blank


def find(phrases: Sequence[Phrase], text: str) -> tuple[set[tuple[str, str]], str | None]:
    """Those that a text holds.

    Args:
        text: as :func:`plain` gives it.

    Returns:
        Kind and text of each, and why not all of the text could be searched; None when it was.
    """
    found, unknown = set(), None
    for one in phrases:
        for number, (start, end) in enumerate(_windows(text, one.triggers)):
            if number >= PLACES_MAX:
                unknown = f"cut: more than {PLACES_MAX} places to look at for one phrase"
                break
            if one.pattern.search(text, start, end):
                found.add((one.kind, one.text))
                break
    return found, unknown


def _windows(text: str, triggers: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where to look, each place once: around the triggers."""
    for word in triggers:
        done = 0
        at = text.find(word)
        while at >= 0:
            end = at + len(word) + _AROUND
            yield max(0, at - _AROUND, done - _AROUND), end
            done = end
            at = text.find(word, max(at + len(word), end - _AROUND))
