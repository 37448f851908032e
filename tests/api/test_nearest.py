"""The known word that somebody may have meant."""

from __future__ import annotations

import pytest

from ebbtide.domain.nearest import did_you_mean, nearest

KNOWN = ["tenant_id", "event_type", "limit", "LOGIN"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("tenant", "tenant_id"), ("Tenant_Id", "tenant_id"), ("eventtype", "event_type"),
        ("login", "LOGIN"), ("limits", "limit"), ("colour", None), ("", None),
        ("limit" * 100_000, None),
    ],
    ids=lambda word: str(word)[:20],
)  # fmt: skip
def test_the_nearest_is_found_or_none(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant
    assert did_you_mean(word, KNOWN) == (f"; did you mean {meant}?" if meant else "")


def test_without_known_words_nothing_is_guessed() -> None:
    assert nearest("limit", []) is None
