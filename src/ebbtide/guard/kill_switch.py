"""Stops all calls of a tenant or a key, in every process within a second."""

from __future__ import annotations

import secrets
from datetime import datetime
from threading import Lock
from time import monotonic

from ebbtide.domain.errors import EbbtideError
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.freezes import Freeze, Freezes

STALE_S = 1.0  # what another process froze holds here within this time


class Frozen(EbbtideError):
    """The kill switch stopped this customer or this key; nothing was sent to a model."""

    code = "frozen"


class KillSwitch:
    """Who is stopped; asked before every call, from any thread."""

    def __init__(self, freezes: Freezes) -> None:
        self._freezes = freezes
        self._tenants: dict[str, Freeze] = {}
        self._keys: dict[str, Freeze] = {}
        self._until = 0.0
        self._num_changes = 0
        self._lock = Lock()

    @property
    def is_stale(self) -> bool:
        """Whether what is known here is older than a second, and :meth:`refresh` is due."""
        return monotonic() >= self._until

    def refresh(self) -> None:
        """Learn who is stopped; waits for the store.

        Raises:
            StoreUnavailable: nobody can tell now; then nothing may be sent either.
        """
        since = self._num_changes
        until = monotonic() + STALE_S
        active = self._freezes.list(is_active_only=True)
        tenants = {one.tenant_uuid: one for one in active if one.tenant_uuid is not None}
        keys = {one.key_id: one for one in active if one.key_id is not None}
        with self._lock:
            if since == self._num_changes:  # else it may have been read before a change
                self._tenants, self._keys, self._until = tenants, keys, until

    def check(self, tenant_id: str, key_id: str | None) -> None:
        """Let a call through, as far as is known here.

        Raises:
            Frozen: its tenant or its key is stopped.
        """
        freeze = self._tenants.get(to_uuid_text(tenant_id)) or self._keys.get(key_id or "")
        if freeze is not None:
            what = "this customer" if freeze.tenant_uuid is not None else "this key"
            raise Frozen(f"the kill switch stopped {what}: {freeze.reason}")

    def freeze(
        self,
        *,
        tenant_id: str | None,
        key_id: str | None,
        reason: str,
        at: datetime,
        by: str,
    ) -> Freeze:
        """Stop a tenant or a key; from now on here, within a second everywhere."""
        tenant_uuid = None if tenant_id is None else to_uuid_text(tenant_id)
        freeze = Freeze(
            f"frz_{secrets.token_hex(10)}", tenant_uuid, tenant_id, key_id, reason, at, by
        )
        self._freezes.add(freeze)
        self._forget()
        return freeze

    def lift(self, freeze_id: str, at: datetime, by: str, reason: str | None) -> Freeze:
        """End a freeze.

        Raises:
            NotFound: there is no such freeze.
            WrongState: it was lifted already.
        """
        freeze = self._freezes.lift(freeze_id, at, by, reason)
        self._forget()
        return freeze

    def list(self, *, is_active_only: bool = False) -> list[Freeze]:
        """All freezes, newest first."""
        return self._freezes.list(is_active_only=is_active_only)

    def _forget(self) -> None:
        with self._lock:
            self._num_changes += 1
            self._until = 0.0
