"""Says what versions of policies find in one side of a call: the one place where a call is judged.

A pure function without a clock, a network or a store. The proxy, a replay and "what would v13
have blocked" all ask it, and so cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ebbtide.catalog.policy import PolicyVersion, RuleText
from ebbtide.domain.call import Call
from ebbtide.domain.errors import CatalogError, PolicyRefused
from ebbtide.domain.policy import Finding, Result, Stage, Verdict
from ebbtide.guard.detectors.budget import Budget
from ebbtide.guard.detectors.content_accuracy import ContentAccuracy
from ebbtide.guard.detectors.detector import Detector
from ebbtide.guard.detectors.pii import PiiDetector
from ebbtide.guard.detectors.prompt_injection import PromptInjection
from ebbtide.guard.detectors.safety import Safety
from ebbtide.guard.rule import Rule, Unknown, compile_rule, value_of

#: Findings that one verdict lists; that there are more is said in the last one.
FINDINGS_MAX = 20

_DETECTORS: Mapping[str, Callable[[Mapping[str, Any]], Detector]] = {
    "budget": Budget,
    "content_accuracy": ContentAccuracy,
    "pii": PiiDetector,
    "prompt_injection": PromptInjection,
    "safety": Safety,
}


def evaluate(call: Call, versions: Sequence[PolicyVersion], stage: Stage) -> tuple[Verdict, ...]:
    """Judge one side of a call.

    Args:
        call: as far as it is known on this side: before it is sent it has no output.
        versions: which to judge it by.
        stage: the side to look at.

    Returns:
        A verdict for each version that looks at this side, in their order; empty when none does.
        The worst rule that fired decides; where none fired and one could not be checked it is
        UNKNOWN, with the reason.

    Raises:
        PolicyRefused: a version has a rule that cannot be used; :func:`check` finds it earlier.
    """
    values = _Values(call)
    return tuple(_judge(call, one, stage, values) for one in versions if stage in one.stages)


def check(version: PolicyVersion) -> None:
    """Make all of a version ready for use, so that what is wrong with it is found now.

    Raises:
        PolicyRefused: a rule is broken, or could take too long; the message names it.
    """
    _checks(version)


class _Values:
    """What expressions read of one call, made when the first one asks."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._made: dict[str, Any] = {}

    def of(self, names: Sequence[str]) -> dict[str, Any]:
        for name in names:
            if name not in self._made:
                self._made[name] = value_of(self._call, name)
        return {name: self._made[name] for name in names}


@lru_cache(maxsize=1_000)
def _checks(version: PolicyVersion) -> tuple[tuple[RuleText, Rule | Detector], ...]:
    made = []
    for number, text in enumerate(version.rules, 1):
        try:
            made.append((text, _make(text)))
        except (PolicyRefused, CatalogError) as error:
            raise PolicyRefused(f"rules[{number}] {text.name}: {error}") from error
    return tuple(made)


def _make(text: RuleText) -> Rule | Detector:
    if text.when is not None:
        return compile_rule(text.when)
    assert text.detector is not None
    return _DETECTORS[text.detector](text.options)


def _judge(call: Call, version: PolicyVersion, stage: Stage, values: _Values) -> Verdict:
    fired: list[RuleText] = []
    findings: list[Finding] = []
    unknown: list[str] = []
    if stage is Stage.INPUT and not call.is_whole:
        unknown.append("more went in than is known")
    for text, each in _checks(version):
        if isinstance(each, Rule):
            try:
                if each.fires(values.of(each.variables)):
                    fired.append(text)
                    findings.append(Finding(text.name, text.says))
            except Unknown as error:
                unknown.append(f"{text.name}: {error}")
            continue
        seen = each.look(call, stage)
        if seen.findings:
            fired.append(text)
            findings += seen.findings
        if seen.unknown is not None:
            unknown.append(f"{text.name}: {seen.unknown}")
    reason = "; ".join(unknown) or None
    if not fired:
        result = Result.ALLOWED if reason is None else Result.UNKNOWN
        return Verdict(version.policy_id, version.version, stage, result, None, reason)
    blocks = any(text.action == "block" for text in fired)
    return Verdict(
        version.policy_id,
        version.version,
        stage,
        Result.BLOCKED if blocks else Result.WARNED,
        max(text.severity for text in fired),
        " ".join(dict.fromkeys(text.says for text in fired)),
        _listed(findings),
    )


def _listed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    if len(findings) <= FINDINGS_MAX:
        return tuple(findings)
    kept = FINDINGS_MAX - 1
    more = Finding("more", f"and {len(findings) - kept:,} more")
    return (*findings[:kept], more)
