"""Small facts of an installation on both engines."""

from __future__ import annotations

from ebbtide.store.state.base import StateStore


def test_a_value_is_unknown_until_it_is_set(store: StateStore) -> None:
    assert store.settings.get("installation_id") is None
    assert store.settings.get_or_set("installation_id", "one") == "one"
    assert store.settings.get_or_set("installation_id", "two") == "one"
    store.settings.set("installation_id", "three")
    store.settings.set("empty", "")
    assert store.settings.get("installation_id") == "three"
    assert store.settings.get("empty") == ""
