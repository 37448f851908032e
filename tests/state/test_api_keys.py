"""API keys on their shelf, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ebbtide.domain.errors import NotFound
from ebbtide.domain.keys import Scope, split_key, verify
from ebbtide.store.state.base import StateStore

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_made_key_is_found_by_its_id_and_opened_by_its_secret(store: StateStore) -> None:
    made = store.keys.create(
        "loader",
        {Scope.INGEST, Scope.READ},
        AT,
        tenant_id="acme",
        expires_at=AT + timedelta(days=30),
    )
    credential = split_key(made.text)
    kept = store.keys.find(credential.key_id)
    assert kept == made.record
    assert kept is not None
    assert (kept.name, kept.tenant_id) == ("loader", "acme")
    assert kept.scopes == {Scope.INGEST, Scope.READ}
    assert kept.expires_at == AT + timedelta(days=30)
    assert verify(kept, credential.secret, AT)
    assert not verify(kept, credential.secret, AT + timedelta(days=30))


def test_the_secret_is_nowhere_in_the_store(store: StateStore) -> None:
    made = store.keys.create("loader", {Scope.READ}, AT)
    secret = split_key(made.text).secret
    with store._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM api_keys").all()
    assert len(rows) == 1
    assert secret not in repr(rows)


def test_an_unknown_id_finds_nothing(store: StateStore) -> None:
    for key_id in ("abcdefgh2345", "", "a\0b", "é", "\ud800", "x" * 10_000):
        assert store.keys.find(key_id) is None
        with pytest.raises(NotFound):
            store.keys.revoke(key_id, AT)


def test_revocation_holds_at_once_and_for_good(store: StateStore) -> None:
    made = store.keys.create("loader", {Scope.READ}, AT)
    credential = split_key(made.text)
    store.keys.revoke(credential.key_id, AT + SECOND)
    again = store.keys.revoke(credential.key_id, AT + timedelta(days=1))
    assert again.revoked_at == AT + SECOND
    assert not verify(store.keys.find(credential.key_id), credential.secret, AT + SECOND)


def test_a_bootstrap_key_is_added_once_and_stays_revoked(store: StateStore) -> None:
    text = "an-operators-own-secret-0123456789"
    first = store.keys.add(text, "bootstrap", {Scope.ADMIN}, AT)
    second = store.keys.add(text, "bootstrap", {Scope.ADMIN}, AT + timedelta(days=9))
    assert first == second
    assert len(store.keys.list()) == 1
    store.keys.revoke(first.key_id, AT + SECOND)
    third = store.keys.add(text, "bootstrap", {Scope.ADMIN}, AT + timedelta(days=10))
    assert third.revoked_at == AT + SECOND


def test_an_id_cannot_be_taken_over_with_another_secret(store: StateStore) -> None:
    mine = "ebb_abcdefgh2345_" + "q" * 52
    theirs = "ebb_abcdefgh2345_" + "z" * 52
    kept = store.keys.add(mine, "mine", {Scope.READ}, AT)
    with pytest.raises(ValueError, match="taken by another key"):
        store.keys.add(theirs, "theirs", {Scope.ADMIN}, AT)
    assert store.keys.list() == [kept]


def test_keys_are_listed_oldest_first_also_when_revoked(store: StateStore) -> None:
    assert store.keys.list() == []
    ids = [
        store.keys.create(f"key {i}", {Scope.READ}, AT + i * SECOND).record.key_id
        for i in (2, 0, 1)
    ]
    store.keys.revoke(ids[0], AT)
    assert [key.name for key in store.keys.list()] == ["key 0", "key 1", "key 2"]


def test_use_is_written_at_most_once_a_minute_and_never_backwards(store: StateStore) -> None:
    key_id = store.keys.create("loader", {Scope.READ}, AT).record.key_id

    def used(at: datetime) -> datetime | None:
        store.keys.note_use(key_id, at)
        key = store.keys.find(key_id)
        assert key is not None
        return key.last_used_at

    assert used(AT) == AT
    assert used(AT + 59 * SECOND) == AT
    assert used(AT + 60 * SECOND) == AT + 60 * SECOND
    assert used(AT - timedelta(days=1)) == AT + 60 * SECOND


def test_moments_keep_their_microseconds_and_come_back_in_utc(store: StateStore) -> None:
    local = datetime(2026, 10, 25, 2, 30, 0, 123457, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    key = store.keys.find(store.keys.create("dst", {Scope.READ}, local).record.key_id)
    assert key is not None
    assert key.created_at == datetime(2026, 10, 25, 1, 30, 0, 123457, tzinfo=UTC)
    assert key.created_at.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused(store: StateStore) -> None:
    with pytest.raises(Exception, match="time zone"):
        store.keys.create("naive", {Scope.READ}, datetime(2026, 3, 12))
    assert store.keys.list() == []
