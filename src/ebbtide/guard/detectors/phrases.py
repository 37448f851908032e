"""Finds phrases in a text: a quick look for their rarest word first, then a pattern.

Patterns go at most a few words beyond their trigger and have bounded repeats only, so that no
text takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Characters that a reader does not see; put between letters they hide a word from a search.
_UNSEEN = dict.fromkeys(
    [0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_PLAIN = {0x2019: "'", 0x2018: "'", 0xA0: " ", 0x202F: " ", 0x2011: "-", 0x2013: "-"}
_FULL_WIDTH = {number: chr(number - 0xFEE0) for number in range(0xFF01, 0xFF5F)}
_TO_PLAIN = {**_UNSEEN, **_PLAIN, **_FULL_WIDTH}


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing that can be said in several ways.

    Attributes:
        kind: what is found, one word.
        text: the same for a person.
        triggers: small letters; one of them is in every text that matches.
        pattern: looked for in small letters.
    """

    kind: str
    text: str
    triggers: tuple[str, ...]
    pattern: re.Pattern[str]


def phrase(kind: str, text: str, triggers: str, pattern: str) -> Phrase:
    """Make one; ``triggers`` are separated by bars, blanks of the pattern match any white space."""
    spaced = pattern.replace(" ", r"\s{1,3}")
    return Phrase(kind, text, tuple(triggers.split("|")), re.compile(spaced))


def plain(text: str) -> str:
    """A text as its reader takes it, in small letters; its length may differ from the original."""
    lowered = text.lower()
    return lowered if lowered.isascii() else lowered.translate(_TO_PLAIN)


def find(phrases: Sequence[Phrase], text: str) -> Iterator[Phrase]:
    """Those that a text holds, each once.

    Args:
        text: as :func:`plain` gives it.
    """
    for one in phrases:
        if any(word in text for word in one.triggers) and one.pattern.search(text):
            yield one
