"""Which versions of policies hold for a tenant now: from memory, renewed soon after a change."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from time import monotonic

from ebbtide.catalog.policy import PolicyVersion, load_policies, read_policy
from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.policy import OFF, Assignment, StoredVersion
from ebbtide.guard.evaluate import check
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.policies import effective

#: A change made by another process holds here within this time.
RENEW_S = 1.0
BUILT_IN = "ebbtide"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read; never changed once made, but for what it remembers of tenants."""

    mark: tuple[int, int]
    holds: Mapping[str, Mapping[str | None, Assignment]]
    versions: Mapping[tuple[str, str], PolicyVersion]
    by_tenant: dict[str, tuple[PolicyVersion, ...]] = field(default_factory=dict)


class AssignedPolicies:
    """Answers in microseconds; asks the store at most once a second. From any thread.

    Args:
        state: where assignments are kept.
    """

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._renew_at = 0.0

    def versions_for(self, tenant_id: str) -> tuple[PolicyVersion, ...]:
        """The versions that hold for a tenant, by id of the policy; empty when none does.

        Args:
            tenant_id: in any spelling, or its UUID.

        Raises:
            StoreUnavailable: the store cannot say what holds now. What held a second ago is not
                taken for it: a policy might have been assigned since.
        """
        known = self._current()
        found = known.by_tenant.get(tenant_id)
        if found is None:
            found = _versions_for(known, to_uuid_text(tenant_id))
            if len(known.by_tenant) < 100_000:
                known.by_tenant[tenant_id] = found
        return found

    def version(self, policy_id: str, version: str) -> PolicyVersion:
        """One version, whoever has it.

        Raises:
            NotFound: there is none.
        """
        found = self._current().versions.get((policy_id, version))
        if found is None:
            self.forget()  # it may have been made a moment ago
            found = self._current().versions.get((policy_id, version))
        if found is None:
            raise NotFound(f"{policy_id} has no version {version}")
        return found

    def forget(self) -> None:
        """Read again at the next question: something was changed here."""
        with self._lock:
            self._known = None

    def _current(self) -> _Known:
        known = self._known
        if known is not None and monotonic() < self._renew_at:
            return known
        with self._lock:
            known = self._known
            if known is not None and monotonic() < self._renew_at:
                return known  # somebody else asked while we waited
            mark = self._state.policies.mark()
            if known is None or known.mark != mark:
                known = self._read(mark)
            self._known = known
            self._renew_at = monotonic() + RENEW_S
            return known

    def _read(self, mark: tuple[int, int]) -> _Known:
        # The mark was read before the rows: a change between the two is read again a second later.
        holds = effective(self._state.policies.assignments())
        versions = {
            (one.policy_id, one.version): parsed(one) for one in self._state.policies.versions()
        }
        return _Known(mark, holds, versions)


def _versions_for(known: _Known, tenant_uuid: str) -> tuple[PolicyVersion, ...]:
    found = []
    for policy_id, theirs in sorted(known.holds.items()):
        holds = theirs.get(tenant_uuid) or theirs.get(None)
        if holds is not None and holds.version != OFF:
            found.append(known.versions[policy_id, holds.version])
    return tuple(found)


def parsed(stored: StoredVersion) -> PolicyVersion:
    """A kept version, ready for use."""
    return _parsed(stored.digest, stored.definition)


@lru_cache(maxsize=2_000)
def _parsed(digest: str, definition: str) -> PolicyVersion:
    return read_policy(definition)


def to_stored(version: PolicyVersion, at: datetime, by: str) -> StoredVersion:
    """A version as it is kept.

    Raises:
        PolicyRefused: it cannot be used.
    """
    check(version)
    return StoredVersion(version.policy_id, version.version, version.digest, version.text, at, by)


def add_built_in(state: StateStore, at: datetime) -> int:
    """Keep the versions that come with Ebbtide, where they are not kept yet.

    Nobody has them until somebody assigns them. Returns how many were new.
    """
    there = {(one.policy_id, one.version) for one in state.policies.versions()}
    new = [one for one in load_policies() if (one.policy_id, one.version) not in there]
    return sum(state.policies.add_version(to_stored(one, at, BUILT_IN)) for one in new)
