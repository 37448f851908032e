"""API keys on their shelf: made, found, noted as used, revoked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound
from ebbtide.domain.keys import (
    NOTE_USE_EVERY,
    ApiKey,
    NewKey,
    Scope,
    check_own_secret,
    hash_secret,
    make_key_text,
    parse_scopes,
    split_key,
)
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import API_KEYS


class Keys:
    """All API keys of this installation. A revoked or expired key stays listed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        scopes: Collection[Scope],
        at: datetime,
        *,
        tenant_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key. Its text is in the answer and nowhere else.

        Args:
            name: what people call it; need not be unique.
            scopes: at least one.
            at: the moment of creation, UTC-aware.
            tenant_id: the only tenant it is for; None for every tenant.
            expires_at: the moment from which it opens nothing; None for never.

        Raises:
            ValueError: no scope, or an admin key bound to one tenant.
        """
        text = make_key_text()
        return NewKey(
            self.add(text, name, scopes, at, tenant_id=tenant_id, expires_at=expires_at), text
        )

    def add(
        self,
        text: str,
        name: str,
        scopes: Collection[Scope],
        at: datetime,
        *,
        tenant_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> ApiKey:
        """Take in a key whose text was made elsewhere (``EBBTIDE_BOOTSTRAP_KEY``).

        Adding the same text again changes nothing: a key that was revoked stays revoked.

        Args:
            text: see :func:`ebbtide.domain.keys.check_own_secret`.
            name, scopes, at, tenant_id, expires_at: as in :meth:`create`.

        Returns:
            The key as it is kept now.

        Raises:
            ValueError: the text cannot be a key, or its id belongs to a key with another secret.
        """
        check_own_secret(text)
        credential = split_key(text)
        record = ApiKey(
            key_id=credential.key_id,
            name=name,
            scopes=frozenset(scopes),
            secret_sha256=hash_secret(credential.secret),
            created_at=at,
            tenant_id=tenant_id,
            expires_at=expires_at,
        )
        with self._database.write() as connection:
            connection.execute(
                self._database.insert(API_KEYS).values(_to_row(record)).on_conflict_do_nothing()
            )
            kept = _find(connection, record.key_id)
            if kept is None or kept.secret_sha256 != record.secret_sha256:
                raise ValueError(f"the key id {record.key_id} is taken by another key")
            return kept

    def find(self, key_id: str) -> ApiKey | None:
        """The key with this public id, or None; it may be revoked or expired."""
        with self._database.read() as connection:
            return _find(connection, key_id)

    def list(self) -> list[ApiKey]:
        """Every key, oldest first; empty when none was ever made."""
        query = sa.select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.key_id)
        with self._database.read() as connection:
            return [_from_row(row) for row in connection.execute(query)]

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """Close a key for good; revoking it again keeps the first moment.

        Raises:
            NotFound: there is no such key.
        """
        with self._database.write() as connection:
            if _find(connection, key_id) is None:
                raise NotFound("there is no such key")
            connection.execute(
                sa.update(API_KEYS)
                .where(API_KEYS.c.key_id == key_id, API_KEYS.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            kept = _find(connection, key_id)
            assert kept is not None  # found above, in the same transaction
            return kept

    def note_use(self, key_id: str, at: datetime) -> None:
        """Remember that a key was used, at most once a minute and never backwards.

        Ask :meth:`ApiKey.is_use_due` first: it saves the transaction.
        """
        last = API_KEYS.c.last_used_at
        with self._database.write() as connection:
            connection.execute(
                sa.update(API_KEYS)
                .where(API_KEYS.c.key_id == key_id)
                .where(sa.or_(last.is_(None), last <= at - NOTE_USE_EVERY))
                .values(last_used_at=at)
            )


def _find(connection: sa.Connection, key_id: str) -> ApiKey | None:
    if not key_id.isascii() or "\0" in key_id:  # PostgreSQL refuses to be asked
        return None
    row = connection.execute(sa.select(API_KEYS).where(API_KEYS.c.key_id == key_id)).one_or_none()
    return None if row is None else _from_row(row)


def _to_row(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": " ".join(sorted(key.scopes)),
        "secret_sha256": key.secret_sha256,
        "tenant_id": key.tenant_id,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def _from_row(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    fields = dict(row._mapping)
    fields["scopes"] = parse_scopes(fields["scopes"].split())
    return ApiKey(**fields)
