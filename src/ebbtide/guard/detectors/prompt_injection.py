"""Recognises a text that wants to take the place of the instructions a model was given.

It knows phrases. A clever attack gets past it, and so it is a fence beside a lock: what a model
may do must not depend on what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.catalog.phrases import load_phrases
from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import READ_MAX_CHARS, Options, Seen
from ebbtide.guard.detectors.phrases import find, plain

PHRASES = load_phrases("prompt_injection")
#: Letters of the block of tags show nothing, and a model reads them.
_TAGS = range(0xE0000, 0xE0080)
_TRUSTED_ROLES = frozenset({"system", "developer"})


class PromptInjection:
    """Looks at what went in, but for the messages of the system, which are the operator's own."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        kinds = given.words("kinds", tuple(dict.fromkeys(one.kind for one in PHRASES)))
        self._extra = tuple(plain(one).strip() for one in given.texts("phrases"))
        given.close()
        self._phrases = tuple(one for one in PHRASES if one.kind in kinds)

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at the input of a call."""
        texts = [one.text for one in call.messages if one.role not in _TRUSTED_ROLES]
        raw = "\n\n".join(texts)
        unknown = None
        if len(raw) > READ_MAX_CHARS:
            unknown = f"cut: {READ_MAX_CHARS:,} of {len(raw):,} characters read"
            raw = raw[:READ_MAX_CHARS]
        text = plain(raw)
        found, unread = find(self._phrases, text)
        if not raw.isascii() and any(ord(one) in _TAGS for one in raw):
            found.add(("unseen", "holds letters that only a model sees"))
        found |= {
            ("phrase", "holds a phrase that the policy names") for one in self._extra if one in text
        }
        findings = tuple(Finding(kind, said) for kind, said in sorted(found))
        return Seen(findings, unknown or unread)
