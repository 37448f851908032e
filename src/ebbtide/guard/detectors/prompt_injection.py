# ruff: noqa: E501
"""Recognises a text that wants to take the place of the instructions a model was given.

It knows phrases. A clever attack gets past it, and so it is a fence beside a lock: what a model
may do must not depend on what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import READ_MAX_CHARS, Options, Seen
from ebbtide.guard.detectors.phrases import find, phrase, plain

_OLD = r"(?:all |any |every |the |your |my |of |these |those |and |previous |prior |earlier |above |preceding |former |initial |original |system |safety |existing |current |given |other ){1,6}"
_ORDERS = r"(?:instruction|prompt|rule|direction|guideline|directive|command|constraint|restriction|context|polic|message)"

PHRASES = (
    phrase(
        "override",
        "tells the model to leave its instructions",
        "ignore|disregard|forget|override|bypass|discard|neglect",
        rf"\b(?:ignore|disregard|forget|override|bypass|discard|neglect|do not follow)(?:ing)? {_OLD}{_ORDERS}",
    ),
    phrase(
        "override",
        "tells the model to leave its instructions",
        "do not|don't|stop",
        rf"\b(?:do not|don't|stop) (?:follow|obey|adher)\w{{0,4}} (?:to )?{_OLD}{_ORDERS}",
    ),
    phrase(
        "override",
        "tells the model to leave its instructions",
        "everything above|everything before|everything you|what you were told|you were told|all of the above",
        r"\b(?:ignore|disregard|forget) (?:everything|anything|what|all of the)(?: that)?(?: you)?(?: were| have been| was)?(?: told| said| written)?(?: above| before| so far| until now| previously)?\b",
    ),
    phrase(
        "override",
        "tells the model to leave its instructions",
        "ignorier|vergiss|missachte",
        r"\b(?:ignorier\w{0,3}|vergiss|missachte\w{0,2}) (?:\w{1,12} ){0,3}(?:anweisung|vorgabe|regel|instruktion)",
    ),
    phrase(
        "override",
        "tells the model to leave its instructions",
        "ignore|oublie|olvida|ignora",
        r"\b(?:ignorez?|oubliez?|olvida|ignora) (?:\w{1,12} ){0,3}(?:instructions? pr|consignes|instrucciones|istruzioni)",
    ),
    phrase(
        "new_role",
        "gives the model a role without limits",
        "developer mode|dev mode|dan mode|do anything now|jailbr|god mode",
        r"\b(?:(?:enable|activate|enter|switch to|you are(?: now)? in|in) (?:developer|dev|dan|god) mode|do anything now|jailbr(?:eak|oken)(?: mode| prompt)?)\b",
    ),
    phrase(
        "new_role",
        "gives the model a role without limits",
        "you are now|you're now|act as|pretend|from now on|roleplay|behave",
        r"\b(?:you are now|you're now|act as|pretend (?:to be|that you are|you are|you have)|from now on,? you|roleplay as|behave as)\b[^.\n]{0,80}\b(?:unrestricted|uncensored|unfiltered|no (?:rules|restrictions|limits|filters|guidelines)|without (?:any )?(?:rules|restrictions|limits|filters|guidelines|limitations)|evil|dan\b|not bound)",
    ),
    phrase(
        "reveal",
        "asks for the instructions or a key",
        "system prompt|system message|initial prompt|hidden prompt|hidden instructions|your instructions|your prompt|instructions above|prompt above|text above|above text|words above|system instructions",
        r"\b(?:reveal|show|print|repeat|display|output|tell me|give me|leak|disclose|expose|dump|write out|recite|what (?:is|are|was|were)|translate|summari[sz]e|encode)\b[^.\n]{0,40}\b(?:system prompt|system message|system instructions|initial prompt|hidden (?:prompt|instructions)|your (?:full |exact |original |secret |complete |own )?(?:instructions|prompt)\b|(?:instructions|prompt|text|words) above|above text)",
    ),
    phrase(
        "reveal",
        "asks for the instructions or a key",
        "api key|api_key|secret key|environment variable|credentials|access token|env var",
        r"\b(?:reveal|show|print|repeat|display|output|leak|disclose|expose|dump|send|tell me)\b[^.\n]{0,25}\b(?:your|the system's|the server's|internal|provider) (?:\w{1,12} ){0,2}(?:api[ _]keys?|secret keys?|environment variables|env vars|credentials|access tokens?)",
    ),
    phrase(
        "markers",
        "holds marks of a conversation that only the system writes",
        "<|im_|<|system|[inst]|<<sys>>|<|start_header|<|assistant|</system>|[/inst]|<system>",
        r"<\|(?:im_start|im_end|system|assistant|user|start_header_id|end_header_id|eot_id|endoftext)\|>|\[/?inst\]|<</?sys>>|</?system>",
    ),
    phrase(
        "markers",
        "holds marks of a conversation that only the system writes",
        "system:|system message:|new instructions|updated instructions|assistant:",
        r"(?:^|\n)\s{0,4}(?:[#*\-=]{1,6}\s{0,2})?(?:(?:new |updated )(?:system )?(?:instructions?|prompt)|system(?: message| prompt| override)?)(?:\*{1,2})?\s{0,2}:",
    ),
    phrase(
        "act_on_us",
        "tells the model to judge or change what it has no say in",
        "mark|rate|score|promote|approve|classify|flag|assign|label",
        r"\b(?:mark|rate|score|classify|flag|label)\b[^.\n]{0,30}\b(?:this|the|your) (?:answer|output|response|replay|result|request|message)\b[^.\n]{0,20}\b(?:accurate|safe|allowed|correct|passed|approved|compliant)\b|\bpromote (?:policy |version )?v?\d{1,4}\b[^.\n]{0,20}\b(?:all|every|tenant|customer)",
    ),
)
#: Letters of the block of tags show nothing, and a model reads them.
_TAGS = range(0xE0000, 0xE0080)
_TRUSTED_ROLES = frozenset({"system", "developer"})


class PromptInjection:
    """Looks at what went in, but for the messages of the system, which are the operator's own."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        kinds = given.words("kinds", tuple(dict.fromkeys(one.kind for one in PHRASES)))
        self._extra = tuple(plain(one) for one in given.texts("phrases"))
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
        found = {(one.kind, one.text) for one in find(self._phrases, text)}
        if not raw.isascii() and any(ord(one) in _TAGS for one in raw):
            found.add(("unseen", "holds letters that only a model sees"))
        found |= {
            ("phrase", "holds a phrase that the policy names") for one in self._extra if one in text
        }
        findings = tuple(Finding(kind, said) for kind, said in sorted(found))
        return Seen(findings, unknown)
