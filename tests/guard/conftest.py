"""Calls to judge, and the policies that come with Ebbtide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from ebbtide.catalog.policy import PolicyVersion, load_policies
from ebbtide.domain.call import Call, Message

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)


@pytest.fixture(scope="session")
def policies() -> Mapping[str, PolicyVersion]:
    """By id."""
    return {one.policy_id: one for one in load_policies()}


@pytest.fixture(scope="session")
def make_call() -> Callable[..., Call]:
    """A call of which a test says what matters."""

    def make(asked: str = "Is it so?", output: str | None = "It is.", **rest: Any) -> Call:
        messages = rest.pop("messages", (Message("user", asked),))
        return Call("call-1", "acme", AT, messages=messages, output=output, **rest)

    return make
