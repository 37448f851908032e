"""Costs from tokens: the price of the moment, each token once, and nothing where nobody knows."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from genai_prices import Usage
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.ingest.validate import Validator
from ebbtide.store.events.base import COST_TABLE, same_content, to_batch
from example_counts import examples

NOW = datetime(2026, 3, 12, 8, tzinfo=UTC)
PRICES = TokenPrices()
VALIDATOR = Validator(load_catalog(), PRICES)
MINI = {"model": "gpt-4o-mini", "provider": "openai", "tokens_in": 1000, "tokens_out": 100}
PRICED = [
    (provider.id, model) for provider in providers for model in provider.models if model.prices
]


def cost(at: datetime = NOW, **metadata: Any) -> Decimal | None:
    found = PRICES.cost_of(metadata, at)
    return None if found is None else found.cost_usd


def check(**changes: Any) -> Event:
    event = VALIDATOR.check(
        {
            "event_id": "call-1",
            "timestamp": "2026-03-12T07:59:59Z",
            "tenant_id": "acme",
            "event_type": "LLM_CALL_MADE",
            "metadata": MINI,
        }
        | changes,
        received_at=NOW,
        default_source="api",
    )
    assert isinstance(event, Event), event
    return event


def test_in_and_out_have_their_own_price() -> None:
    assert cost(**MINI) == Decimal("0.00021")  # 1000 x 0.15 and 100 x 0.60 USD per million


def test_cached_tokens_are_paid_once_at_the_price_of_the_cache() -> None:
    # 600 x 0.15, 400 x 0.075 and 100 x 0.60
    assert cost(**MINI, tokens_cache_read=400) == Decimal("0.00018")


def test_more_cached_than_came_in_is_no_cost() -> None:
    assert cost(**MINI, tokens_cache_read=1001) is None
    assert cost(**MINI, tokens_cache_read=600, tokens_cache_write=600) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "a model that nobody sells"},
        {"provider": "a provider that nobody knows"},
        {"model": None},
        {"model": ""},
        {"model": "m" * 100_000},
        {"tokens_in": None},
        {"tokens_out": None},
        {"tokens_in": -1},
        {"tokens_out": 0.5},
        {"tokens_cache_read": -5},
    ],
    ids=str,
)
def test_what_is_not_known_has_no_cost(changes: dict[str, Any]) -> None:
    assert cost(**(MINI | changes)) is None


def test_an_embedding_needs_no_tokens_out() -> None:
    only_in = {"model": "text-embedding-3-small", "provider": "openai", "tokens_in": 1_000_000}
    assert cost(**only_in) == Decimal("0.02")


def test_the_price_is_that_of_the_moment_of_the_call() -> None:
    o3 = {"model": "o3", "provider": "openai", "tokens_in": 1_000_000, "tokens_out": 0}
    before, after = (cost(datetime(2025, 6, day, tzinfo=UTC), **o3) for day in (9, 11))
    assert (before, after) == (Decimal(10), Decimal(2))


def test_names_of_the_telemetry_conventions_are_understood() -> None:
    conventional, own = (cost(**(MINI | {"provider": one})) for one in ("azure.ai.openai", "azure"))
    assert conventional == own == Decimal("0.00021")


def test_a_model_that_names_its_provider_needs_no_other_name() -> None:
    assert cost(**MINI) == cost(**{name: MINI[name] for name in MINI if name != "provider"})


def test_any_number_of_unknown_models_takes_little_memory() -> None:
    prices = TokenPrices()
    for number in range(4500):
        assert prices.cost_of(MINI | {"model": f"nobody-{number}"}, NOW) is None
    assert len(prices._models) <= 2000
    assert prices._prices is not None and len(prices._prices._provider_misses) <= 2000


TOKENS = st.integers(0, 400_000)


@given(st.sampled_from(PRICED), TOKENS, TOKENS, TOKENS, TOKENS)
@settings(max_examples=examples(200), deadline=None)
def test_it_agrees_with_the_package(
    one: tuple[str, Any], tokens_in: int, out: int, read: int, written: int
) -> None:
    provider, model = one
    read, written = read % (tokens_in // 2 + 1), written % (tokens_in // 2 + 1)
    found = PRICES.cost_of(
        {
            "model": model.id,
            "provider": provider,
            "tokens_in": tokens_in,
            "tokens_out": out,
            "tokens_cache_read": read,
            "tokens_cache_write": written,
        },
        NOW,
    )
    if found is None:
        return  # a unit without a price, which the package takes for free
    usage = Usage(
        input_tokens=tokens_in,
        output_tokens=out,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    with localcontext(prec=60):
        assert PRICES._prices is not None
        expected = PRICES._prices.calc(usage, model.id, provider, None, NOW).total_price
    assert found.cost_usd == expected.quantize(Decimal("1e-10"))


# -- the event ---------------------------------------------------------------------------------


def test_an_event_keeps_the_table_beside_the_cost() -> None:
    event = check()
    assert event.cost_usd == Decimal("0.00021")
    assert json.loads(event.metadata_json) == MINI | {COST_TABLE: PRICES.table}
    assert PRICES.table.startswith("genai-prices ")


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_usd": 0},
        {"cost_usd": 0.5},
        {"metadata": MINI | {"cost_usd": 0.5}},
        {"metadata": MINI | {"model": "nobody"}},
        {"event_type": "POLICY_EVALUATED"},
    ],
    ids=str,
)
def test_what_the_producer_said_is_not_touched(changes: dict[str, Any]) -> None:
    event = check(**changes)
    said = changes.get("cost_usd", changes.get("metadata", {}).get("cost_usd"))
    assert event.cost_usd == (None if said is None else Decimal(str(said)))
    assert COST_TABLE not in event.metadata_json


def test_a_retry_is_the_same_event_under_another_table() -> None:
    class Newer(TokenPrices):
        def cost_of(self, metadata: Any, at: datetime) -> Any:
            found = super().cost_of(metadata, at)
            assert found is not None
            return type(found)(found.cost_usd * 2, "genai-prices 99")

    def row(event: Event) -> dict[str, Any]:
        (found,) = to_batch([event]).to_pylist()
        return dict(found)

    fields = {
        "event_id": "call-1",
        "timestamp": "2026-03-12T07:59:59Z",
        "tenant_id": "acme",
        "event_type": "LLM_CALL_MADE",
        "metadata": MINI,
    }
    newer = Validator(load_catalog(), Newer()).check(fields, received_at=NOW, default_source="api")
    without = Validator(load_catalog()).check(fields, received_at=NOW, default_source="api")
    assert isinstance(newer, Event) and isinstance(without, Event)
    assert same_content(row(check()), row(newer))
    assert same_content(row(without), row(newer)) and same_content(row(newer), row(without))
    assert not same_content(row(check()), row(check(cost_usd=0.00021)))
    assert not same_content(row(check()), row(check(metadata=MINI | {"tokens_out": 101})))


# -- real calls --------------------------------------------------------------------------------


def test_the_cost_of_real_calls_is_exact() -> None:
    """Against fractions of the prices of another table, and its published sums."""
    folder = os.environ.get("EBBTIDE_TEST_DATA")
    if folder is None:
        pytest.skip("EBBTIDE_TEST_DATA names no folder with the public data")
    calls = pq.read_table(Path(folder, "llm-calls", "azure_2023.parquet"))
    named = json.loads(
        Path(folder, "llm-calls", "model_prices.json").read_text(), parse_float=Fraction
    )["gpt-4o-mini"]
    ways = [named["input_cost_per_token"], named["output_cost_per_token"]]
    exact = {"code": Fraction(0), "conv": Fraction(0)}
    ours = dict.fromkeys(exact, Decimal(0))
    columns = ("workload", "timestamp", "input_tokens", "output_tokens")
    for workload, at, tokens_in, out in zip(
        *(calls.column(one).to_pylist() for one in columns), strict=True
    ):
        exact[workload] += tokens_in * ways[0] + out * ways[1]
        found = cost(at, **(MINI | {"tokens_in": tokens_in, "tokens_out": out}))
        assert found is not None
        ours[workload] += found
    assert {name: Fraction(one) for name, one in ours.items()} == exact
    assert {name: round(one, 4) for name, one in ours.items()} == {
        "code": Decimal("2.8565"),
        "conv": Decimal("5.8075"),
    }
