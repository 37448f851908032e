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
from ebbtide.store.state.policies import Act, effective

#: A change made by another process holds here within this time.
RENEW_S = 1.0
BUILT_IN = "ebbtide"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read; never changed once made, but for what it remembers of tenants."""

    mark: tuple[int, int]
    assignments: tuple[Assignment, ...]
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
            found = _held(known.holds, known.versions, to_uuid_text(tenant_id))
            if len(known.by_tenant) < 100_000:
                known.by_tenant[tenant_id] = found
        return found

    def remembered(self, tenant_id: str) -> tuple[PolicyVersion, ...] | None:
        """As :meth:`versions_for`, from memory alone; None when the store has to be asked."""
        is_fresh = self._known is not None and monotonic() < self._renew_at
        return self.versions_for(tenant_id) if is_fresh else None

    def in_force(self, tenant_id: str, at: datetime) -> tuple[PolicyVersion, ...]:
        """The versions that a tenant had at an earlier moment, by id of the policy.

        Args:
            tenant_id: in any spelling, or its UUID.
            at: UTC-aware.
        """
        known = self._current()
        until = effective(one for one in known.assignments if one.assigned_at <= at)
        return _held(until, known.versions, to_uuid_text(tenant_id))

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
        assignments = tuple(self._state.policies.assignments())
        versions = {
            (one.policy_id, one.version): parsed(one) for one in self._state.policies.versions()
        }
        return _Known(mark, assignments, effective(assignments), versions)


def _held(
    holds: Mapping[str, Mapping[str | None, Assignment]],
    versions: Mapping[tuple[str, str], PolicyVersion],
    tenant_uuid: str,
) -> tuple[PolicyVersion, ...]:
    found = []
    for policy_id, theirs in sorted(holds.items()):
        one = theirs.get(tenant_uuid) or theirs.get(None)
        if one is not None and one.version != OFF:
            found.append(versions[policy_id, one.version])
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


def add_built_in(state: StateStore, at: datetime) -> list[str]:
    """Keep the versions that come with Ebbtide, where they are not kept yet.

    A policy that was not known at all holds for everybody from now on, so that a guard that is
    switched on guards. A new version of a known one waits until somebody assigns it.

    Returns:
        Ids of the policies that hold now and did not before.
    """
    there = state.policies.versions()
    known = {one.policy_id for one in there}
    kept = {(one.policy_id, one.version) for one in there}
    new = []
    for one in load_policies():
        if (one.policy_id, one.version) in kept:
            continue
        is_first = state.policies.add_version(to_stored(one, at, BUILT_IN))
        if is_first and one.policy_id not in known:
            act = Act(
                assignment_id=f"{one.policy_id.lower()}-{one.version}-with-ebbtide",
                policy_id=one.policy_id,
                tenants=None,
                version=one.version,
                at=at,
                by=BUILT_IN,
                reason="came with Ebbtide",
            )
            state.policies.assign(act)
            new.append(one.policy_id)
    return new
