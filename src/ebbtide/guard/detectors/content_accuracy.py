"""Recognises a definite claim about something that the given context does not know.

The context names fields; one that is null, empty or missing is not known. A sentence of the
answer that speaks of such a field, asserts something, and neither hedges nor asks, is a claim
that nothing supports. It looks at words, not at meaning: how well it does is measured, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ebbtide.catalog.phrases import load_words
from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen, text_of

FIELDS_MAX = 200
DEPTH_MAX = 8
VALUES_MAX = 10_000  # of a context
_NESTED = (Mapping, list, tuple)

_WORDS = load_words("content_accuracy")
_GENERIC = _WORDS.lists["generic"]
_HEDGE = _WORDS.patterns["hedges"]
_ASSERTS = _WORDS.patterns["assertions"]
_INSTRUCTION = _WORDS.patterns["instructions"]
_DEFINITION = _WORDS.patterns["definitions"]
_OWNERS = _WORDS.lists["owners"]
_VAGUE = _WORDS.lists["vague"]
_ANSWER = _WORDS.patterns["answers"]
_VALUE = re.compile(r"[$€£%:0-9]")
_END = re.compile(r"[.!?;\n](?:[\"')\]]{0,2}\s+|(?<=\n))")
_AROUND = ' \t\n\r*_>#-•;"()'
_BUT = re.compile(r",? (?:but|however|though|although)[, ]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(r"[^a-zA-Z0-9]+")


class _Word:
    """A word and what else is said for it."""

    def __init__(self, ways: tuple[str, ...]) -> None:
        self._ways = ways
        self._pattern: re.Pattern[str] | None = None

    def is_in(self, text: str) -> bool:
        # Looking for the bare letters first is ten times faster, and most names end here.
        if not any(way in text for way in self._ways):
            return False
        if self._pattern is None:
            starts = (r"(?<![a-z])" if way[0].isalpha() else "" for way in self._ways)
            ways = zip(starts, map(re.escape, self._ways), strict=True)
            self._pattern = re.compile("|".join(start + way for start, way in ways))
        return self._pattern.search(text) is not None


@dataclass(frozen=True, slots=True)
class _Topic:
    """What a field is about: each of its words has to be there."""

    field: str
    words: tuple[_Word, ...]

    def is_in(self, text: str) -> bool:
        return all(word.is_in(text) for word in self.words)

    def is_asked_in(self, text: str) -> bool:
        """Whether its last word is there, as in "which gate" for flight_gate."""
        return self.words[-1].is_in(text)


class ContentAccuracy:
    """Looks for claims about fields that are not known.

    Args:
        options: ``fields``: names that are taken for missing where the context has not got them.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        self._fields = given.texts("fields")
        given.close()

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at the answer of a call.

        Without any context nothing can be held against the answer, and that is UNKNOWN; an empty
        context knows nothing, and then the fields that the policy names are missing.
        """
        text, unknown = text_of(call, stage)
        if text is None:
            return Seen((), unknown)
        if call.context is None:
            return Seen((), "the call has no context")
        fields, cut = _unknown_fields(call.context, self._fields)
        unknown = unknown or cut
        if not fields:
            return Seen((), unknown)
        topics = [topic for name in fields if (topic := topic_of(name)) is not None]
        return Seen(tuple(_claims(text, topics, _question(call))), unknown)


def _claims(text: str, topics: Sequence[_Topic], question: str) -> Iterator[Finding]:
    lowered = text.lower().replace("\u2019", "'")
    if len(lowered) != len(text):  # a letter that grew: places would be wrong
        lowered = text
    asked = [topic for topic in topics if topic.is_in(question)]
    # In an answer the last word is enough where the question said it too.
    left = {
        topic.field: topic.is_asked_in if topic.is_asked_in(question) else topic.is_in
        for topic in topics
    }
    left = {field: meets for field, meets in left.items() if meets(lowered)}
    first = True
    for at, sentence in _sentences(lowered):
        if not left and not (first and asked):
            return
        if not first and not any(meets(sentence) for meets in left.values()):
            continue
        for start, part in _parts(sentence, at):
            met = [field for field, meets in left.items() if meets(part)]
            if first and not met and _ANSWER.match(part):
                met = [topic.field for topic in asked]
            first = False
            if met and _is_claim(part):
                for field in met:
                    left.pop(field, None)
                    yield _finding(field, start, part)


def _finding(field: str, start: int, sentence: str) -> Finding:
    text = f"a definite claim about {field}, which the context does not know"
    return Finding("unsupported_claim", text, start, start + len(sentence))


def _is_claim(sentence: str) -> bool:
    return (
        not sentence.endswith("?")
        and _INSTRUCTION.match(sentence) is None
        and _DEFINITION.match(sentence) is None
        and _HEDGE.search(sentence) is None
        and (_VALUE.search(sentence) is not None or _ASSERTS.search(sentence) is not None)
    )


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for match in _END.finditer(text):
        yield at, text[at : match.end()]
        at = match.end()
    if at < len(text):
        yield at, text[at:]


def _parts(sentence: str, at: int) -> Iterator[tuple[int, str]]:
    """The sides of a "but", without blanks and marks around them."""
    begin = 0
    for match in (*_BUT.finditer(sentence), None):
        end = len(sentence) if match is None else match.start()
        part = sentence[begin:end].strip(_AROUND)
        if part:
            yield at + sentence.index(part, begin), part
        begin = end if match is None else match.end()


def _question(call: Call) -> str:
    for message in reversed(call.messages):
        if message.role == "user":
            return message.text[-2_000:].lower()
    return ""


def _unknown_fields(
    context: Mapping[str, Any], named: Sequence[str]
) -> tuple[list[str], str | None]:
    """Fields that are not known, and why the context was not read to its end.

    One whose name is known elsewhere is called by its whole path.
    """
    known: set[str] = set()
    unknown: dict[str, str] = {}
    room = [VALUES_MAX, 1]  # values that may be read; whether nothing lay too deep
    _walk(context, "", known, unknown, room)
    fields = {
        key if key not in known else path.replace(".", "_"): None for path, key in unknown.items()
    }
    for name in named:
        if name not in known:
            fields.setdefault(name)
    is_whole = room[0] > 0 and room[1] > 0 and len(fields) <= FIELDS_MAX
    cut = None if is_whole else "cut: the context is too large to be read to its end"
    return list(fields)[:FIELDS_MAX], cut


def _walk(
    value: Any, path: str, known: set[str], unknown: dict[str, str], room: list[int], depth: int = 0
) -> None:
    if isinstance(value, Mapping):
        inner = [(str(key), each) for key, each in value.items()]
    else:
        inner = [("", each) for each in value if isinstance(each, Mapping | list | tuple)]
    for key, each in inner:
        room[0] -= 1
        if room[0] <= 0:
            return
        where = f"{path}.{key}" if path and key else path or key
        if each is None or each == "" or (isinstance(each, _NESTED) and not each):
            if key:
                unknown.setdefault(where, key)
            continue
        if key:
            known.add(key)
        if isinstance(each, _NESTED) and depth == DEPTH_MAX:
            room[1] = 0
        elif isinstance(each, _NESTED):
            _walk(each, where, known, unknown, room, depth + 1)


@lru_cache(maxsize=10_000)
def topic_of(field: str) -> _Topic | None:
    """What a field is about; None when its name says nothing that a sentence could repeat."""
    words = [word.lower() for word in _BETWEEN.split(_CAMEL.sub("_", field[:100])) if word]
    telling = [word for word in words if word not in _GENERIC and len(word) > 1] or [
        word for word in words if len(word) > 3
    ]
    if not telling:
        return None
    if len(telling) > 1 and telling[0] in _OWNERS and telling[1] not in _VAGUE:
        telling = telling[1:]
    return _Topic(field, tuple(_word(word) for word in telling[:4]))


def _word(word: str) -> _Word:
    stem = word if len(word) < 5 else re.sub(r"(?:ation|ing|ed|es|s|al|y|e)$", "", word)
    ways = _WORDS.other_words.get(word) or _WORDS.other_words.get(stem) or (stem,)
    return _Word(ways)
