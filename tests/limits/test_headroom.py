"""Rate limits are read out of the headers that providers send, wherever a producer puts them."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.limits.headroom import rate_limits


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"},
            {"requests": (60, 59)},
        ),
        (
            {"headers": {"X-RateLimit-Limit-Tokens": 150000, "x-ratelimit-remaining-tokens": 9}},
            {"tokens": (150000, 9)},
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "80000",
                "anthropic-ratelimit-input-tokens-remaining": "79000",
            },
            {"input-tokens": (80000, 79000)},
        ),
        (
            {"x_ratelimit_limit_requests": 10, "x_ratelimit_remaining_requests": 0},
            {"requests": (10, 0)},
        ),
        ({"x-ratelimit-limit-requests": "60"}, {}),
        ({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}, {}),
        ({"x-ratelimit-limit-requests": "n/a", "x-ratelimit-remaining-requests": "1"}, {}),
        ({"x-ratelimit-limit-requests": True, "x-ratelimit-remaining-requests": 1}, {}),
        ({"x-ratelimit-limit-requests": 1e400, "x-ratelimit-remaining-requests": 1}, {}),
        ({"headers": "x-ratelimit-limit-requests: 60", "model": "m"}, {}),
    ],
)
def test_rate_limits(metadata: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rate_limits(metadata) == expected
