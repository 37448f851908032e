"""Makes one recorded call again: the request, its answer, and the most that it may cost.

Whatever the model says is data: it is read into a :class:`Call`, and nothing in it is obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from math import ceil
from time import monotonic
from types import MappingProxyType
from typing import Protocol

import msgspec

from ebbtide.domain.call import Call
from ebbtide.domain.errors import EbbtideError
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.egress.models import CHAT, ModelAnswer, ModelCallFailed
from ebbtide.egress.upstreams import Upstream
from ebbtide.guard.answer import AnswerBroken, AnswerText
from ebbtide.ingest.token_cost import TokenPrices

OUTPUT_MAX_CHARS = 5_000_000
#: Tokens that an answer may have where the recorded call named no limit.
ANSWER_MAX_TOKENS = 4_096
#: Tokens around a message: who speaks, and where it ends.
_MESSAGE_TOKENS = 16
#: What a request says about its transport; a replay reads the whole answer at once.
_TRANSPORT = frozenset({"stream", "stream_options"})
_LIMITS = ("max_completion_tokens", "max_tokens")
#: Models that refuse ``max_tokens``; servers of one's own often know nothing else.
_WANTS_COMPLETION_TOKENS = re.compile(r"(?:.*/)?(?:o\d|gpt-5)")


class Line(Protocol):
    """The way out to models."""

    def post(
        self, upstream: Upstream, path: str, body: bytes, *, timeout_s: float | None = None
    ) -> ModelAnswer:
        """Post a JSON body and wait for the whole answer; raises ModelCallFailed."""
        ...


class CandidateFailed(EbbtideError):
    """A call gave no answer that can be compared; ``reason`` is the class of the error.

    Attributes:
        cost_usd: what it cost; None when nobody saw that.
        http_status: of the provider's answer; None when none came.
    """

    code = "candidate-failed"

    def __init__(
        self, reason: str, *, cost_usd: Decimal | None, http_status: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cost_usd = cost_usd
        self.http_status = http_status


def request_body(baseline: Call, model: str) -> tuple[bytes, int | None]:
    """The request of a replay: the recorded one, with another model where one was asked for.

    Returns:
        The JSON text, and the limit of tokens that is not the recorded call's own.
    """
    parameters = {
        name: value for name, value in baseline.parameters.items() if name not in _TRANSPORT
    }
    added = None
    if not any(_whole(parameters.get(name)) for name in _LIMITS):
        added = ANSWER_MAX_TOKENS
        parameters[_LIMITS[0 if _WANTS_COMPLETION_TOKENS.match(model) else 1]] = added
    messages = [{"role": one.role, "content": one.text} for one in baseline.messages]
    # Last, so that no recorded parameter stands in their place.
    body = parameters | {"model": model, "messages": messages}
    return msgspec.json.encode(body), added


def most_it_costs(
    body: bytes,
    upstream: Upstream,
    model: str,
    prices: TokenPrices,
    at: datetime,
    unknown_usd: Decimal | None,
) -> Decimal | None:
    """An upper bound of what a request costs.

    A token has at least one byte, so the bytes of the request bound its tokens.

    Args:
        unknown_usd: what counts where no price is known of the model.

    Returns:
        None when nothing bounds it.
    """
    request = msgspec.json.decode(body)
    limits = [_whole(request.get(name)) for name in _LIMITS]
    answers = _whole(request.get("n")) or 1
    tokens_in = len(body) + _MESSAGE_TOKENS * (1 + len(request["messages"]))
    tokens_out = max(one for one in limits if one) * answers
    found = cost_of(prices, upstream, model, at, tokens_in=tokens_in, tokens_out=tokens_out)
    return unknown_usd if found is None else found


def cost_of(
    prices: TokenPrices, upstream: Upstream, model: str, at: datetime, **tokens: int | None
) -> Decimal | None:
    """What a call costs by its tokens; None when no price is known.

    An upstream is called as the operator likes: where that is no provider's name, the model alone
    has to say the price.
    """
    for provider in (upstream.upstream_id, None):
        found = prices.cost_of({"model": model, "provider": provider, **tokens}, at)
        if found is not None:
            return found.cost_usd
    return None


def make_call(
    line: Line,
    upstream: Upstream,
    baseline: Call,
    model: str,
    *,
    call_id: str,
    at: datetime,
    timeout_s: float,
    prices: TokenPrices,
    unknown_usd: Decimal | None,
    timer: Callable[[], float] = monotonic,
) -> Call:
    """Make the call, once.

    Raises:
        CandidateFailed: there is no answer that can be compared.
    """
    body, added = request_body(baseline, model)
    started = timer()
    try:
        answer = line.post(upstream, CHAT, body, timeout_s=timeout_s)
    except ModelCallFailed as error:
        # What was never sent costs nothing; of all else nobody knows.
        cost = None if error.was_sent else Decimal(0)
        raise CandidateFailed(error.reason, cost_usd=cost) from error
    latency_ms = ceil((timer() - started) * 1000)
    if answer.status != 200:
        # A request that was turned away is not charged; one that broke on the way may be.
        is_refused = 400 <= answer.status < 500 and answer.status != 408
        cost = Decimal(0) if is_refused else None
        raise CandidateFailed(_refusal(answer.status), cost_usd=cost, http_status=answer.status)
    said = AnswerText()
    try:
        said.read_whole(answer.body)
    except AnswerBroken as error:
        raise CandidateFailed("broken_answer", cost_usd=None, http_status=200) from error
    found = cost_of(
        prices,
        upstream,
        model,
        at,
        tokens_in=said.tokens_in,
        tokens_out=said.tokens_out,
        tokens_cache_read=said.tokens_cache_read,
    )
    cost_usd = unknown_usd if found is None else found
    if said.text is None or len(said.text) > OUTPUT_MAX_CHARS:
        reason = "broken_answer" if said.text is None else "answer_too_large"
        raise CandidateFailed(reason, cost_usd=cost_usd, http_status=200)
    parameters = baseline.parameters
    if added is not None and said.finish_reason == "length":
        # Only here does our own limit show, and then it is no parameter of the recorded call.
        parameters = MappingProxyType(dict(parameters) | {"max_tokens": added})
    return replace(
        baseline,
        call_id=call_id,
        at=at,
        model=model,
        provider=upstream.upstream_id,
        output=said.text,
        parameters=parameters,
        tokens_in=said.tokens_in,
        tokens_out=said.tokens_out,
        cost_usd=cost_usd,
        latency_ms=latency_ms,
        http_status=answer.status,
        error_type=None,
        finish_reason=said.finish_reason,
    )


def _refusal(status: int) -> str:
    if status == 429:
        return "rate_limit"
    if status in (401, 403):
        return "provider_refused_key"
    if status in (408, 504):
        return "timeout"
    return "provider_error" if status >= 500 else "provider_refused"


def _whole(value: object) -> int | None:
    """A count as JSON has it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        return None
    return value


def candidate_id(replay_id: str, number: int) -> str:
    """The id of a sample's call."""
    return f"{replay_id}.{number}"[:ID_MAX_CHARS]
