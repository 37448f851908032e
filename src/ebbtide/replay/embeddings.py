"""How alike two outputs are by the embeddings of a model: a call, paid like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite, sqrt
from typing import Any

import msgspec

from ebbtide.domain.errors import SettingsError, SpendingCapReached
from ebbtide.egress.models import EMBEDDINGS, ModelCallFailed
from ebbtide.egress.upstreams import Upstream, Upstreams
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.replay.candidate import Line, cost_of
from ebbtide.replay.compare import Measured

THRESHOLD = 0.9  # of the cosine; each model has its own scale
TIMEOUT_S = 30.0
_DIMENSIONS_MAX = 20_000
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Purse:
    """How a call is paid.

    Attributes:
        reserve: sets money aside; raises SpendingCapReached.
        settle: says what it cost; None when nobody saw it.
    """

    reserve: Callable[[Decimal], None]
    settle: Callable[[Decimal | None], None]


class EmbeddingsMeasure:
    """Measures with one model.

    Args:
        model: one that the operator's file of upstreams names.
        unknown_usd: what a call counts as when no price is known of the model.

    Raises:
        SettingsError: no upstream names the model.
    """

    def __init__(
        self,
        line: Line,
        upstreams: Upstreams,
        model: str,
        prices: TokenPrices,
        unknown_usd: Decimal | None,
    ) -> None:
        found = upstreams.of_model(model)
        if found is None or found.fit(model) < 0:
            raise SettingsError(
                "EBBTIDE_REPLAY_EMBEDDINGS_MODEL: no upstream of EBBTIDE_UPSTREAMS names this model"
            )
        self._line = line
        self._upstream: Upstream = found
        self._model = model
        self._prices = prices
        self._unknown_usd = unknown_usd
        self.method = f"embeddings of {model}"

    def measure(self, before: str, after: str, purse: Purse, at: datetime) -> Measured:
        """The cosine of both texts' embeddings; none of what can go wrong is raised."""
        body = msgspec.json.encode({"model": self._model, "input": [before, after]})
        amount = self._cost(len(body), at)  # a token has at least one byte
        if amount is None:
            return self._blind("no price is known of the model of embeddings")
        try:
            purse.reserve(amount)
        except SpendingCapReached:
            return self._blind("a cap left too little to measure the similarity")
        try:
            answer = self._line.post(self._upstream, EMBEDDINGS, body, timeout_s=TIMEOUT_S)
        except ModelCallFailed as error:
            purse.settle(None if error.was_sent else Decimal(0))
            return self._blind(f"the embeddings did not come: {error.reason}")
        if answer.status != 200:
            is_refused = 400 <= answer.status < 500 and answer.status != 408
            purse.settle(Decimal(0) if is_refused else None)
            return self._blind(f"the embeddings did not come: status {answer.status}")
        tokens, vectors = _read(answer.body)
        purse.settle(None if tokens is None else self._cost(tokens, at))
        if vectors is None:
            return self._blind("the embeddings cannot be read")
        return Measured(self.method, THRESHOLD, _cosine(*vectors))

    def _cost(self, tokens: int, at: datetime) -> Decimal | None:
        found = cost_of(
            self._prices, self._upstream, self._model, at, tokens_in=tokens, tokens_out=0
        )
        return self._unknown_usd if found is None else found

    def _blind(self, reason: str) -> Measured:
        return Measured(self.method, THRESHOLD, None, reason)


def _read(body: bytes) -> tuple[int | None, tuple[list[float], list[float]] | None]:
    """How many tokens were counted, and both embeddings; None for what cannot be read."""
    try:
        answer: Any = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    if not isinstance(answer, dict):
        return None, None
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if type(tokens) is not int or not 0 <= tokens < 2**31:
        tokens = None
    data = answer.get("data")
    rows = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    by_index = {one.get("index"): one.get("embedding") for one in rows}
    vectors = [_vector(by_index.get(index)) for index in (0, 1)]
    first, second = vectors
    if first is None or second is None or len(first) != len(second):
        return tokens, None
    return tokens, (first, second)


def _vector(value: Any) -> list[float] | None:
    if not isinstance(value, list) or not 0 < len(value) <= _DIMENSIONS_MAX:
        return None
    if not all(type(one) in (int, float) and abs(one) < 1e100 and isfinite(one) for one in value):
        return None
    return [float(one) for one in value]


def _cosine(a: list[float], b: list[float]) -> float | None:
    """None when one of them has no direction."""
    lengths = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
    if not 0 < lengths < float("inf"):
        return None
    return max(0.0, min(1.0, sum(x * y for x, y in zip(a, b, strict=True)) / lengths))
