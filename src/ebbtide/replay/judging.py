"""Asks policies about recorded calls, also about those that have lost their personal data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.domain.call import Call, Message
from ebbtide.domain.policy import Finding, Result, Stage, Verdict
from ebbtide.guard.evaluate import evaluate

#: What a recogniser finds, in the place of what it once found. None of them is anybody's.
STAND_INS = {
    "[card]": "4111 1111 1111 1111",
    "[email]": "somebody@example.com",
    "[iban]": "GB82 WEST 1234 5698 7654 32",
    "[key]": "".join(("AKIA", "IOSFODNN7EXAMPLE")),  # else it looks as if a key were here
    "[phone]": "+49 30 901820",
}
_TAKEN = re.compile("|".join(map(re.escape, STAND_INS)))
#: The worst first. What could not be checked may have been to be blocked.
_WORST = (Result.BLOCKED, Result.UNKNOWN, Result.WARNED, Result.ALLOWED)


def judge(call: Call, versions: Sequence[PolicyVersion]) -> tuple[Verdict, ...]:
    """What versions say of both sides of a call.

    Where personal data were taken out of a recorded call, it is judged with other data of the
    same kind in their place: otherwise it would look as if there never had been any.
    """
    if not call.is_redacted:
        return _judged(call, versions)
    verdicts = _judged(with_stand_ins(call), versions)
    # Places in a text that nobody has are no places.
    return tuple(
        replace(one, findings=tuple(Finding(each.rule, each.text) for each in one.findings))
        for one in verdicts
    )


def results_of(call: Call, versions: Sequence[PolicyVersion]) -> list[Result | None]:
    """The worst that each version says of a call; None for one that looks at neither side."""
    whole = with_stand_ins(call)
    found = []
    for version in versions:
        said = {one.result for one in _judged(whole, (version,))}
        found.append(next((one for one in _WORST if one in said), None))
    return found


def with_stand_ins(call: Call) -> Call:
    """A call with made-up personal data in the place of those that were taken out of it."""
    if not call.is_redacted:
        return call
    return replace(
        call,
        messages=tuple(Message(one.role, _filled(one.text)) for one in call.messages),
        context=None if call.context is None else _filled(call.context),
        output=_filled(call.output),
        parameters=_filled(call.parameters),
    )


def _judged(call: Call, versions: Sequence[PolicyVersion]) -> tuple[Verdict, ...]:
    return tuple(verdict for stage in Stage for verdict in evaluate(call, versions, stage))


def _filled(value: Any) -> Any:
    if isinstance(value, str):
        return _TAKEN.sub(lambda found: STAND_INS[found[0]], value)
    if isinstance(value, Mapping):
        return {_filled(name): _filled(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one) for one in value]
    return value
