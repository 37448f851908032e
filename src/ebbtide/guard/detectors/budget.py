"""Recognises a call that cost more money or tokens than one call may."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ebbtide.domain.call import Call
from ebbtide.domain.errors import PolicyRefused
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen

COST = "cost"
TOKENS = "token"


class Budget:
    """Fires above a limit, not at it.

    Args:
        options: ``max_cost_usd`` and ``max_tokens`` (in and out together), one or both.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        self._max_cost_usd = given.number("max_cost_usd")
        self._max_tokens = given.number("max_tokens")
        given.close()
        if self._max_cost_usd is None and self._max_tokens is None:
            raise PolicyRefused("options: needs max_cost_usd, max_tokens or both")

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at what a finished call took; findings are of the rules ``cost`` and ``token``."""
        findings = []
        missing = []
        if self._max_cost_usd is not None:
            if call.cost_usd is None:
                missing.append("cost")
            elif Fraction(call.cost_usd) > self._max_cost_usd:
                limit = f"{float(self._max_cost_usd):g}"
                text = f"the call cost {call.cost_usd:f} US dollars, more than {limit}"
                findings.append(Finding(COST, text))
        if self._max_tokens is not None:
            counted = [n for n in (call.tokens_in, call.tokens_out) if n is not None]
            tokens = sum(counted)
            if tokens > self._max_tokens:  # what is not counted only adds to it
                text = f"the call took {tokens:,} tokens, more than {float(self._max_tokens):,g}"
                findings.append(Finding(TOKENS, text))
            elif len(counted) < 2:
                missing.append("tokens")
        unknown = f"{' and '.join(missing)} not known" if missing else None
        return Seen(tuple(findings), unknown)
