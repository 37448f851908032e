"""Versions of policies as a replay asks for them: one by its name, or all that were in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.policy import OFF
from ebbtide.guard.assigned import parsed
from ebbtide.store.state.policies import Policies, effective


class VersionsThen:
    """Reads the shelf of policies at each question: replays are few, and ask about the past."""

    def __init__(self, shelf: Policies) -> None:
        self._shelf = shelf

    def in_force(self, tenant_id: str, at: datetime) -> Sequence[PolicyVersion]:
        """The versions that a tenant had at a moment, by id of the policy; empty for none."""
        uuid = to_uuid_text(tenant_id)
        holds = effective(self._shelf.assignments(as_of=at))
        found = []
        for policy_id, theirs in sorted(holds.items()):
            one = theirs.get(uuid) or theirs.get(None)
            if one is not None and one.version != OFF:
                found.append(self.version(policy_id, one.version))
        return tuple(found)

    def version(self, policy_id: str, version: str) -> PolicyVersion:
        """One version.

        Raises:
            NotFound: there is none.
        """
        for one in self._shelf.versions(policy_id):
            if one.version == version:
                return parsed(one)
        raise NotFound(f"{policy_id} has no version {version}")
