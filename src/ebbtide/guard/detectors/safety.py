"""Recognises plain words of harm: asked for on the way in, given on the way out.

It is a first fence of phrases, not a judge of meaning: it is kept narrow, so that an ordinary
talk about a "killer feature" is not held back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.catalog.phrases import load_phrases
from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen, text_of
from ebbtide.guard.detectors.phrases import find, plain

PHRASES = load_phrases("safety")
_CATEGORIES = tuple(dict.fromkeys(one.kind for one in PHRASES))


class Safety:
    """Looks for phrases of harm.

    Args:
        options: ``categories``, a list, all when it is not set; ``phrases``, further ones.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        categories = given.words("categories", _CATEGORIES)
        self._extra = tuple(plain(one).strip() for one in given.texts("phrases"))
        given.close()
        self._phrases = tuple(one for one in PHRASES if one.kind in categories)

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at one side of a call."""
        raw, unknown = text_of(call, stage)
        if raw is None:
            return Seen((), unknown)
        text = plain(raw)
        found, unread = find(self._phrases, text)
        found |= {
            ("phrase", "holds a phrase that the policy names") for one in self._extra if one in text
        }
        return Seen(tuple(Finding(kind, said) for kind, said in sorted(found)), unknown or unread)
