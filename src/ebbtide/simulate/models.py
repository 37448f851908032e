"""The invented language models behind the sample proxy, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """One upstream model; prices in nano-dollars a token (1,000 = 1 USD per million tokens)."""

    name: str
    price_in_nano_usd: int
    price_out_nano_usd: int
    latency_ms_median: int

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """Price of one call in USD, exact to the nano-dollar."""
        return (
            tokens_in * self.price_in_nano_usd + tokens_out * self.price_out_nano_usd
        ) / 1_000_000_000


MODELS = {
    model.name: model
    for model in (
        Model("tidal-large-1", 3000, 15000, 1900),
        Model("heath-pro-2", 1250, 5000, 1200),
        Model("tidal-small-1", 150, 600, 700),
        Model("heath-lite-2", 80, 300, 450),
    )
}
