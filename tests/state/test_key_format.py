"""The text of API keys, their scopes, and what a wrong key gives: no, and never an error."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.keys import (
    ApiKey,
    Scope,
    check_own_secret,
    hash_secret,
    make_key_text,
    parse_scopes,
    split_key,
    verify,
)

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
TEXT = "ebb_abcdefgh2345_" + "q" * 52


def record_of(text: str, **fields: object) -> ApiKey:
    credential = split_key(text)
    base = ApiKey(
        credential.key_id, "n", frozenset({Scope.READ}), hash_secret(credential.secret), AT
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def test_a_new_key_has_the_published_form_and_is_never_the_same() -> None:
    texts = {make_key_text() for _ in range(200)}
    assert len(texts) == 200
    for text in texts:
        prefix, key_id, secret = text.split("_")
        assert (prefix, len(key_id), len(secret)) == ("ebb", 12, 52)
        assert split_key(text).key_id == key_id
        assert verify(record_of(text), split_key(text).secret, AT)


WRONG = {
    "one character changed": TEXT[:-1] + "r",
    "right id, other secret": "ebb_abcdefgh2345_" + "z" * 52,
    "truncated": TEXT[:-1],
    "longer": TEXT + "q",
    "NUL": TEXT + "\0",
    "newline": TEXT + "\n",
    "leading space": " " + TEXT,
    "upper case": TEXT.upper(),
    "10 KB": TEXT * 150,
    "non-ASCII": TEXT[:-1] + "é",
    "look-alike letter": TEXT.replace("e", "\u0435", 1),
    "lone surrogate": TEXT[:-1] + "\ud800",
    "empty": "",
    "prefix only": "ebb_",
    "id only": "ebb_abcdefgh2345_",
    "SQL": "x' OR pg_sleep(8)--",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_opens_nothing(wrong: str) -> None:
    credential = split_key(wrong)
    assert not verify(record_of(TEXT), credential.secret, AT)
    assert not verify(None, credential.secret, AT)


@given(st.text())
def test_any_text_can_be_presented(text: str) -> None:
    credential = split_key(text)
    assert len(credential.key_id) == 12
    assert credential.key_id.isascii()
    assert not verify(record_of(TEXT), credential.secret, AT)
    assert verify(record_of(text), credential.secret, AT)


def test_a_key_ends_at_the_very_moment_it_expires_or_is_revoked() -> None:
    secret = split_key(TEXT).secret
    tick = timedelta(microseconds=1)
    for fields in ({"expires_at": AT}, {"revoked_at": AT}):
        assert verify(record_of(TEXT, **fields), secret, AT - tick)
        assert not verify(record_of(TEXT, **fields), secret, AT)
        assert not verify(record_of(TEXT, **fields), secret, AT + timedelta(days=400))


def test_admin_may_everything_and_ingest_may_not_read() -> None:
    admin = record_of(TEXT, scopes=frozenset({Scope.ADMIN}))
    assert all(admin.allows(scope) for scope in Scope)
    ingest = record_of(TEXT, scopes=frozenset({Scope.INGEST}))
    assert [scope for scope in Scope if ingest.allows(scope)] == [Scope.INGEST]


def test_a_bound_key_covers_every_spelling_of_its_tenant_and_no_other() -> None:
    uuid = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    bound = record_of(TEXT, tenant_id=uuid)
    assert bound.covers(uuid.upper())
    assert not bound.covers("acme")
    assert record_of(TEXT).covers("acme")


def test_a_key_that_could_widen_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="bound to one tenant"):
        record_of(TEXT, scopes=frozenset({Scope.ADMIN}), tenant_id="acme")


@pytest.mark.parametrize("name", ["", "a\0b", "line\nbreak", "x" * 201, "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        record_of(TEXT, name=name)


def test_scopes_are_read_from_words() -> None:
    assert parse_scopes(["read", "jobs:run"]) == {Scope.READ, Scope.JOBS_RUN}
    known = "ingest, read, jobs:run, interventions:write, llm:call, admin"
    with pytest.raises(ValueError, match=f"'write'; known are {known}"):
        parse_scopes(["read", "write"])
    with pytest.raises(ValueError, match="at least one"):
        parse_scopes([])


def test_an_operator_may_bring_a_secret_of_32_visible_characters() -> None:
    check_own_secret("s" * 32)
    check_own_secret(TEXT)
    for bad in ("s" * 31, "s" * 513, "s" * 31 + " ", "s" * 31 + "\n", "s" * 31 + "é"):
        with pytest.raises(ValueError, match="a key has"):
            check_own_secret(bad)


def test_use_is_noted_once_a_minute() -> None:
    assert record_of(TEXT).is_use_due(AT)
    used = record_of(TEXT, last_used_at=AT)
    assert not used.is_use_due(AT + timedelta(seconds=59, microseconds=999_999))
    assert used.is_use_due(AT + timedelta(minutes=1))


def test_neither_secret_nor_hash_is_in_a_printed_record() -> None:
    credential = split_key(TEXT)
    assert credential.secret not in repr(credential)
    assert hash_secret(credential.secret) not in repr(record_of(TEXT))
