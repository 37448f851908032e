# ruff: noqa: E501
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

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen, text_of

FIELDS_MAX = 200
DEPTH_MAX = 4

#: Words of a field's name that say what sort of value it is, and not what it is about.
_GENERIC = frozenset(
    "is has are was can status state id ids type kind name value flag at on of the to for in by "
    "info data details detail current number num count enabled active customer user my your new "
    "field usd eur percent pct code text note notes list date time day days".split()
)
#: Other words for the same; the stem of the field's word on the left.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "renew": ("renew", "roll over", "rolls over"),
    "renewal": ("renew", "roll over", "rolls over"),
    "end": ("end", "expir", "until", "terminat", "run out", "runs out"),
    "expiry": ("expir", "end", "valid until", "run out", "runs out"),
    "expiration": ("expir", "end", "valid until", "run out", "runs out"),
    "expires": ("expir", "end", "valid until", "run out", "runs out"),
    "start": ("start", "begin", "began", "since"),
    "price": ("price", "cost", "$", "€", "£", "charge", "per month", "per year", "a month"),
    "cost": ("cost", "price", "$", "€", "£", "charge"),
    "fee": ("fee", "charge", "cost"),
    "amount": ("amount", "total", "$", "€", "£"),
    "balance": ("balance", "owe", "outstanding"),
    "delivery": ("deliver", "arriv", "ship"),
    "shipping": ("ship", "deliver", "arriv"),
    "shipped": ("ship", "sent out", "dispatch", "on its way"),
    "refund": ("refund", "money back", "reimburs"),
    "cancellation": ("cancel", "terminat"),
    "cancel": ("cancel", "terminat"),
    "notice": ("notice",),
    "warranty": ("warrant", "guarantee"),
    "stock": ("stock", "available", "availability"),
    "available": ("available", "in stock", "availability"),
    "discount": ("discount", "% off", "percent off", "reduc"),
    "plan": ("plan", "tier", "subscription"),
    "trial": ("trial",),
    "payment": ("payment", "paid", "pay"),
    "paid": ("paid", "payment", "pay"),
    "invoice": ("invoice", "bill"),
    "address": ("address", "live at", "lives at"),
    "email": ("email", "e-mail", "mail address"),
    "phone": ("phone", "telephone"),
    "limit": ("limit", "cap", "quota", "maximum", "up to"),
    "quota": ("quota", "limit"),
    "coverage": ("cover",),
    "covered": ("cover",),
    "eligible": ("eligib", "qualif", "entitled"),
    "eligibility": ("eligib", "qualif", "entitled"),
    "verified": ("verif",),
    "owner": ("owner", "owned", "own", "belongs"),
    "region": ("region", "hosted", "located", "stored"),
    "location": ("located", "location", "based"),
    "sla": ("sla", "uptime", "service level"),
    "uptime": ("uptime", "availability"),
    "opening": ("open",),
    "hours": ("open", "hours"),
}

_HEDGE = re.compile(
    r"\b(?:(?:do(?:es)? not|don't|doesn't|can(?:not|'t| not)|could(?:n't| not)|wasn't able|"
    r"am not able|'m not able|am unable|'m unable|unable|not able|was unable) (?:\w+ly )?"
    r"(?:to )?(?:currently )?(?:have|know|see|find|confirm|tell|say|determine|verify|access|look up|check|"
    r"provide|answer|locate|show|specify|state|include|contain|mention|indicate|list|give|share|retrieve|"
    r"establish|be certain|be sure)"
    r"|no (?:information|data|details?|record|indication|mention|entry|confirmed|specific)"
    r"|not (?:sure|certain|clear|available|specified|known|provided|listed|recorded|stated|given|shown|"
    r"included|documented|confirmed|in (?:the|my|your))"
    r"|(?:isn't|aren't|wasn't) (?:sure|certain|clear|available|specified|known|provided|listed|recorded|"
    r"stated|given|shown|included|documented|confirmed|in (?:the|my|your))"
    r"|unknown|unclear|uncertain|unspecified|undetermined|missing|blank|left empty"
    r"|may|might|could|would|should|perhaps|maybe|possibly|probably|likely|presumably|apparently"
    r"|seems?|appears?|i think|i believe|i assume|i guess|as far as i|not that i"
    r"|typically|usually|generally|normally|often|sometimes|in most cases|in general|depends?|depending"
    r"|if|whether|unless|in case|assuming|once (?:i|we|you)|as soon as (?:i|we|you)"
    r"|let me (?:check|look|find|confirm|verify)|i(?:'ll| will| would) (?:need to |have to )?(?:check|look|"
    r"find out|confirm|verify|ask)|need(?:s)? to be (?:confirmed|verified|checked)"
    r"|please (?:check|contact|confirm|verify|refer|provide|see|ask|share|send|let|consult|reach|review|log)"
    r"|i(?:'d| would) (?:recommend|suggest|advise)|i (?:recommend|suggest|advise)|we (?:recommend|suggest)"
    r"|to be (?:announced|determined|confirmed)|tbd|tba|n/a|lacks?|lacking|without (?:access|that|this|more))\b"
)
_ASSERTS = re.compile(
    r"\b(?:is|are|was|were|will|has|have|had|does|do|did|be|been|renews?|renewed|ends?|ended|expires?|"
    r"expired|costs?|includes?|included|covers?|covered|allows?|starts?|started|begins?|runs?|ships?|shipped|"
    r"arrives?|arrived|gets?|receives?|received|qualif(?:y|ies)|applies|applied|comes?|came|belongs?|offers?|"
    r"provides?|supports?|paid|owes?|set to|processed|approved|issued|sent|cancel(?:s|led|ed)?|remains?|"
    r"stays?|lasts?|needs?|requires?|can|cannot|can't|yes|no|it's|that's|you're|isn't|aren't|doesn't|won't|"
    r"hosted|stored|located|opens?|closes?|rolls?|charges?|charged|pays?|entitled|yours?)\b|[$€£%]|[0-9]|:"
)
_IMPERATIVE = re.compile(
    r"^(?:to |you can |simply |just |go to|open |click|select|choose|visit|log in|sign in|navigate|turn |"
    r"switch |enter |follow |contact |check |see |please |let me|i can (?:help|check|look)|feel free|here(?:'s| is) how)"
)
_YES_NO = re.compile(
    r"^(?:yes|yeah|yep|no|nope|correct|absolutely|certainly|definitely|of course|indeed|sure|right|exactly|that's right|you are|you do|you have|it is|it does|it will|it was|it has)\b"
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]{0,2}\s+|\n+|;\s+")
_BUT = re.compile(r",? (?:but|however|though|although)[, ]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True)
class _Topic:
    """What a field is about: every group has to be met by one of its words."""

    field: str
    patterns: tuple[re.Pattern[str], ...]

    def is_in(self, text: str) -> bool:
        return all(pattern.search(text) for pattern in self.patterns)


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
        fields = _unknown_fields(call.context, self._fields)
        if len(fields) > FIELDS_MAX:
            fields = fields[:FIELDS_MAX]
            unknown = f"cut: {FIELDS_MAX} of the unknown fields looked at"
        if not fields:
            return Seen((), unknown)
        topics = [topic for name in fields if (topic := topic_of(name)) is not None]
        return Seen(tuple(_claims(text, topics, _question(call))), unknown)


def _claims(text: str, topics: Sequence[_Topic], question: str) -> Iterator[Finding]:
    lowered = text.lower().replace("\u2019", "'")
    if len(lowered) != len(text):  # a letter that grew: places would be wrong
        lowered = text
    asked = [topic for topic in topics if topic.is_in(question)]
    in_text = [topic for topic in topics if topic.is_in(lowered)]
    if not asked and not in_text:
        return
    told: set[str] = set()
    is_first = True
    for start, sentence in _sentences(lowered):
        if not _is_claim(sentence):
            is_first = False
            continue
        for topic in in_text:
            if topic.field not in told and topic.is_in(sentence):
                told.add(topic.field)
                yield _finding(topic, start, sentence)
        if is_first and not told and _YES_NO.match(sentence):
            for topic in asked:
                told.add(topic.field)
                yield _finding(topic, start, sentence)
        is_first = False


def _finding(topic: _Topic, start: int, sentence: str) -> Finding:
    text = f"a definite claim about {topic.field}, which the context does not know"
    return Finding("unsupported_claim", text, start, start + len(sentence))


def _is_claim(sentence: str) -> bool:
    return (
        not sentence.endswith("?")
        and _IMPERATIVE.match(sentence) is None
        and _HEDGE.search(sentence) is None
        and _ASSERTS.search(sentence) is not None
    )


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for match in (*_SENTENCE.finditer(text), None):
        end = len(text) if match is None else match.start()
        for start, part in _parts(text[at:end], at):
            stripped = part.strip(" \t*_>#-•")
            if stripped:
                yield start + part.index(stripped), stripped
        at = end if match is None else match.end()


def _parts(sentence: str, at: int) -> Iterator[tuple[int, str]]:
    begin = 0
    for match in _BUT.finditer(sentence):
        yield at + begin, sentence[begin : match.start()]
        begin = match.end()
    yield at + begin, sentence[begin:]


def _question(call: Call) -> str:
    for message in reversed(call.messages):
        if message.role == "user":
            return message.text[-2_000:].lower()
    return ""


def _unknown_fields(context: Mapping[str, Any], named: Sequence[str]) -> list[str]:
    known: set[str] = set()
    unknown: dict[str, None] = {}
    _walk(context, known, unknown, 0)
    for name in named:
        if name not in known:
            unknown.setdefault(name)
    return list(unknown)


def _walk(
    context: Mapping[str, Any], known: set[str], unknown: dict[str, None], depth: int
) -> None:
    for key, value in context.items():
        name = str(key)
        if isinstance(value, Mapping) and value and depth < DEPTH_MAX:
            known.add(name)
            _walk(value, known, unknown, depth + 1)
        elif value is None or value == "" or (isinstance(value, list | tuple | dict) and not value):
            unknown.setdefault(name)
        else:
            known.add(name)


@lru_cache(maxsize=10_000)
def topic_of(field: str) -> _Topic | None:
    """What a field is about; None when its name says nothing that a sentence could repeat."""
    words = [word.lower() for word in _WORD.split(_CAMEL.sub("_", field[:100])) if word]
    telling = [word for word in words if word not in _GENERIC and len(word) > 1] or [
        word for word in words if len(word) > 3
    ]
    if not telling:
        return None
    return _Topic(field, tuple(_pattern(word) for word in telling[:4]))


def _pattern(word: str) -> re.Pattern[str]:
    stem = word if len(word) < 5 else re.sub(r"(?:ation|ing|ed|es|s|al|y|e)$", "", word)
    ways = _SYNONYMS.get(word) or _SYNONYMS.get(stem) or (stem,)
    alternatives = "|".join(
        (r"(?<![a-z])" if way[0].isalpha() else "") + re.escape(way) for way in ways
    )
    return re.compile(alternatives)
