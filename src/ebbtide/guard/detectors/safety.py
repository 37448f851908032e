# ruff: noqa: E501
"""Recognises plain words of harm: asked for on the way in, given on the way out.

It is a first fence of phrases, not a judge of meaning: it is kept narrow, so that an ordinary
talk about a "killer feature" is not held back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen, text_of
from ebbtide.guard.detectors.phrases import find, phrase, plain

_HOW = r"(?:how (?:to|do (?:i|you|we)|can (?:i|you|we)|would (?:i|you|one))|steps? to|instructions? (?:to|for|on)|guide (?:to|for|on)|recipe for|ways? to|help me(?: to)?|teach me(?: how)?(?: to)?|show me how to|tell me how to|tutorial (?:on|for)|here(?: i|')s how (?:to|you)) (?:\w{1,14} ){0,3}"
_PERSON = r"(?:him|her|them|someone|somebody|people|my (?:wife|husband|boss|neighbou?r|ex|girlfriend|boyfriend|father|mother|brother|sister|colleague|coworker|teacher|roommate|parents|family|child|son|daughter)|a (?:person|man|woman|child|human)|the (?:president|victim|teacher|students?)|you|your family)"

PHRASES = (
    phrase(
        "self_harm",
        "speaks of harming oneself",
        "myself|my life|suicid|want to die|self-harm|self harm|yourself|be dead|end it all",
        r"\b(?:kill(?:ing)? (?:myself|yourself)|(?:hurt|harm|cut)(?:ting|ing)? (?:myself|yourself)|end(?:ing)? (?:my|your) (?:own )?life|tak(?:e|ing) (?:my|your) own life|i (?:just |really )?(?:want|wish|would like) to (?:die|be dead|disappear forever)|(?:commit|attempt)(?:ting|ing)? suicide|(?:i am|i'm|feel(?:ing)?|i feel) suicidal|end it all)\b",
    ),
    phrase(
        "self_harm",
        "asks for ways of harming oneself",
        "suicide|self-harm|self harm|overdose",
        rf"\b(?:{_HOW}(?:suicide|self[ -]harm|overdose)|(?:painless|best|easiest) (?:way|method)s? (?:to|of) (?:die|suicide|overdose)|suicide methods?)\b",
    ),
    phrase(
        "violence",
        "asks for, or announces, violence against a person",
        "kill|murder|poison|stab|shoot|strangle|torture|assassinate|beat up|hurt",
        rf"\b(?:{_HOW}|i (?:will|am going to|want to|plan to|'ll)|i'll|i'm going to|we(?:'ll| will)|going to) ?(?:kill|murder|poison|stab|shoot|strangle|torture|assassinate|beat up|seriously hurt) {_PERSON}\b",
    ),
    phrase(
        "violence",
        "announces an attack",
        "shoot up|blow up|bomb|massacre|mass shooting",
        r"\b(?:i (?:will|am going to|want to|plan to)|i'll|i'm going to|planning to|let's) (?:shoot up|blow up|bomb|massacre) (?:the|a|my|this) \w{2,20}|\bplan(?:ning)? a (?:mass shooting|massacre|bombing)\b",
    ),
    phrase(
        "weapons",
        "asks for the making of a weapon",
        "bomb|explosive|grenade|napalm|nerve agent|sarin|ricin|nerve gas|molotov|ghost gun|anthrax|tatp|thermite",
        rf"\b{_HOW}(?:make|build|create|assemble|construct|synthesi[sz]e|produce|cook|prepare|manufacture)?\w{{0,3}} ?(?:\w{{1,12}} ){{0,3}}(?:pipe bomb|nail bomb|dirty bomb|car bomb|bombs?|explosives?|explosive device|grenades?|napalm|nerve (?:agent|gas)|sarin|ricin|molotov(?: cocktail)?s?|ghost guns?|anthrax|tatp)\b",
    ),
    phrase(
        "drugs",
        "asks for the making of hard drugs",
        "meth|heroin|fentanyl|cocaine|mdma|lsd|crack",
        rf"\b{_HOW}(?:make|cook|synthesi[sz]e|produce|manufacture|extract)\w{{0,3}} (?:\w{{1,12}} ){{0,2}}(?:crystal meth|meth|methamphetamine|heroin|fentanyl|cocaine|mdma|lsd|crack)\b",
    ),
    phrase(
        "crime",
        "asks for help with a crime",
        "hack|steal|launder|counterfeit|forge|malware|ransomware|keylogger|phishing|break into|hotwire|fake id|ddos|card fraud|shoplift",
        rf"\b{_HOW}(?:hack(?:ing)? (?:into )?(?:\w{{1,12}} ){{0,2}}(?:account|email|phone|wi-?fi|bank|network|facebook|instagram|system|server|computer)|steal (?:a |someone's |money|credit|cars?|identit|passwords?|data)|launder(?:ing)? money|counterfeit (?:money|bills|notes)|forge (?:a |an )?(?:signature|passport|check|prescription|document)|(?:write|create|make|build|deploy|spread) (?:a |an |some )?(?:\w{{1,12}} )?(?:malware|ransomware|keylogger|computer virus|phishing (?:e-?mail|page|site|kit))|break(?:ing)? into (?:a |an |my |someone's )?\w{{2,14}}|hotwire a|make (?:a )?fake ids?|ddos|commit (?:credit )?card fraud|shoplift)",
    ),
    phrase(
        "hate",
        "calls for hate against a group",
        "exterminat|subhuman|inferior race|gas the|should be killed|should all die|deserve to die|vermin|go back to|ethnic cleansing|master race",
        r"\b(?:exterminate (?:all |the )|(?:are|is) (?:all )?(?:subhuman|vermin)\b|(?:an )?inferior race|gas the \w{3,15}|all \w{3,15} (?:should (?:be killed|all die|die)|deserve to die)|should all (?:die|be killed)\b|ethnic cleansing is (?:good|right|needed|justified)|master race)",
    ),
    phrase(
        "minors",
        "speaks of abuse of children",
        "child porn|csam|sexual|minor|underage",
        r"\b(?:child porn\w{0,8}|csam\b|(?:sexual|nude|naked|erotic)\w{0,3} (?:\w{1,12} ){0,3}(?:child(?:ren)?|minors?|underage|(?:[5-9]|1[0-7])[ -]year[ -]olds?|toddlers?))\b",
    ),
)
_CATEGORIES = tuple(dict.fromkeys(one.kind for one in PHRASES))


class Safety:
    """Looks for phrases of harm.

    Args:
        options: ``categories``, a list, all when it is not set; ``phrases``, further ones.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        categories = given.words("categories", _CATEGORIES)
        self._extra = tuple(plain(one) for one in given.texts("phrases"))
        given.close()
        self._phrases = tuple(one for one in PHRASES if one.kind in categories)

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at one side of a call."""
        raw, unknown = text_of(call, stage)
        if raw is None:
            return Seen((), unknown)
        text = plain(raw)
        found = {(one.kind, one.text) for one in find(self._phrases, text)}
        found |= {
            ("phrase", "holds a phrase that the policy names") for one in self._extra if one in text
        }
        return Seen(tuple(Finding(kind, said) for kind, said in sorted(found)), unknown)
