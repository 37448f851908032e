"""What a model call cost, worked out from its tokens where the producer names no cost.

The prices are those of the moment of the call, from the table that comes with genai-prices; it
is a file, nothing is asked over the network. What the table does not know has no cost: unknown is
not zero, and no other model's price is put in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ebbtide.domain.event import COST_DECIMALS

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, TieredPrices

    _Rate = Decimal | TieredPrices

#: Metadata that make a price: the model, who runs it, and how many tokens went in and out.
MODEL, PROVIDER = "model", "provider"
TOKENS_IN, TOKENS_OUT = "tokens_in", "tokens_out"
CACHE_READ, CACHE_WRITE = "tokens_cache_read", "tokens_cache_write"  # both are part of tokens_in

_PACKAGE = "genai-prices"
_MILLION = Decimal(10**6)
_KNOWN_MAX = 2_000  # models remembered; a producer has a handful, a hostile one has any number
_MODEL_MAX_CHARS = 200
_STEP = Decimal(1).scaleb(-COST_DECIMALS)
# 31 bits of tokens times a price of up to 15 digits; the default would round at 28 digits.
_EXACT = Context(prec=60)
#: Names of the telemetry conventions that the table does not know by itself.
_PROVIDERS = {
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}


@dataclass(frozen=True, slots=True)
class TokenCost:
    """A cost and the price table that says so."""

    cost_usd: Decimal
    table: str


class TokenPrices:
    """Prices of tokens by model, provider and moment. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prices: DataSnapshot | None = None
        self._models: dict[tuple[str, str | None], ModelInfo | None] = {}
        #: The price table in use, as it is kept with every cost that it gave.
        self.table = f"{_PACKAGE} {version(_PACKAGE)}"

    def cost_of(self, metadata: Mapping[str, Any], at: datetime) -> TokenCost | None:
        """The cost of one call.

        Args:
            metadata: those of an LLM_CALL_* event; ``tokens_in`` counts the whole prompt, cached
                tokens too, so that each is paid once: at the price of the cache where there is
                one, else at that of the prompt.
            at: the moment of the call, UTC-aware.

        Returns:
            The cost, rounded half to even to the step that is kept. None when the model or its
            price is unknown, when tokens are missing, or when more were cached than came in.
        """
        model = self._model(metadata)
        if model is None:
            return None
        tokens_in, tokens_out = metadata.get(TOKENS_IN), metadata.get(TOKENS_OUT)
        read, written = metadata.get(CACHE_READ) or 0, metadata.get(CACHE_WRITE) or 0
        # Its own attributes: asked for one that is not there it searches its whole registry.
        price = vars(model.get_prices(at))
        if tokens_out is None and price.get("output_mtok") is None:
            tokens_out = 0  # nothing comes out of an embedding
        counts = [_count(one) for one in (tokens_in, tokens_out, read, written)]
        if None in counts:
            return None
        cost = _cost(price, *(one or 0 for one in counts))
        return None if cost is None else TokenCost(cost.quantize(_STEP), self.table)

    def _model(self, metadata: Mapping[str, Any]) -> ModelInfo | None:
        name, provider = metadata.get(MODEL), metadata.get(PROVIDER) or None
        if not isinstance(name, str) or not 0 < len(name) <= _MODEL_MAX_CHARS:
            return None
        if provider is not None:
            if not isinstance(provider, str) or len(provider) > _MODEL_MAX_CHARS:
                return None
            provider = provider.strip().lower()
            provider = _PROVIDERS.get(provider, provider)
        asked = (name, provider)
        try:
            return self._models[asked]
        except KeyError:
            return self._find(name, provider)

    def _find(self, name: str, provider: str | None) -> ModelInfo | None:
        # Read when the first call without a cost comes: most producers name it, and the table
        # is large.
        from genai_prices.data import providers
        from genai_prices.data_snapshot import DataSnapshot

        with self._lock:
            if self._prices is None or len(self._models) >= _KNOWN_MAX:
                # A new one each time: the package remembers every name it was ever asked for.
                self._prices = DataSnapshot(providers=providers, from_auto_update=False)
                self._models.clear()
            found: ModelInfo | None
            try:
                _, found = self._prices.find_provider_model(name, None, provider, None)
            except LookupError:
                found = None
            if found is not None and not found.prices:
                found = None
            self._models[name, provider] = found
            return found


def _count(value: Any) -> int | None:
    """A number of tokens; also when it is written as 12.0, as elsewhere in metadata."""
    is_number = isinstance(value, int | float) and value >= 0
    return int(value) if is_number and value == int(value) else None


def _cost(
    price: Mapping[str, _Rate | None], tokens_in: int, tokens_out: int, read: int, written: int
) -> Decimal | None:
    """The exact cost; None when a part of it has no price."""
    if read + written > tokens_in:
        return None
    if price.get("input_mtok") is None and price.get("output_mtok") is None:
        return None  # it is paid by something else than tokens
    counts = {"input_mtok": tokens_in, "output_mtok": tokens_out}
    for name, tokens in (("cache_read_mtok", read), ("cache_write_mtok", written)):
        if tokens and price.get(name) is not None:
            counts[name] = tokens
            counts["input_mtok"] -= tokens
    total = Decimal(0)
    for name, tokens in counts.items():
        rate = price.get(name)
        if rate is not None:
            total = _EXACT.add(total, _EXACT.multiply(_at(rate, tokens_in), Decimal(tokens)))
        elif tokens:
            return None
    cost = _EXACT.divide(total, _MILLION)
    each = price.get("requests_kcount")
    return cost if each is None else _EXACT.add(cost, _at(each, tokens_in) / 1000)


def _at(rate: _Rate, tokens_in: int) -> Decimal:
    """The price that holds for a prompt of this length: the highest tier that it reaches."""
    if isinstance(rate, Decimal):
        return rate
    reached = [tier.price for tier in rate.tiers if tokens_in > tier.start]
    return reached[-1] if reached else rate.base
