"""Says how a candidate compares with its baseline: determinism, differences, deltas.

Pure functions of two calls and what policies say of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Result, Stage, Verdict
from ebbtide.domain.replay import Comparison, Delta, Determinism, Match
from ebbtide.replay.words import diff_words, similarity

#: What a request says about its transport or its bookkeeping, and not about the answer.
NOT_OF_THE_ANSWER = frozenset({"metadata", "store", "stream", "stream_options", "user"})
NOTHING_FIRED = Decimal(1)  # the lowest severity
TEXT_SIMILARITY = "text similarity"
TEXT_THRESHOLD = 0.9


@dataclass(frozen=True, slots=True)
class Measured:
    """How alike two texts are.

    Attributes:
        similarity: 0 to 1; None when it could not be measured.
        reason: why it could not.
    """

    method: str
    threshold: float
    similarity: float | None
    reason: str | None = None


Measure = Callable[[str, str], Measured]


def measure_text(before: str, after: str) -> Measured:
    """Shared words in their order. It cannot tell "Yes" from "No": it says text similarity."""
    found = similarity(before, after)
    reason = "the outputs are too long to be measured" if found is None else None
    return Measured(TEXT_SIMILARITY, TEXT_THRESHOLD, found, reason)


def compare(
    baseline: Call,
    candidate: Call,
    *,
    in_force: tuple[Sequence[Verdict], Sequence[Verdict]],
    asked_for: Sequence[Verdict],
    measure: Measure = measure_text,
    differs: str | None = None,
) -> Comparison:
    """Put a candidate beside its baseline.

    Args:
        in_force: verdicts on baseline and candidate by the same versions, those in force when the
            baseline was made. Determinism rests on these, so another policy never disturbs it.
        asked_for: verdicts on the candidate by the versions that the replay was asked for.
        measure: asked only where the outputs are neither the same nor judged alike.
        differs: what else makes the two unlike from the start, such as an input that is not
            recorded as it was; None when nothing does.
    """
    diff = None
    if baseline.output is not None and candidate.output is not None:
        diff = diff_words(baseline.output, candidate.output)
    return Comparison(
        determinism=judge(baseline, candidate, in_force, measure, differs),
        diff=diff,
        severity=Delta(severity(in_force[0]), severity(asked_for)),
        cost_usd=Delta(baseline.cost_usd, candidate.cost_usd),
        latency_ms=Delta(_decimal(baseline.latency_ms), _decimal(candidate.latency_ms)),
        baseline_verdicts=tuple(in_force[0]),
        candidate_verdicts=tuple(asked_for),
    )


def judge(
    baseline: Call,
    candidate: Call,
    in_force: tuple[Sequence[Verdict], Sequence[Verdict]],
    measure: Measure = measure_text,
    differs: str | None = None,
) -> Determinism:
    """The strongest level that holds, or why nothing can be said."""
    differs = differs or difference(baseline, candidate)
    if differs is not None:
        return Determinism(Match.NOT_COMPARABLE, differs)
    before, after = baseline.output, candidate.output
    if before is None or after is None:
        which = "recorded call" if before is None else "new call"
        return Determinism(Match.NOT_COMPARABLE, f"the {which} has no output")
    if output_hash(before) == output_hash(after):
        return Determinism(Match.EXACT, "both outputs have the same hash")
    outputs = tuple(_of_output(verdicts) for verdicts in in_force)
    if outputs[0] is not None and outputs[0] == outputs[1]:
        return Determinism(Match.LOGICAL, "the policies say the same of both outputs")
    found = measure(before, after)
    if found.similarity is None:
        return Determinism(
            Match.NOT_COMPARABLE, found.reason or "it could not be measured", found.method
        )
    is_alike = found.similarity >= found.threshold
    policies = "the policies do not say the same of both outputs"
    if None in outputs:
        policies = "no policy could be checked on both outputs"
    return Determinism(
        Match.SEMANTIC if is_alike else Match.MISMATCH,
        f"{policies}; {found.method} is {'at least' if is_alike else 'below'} {found.threshold:g}",
        found.method,
        found.similarity,
        found.threshold,
    )


def difference(baseline: Call, candidate: Call) -> str | None:
    """What keeps two calls from being like and like; None when nothing does."""
    if baseline.model is None or candidate.model is None:
        return "the model is not known"
    if baseline.model != candidate.model:
        return "another model"
    if baseline.provider != candidate.provider:
        return "another provider"
    if (baseline.messages, _form(baseline.context)) != (
        candidate.messages,
        _form(candidate.context),
    ):
        return "another input"
    before, after = _of_answer(baseline.parameters), _of_answer(candidate.parameters)
    names = sorted(
        name
        for name in before.keys() | after.keys()
        if _form(before.get(name)) != _form(after.get(name))
    )
    return f"other parameters: {', '.join(names)}" if names else None


def output_hash(text: str) -> str:
    """sha256 of an output, in hexadecimal."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def severity(verdicts: Sequence[Verdict]) -> Decimal | None:
    """The highest severity of what fired; 1 where nothing did.

    Returns:
        None when nothing fired and something could not be checked, or nothing was checked.
    """
    known = [one.severity for one in verdicts if one.has_fired and one.severity is not None]
    if known:
        return Decimal(max(known))
    if not verdicts or any(one.has_fired or one.result is Result.UNKNOWN for one in verdicts):
        return None
    return NOTHING_FIRED


def _of_output(verdicts: Sequence[Verdict]) -> Counter[tuple[str, str, Result]] | None:
    """What policies say of an output; None when none says anything, or one could not be checked."""
    found = [one for one in verdicts if one.stage is Stage.OUTPUT]
    if not found or any(one.result is Result.UNKNOWN for one in found):
        return None
    return Counter((one.policy_id, one.policy_version, one.result) for one in found)


def _of_answer(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.items()
        if name not in NOT_OF_THE_ANSWER and value is not None
    }


def _form(value: object) -> object:
    """A JSON value so that two equal forms are the same value: 1 is 1.0, and true is no number."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, Mapping):
        return {name: _form(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_form(one) for one in value]
    return value


def _decimal(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value)
