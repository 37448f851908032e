"""Two texts word by word, as data; bounded in time and memory whatever the texts are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import Indel

from ebbtide.domain.replay import Span, SpanKind, WordDiff

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
# The table of the comparison has a bit for each pair: 50 MB, and about a second.
PAIRS_MAX = 400_000_000
# A text beyond this is not even cut into words: five million of them fill a quarter of a gigabyte.
CHARS_MAX = 500_000
MEASURED_MAX_CHARS = 200_000  # half a second
_WORD_MAX_CHARS = 100  # what goes on for longer is cut anywhere


def diff_words(before: str, after: str) -> WordDiff:
    """Which words stayed, came, went.

    Too many unlike words are looked at line by line, and too many unlike lines not at all: the
    unlike middle is then one REPLACE, and ``is_exact`` is False.
    """
    head, tail = _common(before, after)
    middle = before[head : len(before) - tail], after[head : len(after) - tail]
    spans: list[Span] = []
    _add(spans, before[:head], before[:head])
    is_exact = True
    for form in (_WORDS, _LINES, None):
        cut = None if form is None else _cut(form, *middle)
        if cut is not None:
            for old, new in _stretches(*cut):
                _add(spans, old, new)
            break
        is_exact = False
        if form is None:
            _add(spans, *middle)
    if tail:
        _add(spans, before[-tail:], before[-tail:])
    return WordDiff(tuple(spans), is_exact)


def similarity(before: str, after: str) -> float | None:
    """How much of two texts is the same words in the same order, 0 to 1.

    Returns:
        None when they are too long to be measured.
    """
    if before == after:
        return 1.0
    if max(len(before), len(after)) > MEASURED_MAX_CHARS:
        return None
    a, b = (_WORDS.findall(text) for text in (before, after))
    a, b = ([word for word in words if not word.isspace()] for words in (a, b))
    if not a and not b:
        return 1.0
    return float(Indel.normalized_similarity(a, b))


def _cut(form: re.Pattern[str], before: str, after: str) -> tuple[list[str], list[str]] | None:
    """Both texts in pieces; None when that would be too many to compare."""
    if form is _WORDS and max(len(before), len(after)) > CHARS_MAX:
        return None
    if form is _LINES and max(before.count("\n"), after.count("\n")) > CHARS_MAX:
        return None
    a, b = form.findall(before), form.findall(after)
    return (a, b) if len(a) * len(b) <= PAIRS_MAX else None


def _stretches(before: Sequence[str], after: Sequence[str]) -> Iterable[tuple[str, str]]:
    for one in Indel.opcodes(before, after):
        old = "".join(before[one.src_start : one.src_end])
        new = "".join(after[one.dest_start : one.dest_end])
        yield old, new


def _add(spans: list[Span], before: str, after: str) -> None:
    """Put a stretch behind the others; changes that only a space keeps apart become one."""
    if not before and not after:
        return
    while spans:
        last = spans[-1]
        is_same = last.kind is SpanKind.EQUAL
        if is_same == (before == after):
            pass  # two of a kind
        elif is_same and len(spans) > 1 and last.before.isspace() and "\n" not in last.before:
            pass  # a change, a space, and another change
        else:
            break
        del spans[-1]
        before, after = last.before + before, last.after + after
    if before == after:
        kind = SpanKind.EQUAL
    elif not before:
        kind = SpanKind.INSERT
    elif not after:
        kind = SpanKind.DELETE
    else:
        kind = SpanKind.REPLACE
    spans.append(Span(kind, before, after))


def _common(before: str, after: str) -> tuple[int, int]:
    """How many characters both begin and end with, up to where a word begins or ends."""
    head = _shared(before, after)
    if head < max(len(before), len(after)):
        head = _at_a_space(before, head, -1)
    tail = _shared(before[head:], after[head:], is_tail=True)
    if head + tail < max(len(before), len(after)):
        tail = len(before) - _at_a_space(before, len(before) - tail, 1)
    return head, tail


def _at_a_space(text: str, place: int, step: int) -> int:
    """The next place, backwards or forwards, that lies between a space and a word."""
    for at in range(place, place + step * _WORD_MAX_CHARS, step):
        if at in (0, len(text)) or text[at - (step < 0)].isspace():
            return at
    return place


def _shared(a: str, b: str, *, is_tail: bool = False) -> int:
    """Length of the longest common start, or end."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # halving compares memory, which is far faster than a loop over characters
        half = (low + high + 1) // 2
        is_equal = a[-half:] == b[-half:] if is_tail else a[:half] == b[:half]
        low, high = (half, high) if is_equal else (low, half - 1)
    return low
