"""Counts what two versions of a policy make of one tenant's calls. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ebbtide.domain.policy import Result
from ebbtide.domain.replay import TenantDifference

EXAMPLES_MAX = 20


@dataclass(slots=True)
class Tally:
    """One tenant's calls so far."""

    num_calls: int = 0
    before: Counter[Result] = field(default_factory=Counter)
    after: Counter[Result] = field(default_factory=Counter)
    newly_blocked: list[str] = field(default_factory=list)
    let_through: list[str] = field(default_factory=list)
    num_newly_blocked: int = 0
    num_let_through: int = 0
    false_blocks: Counter[str] = field(default_factory=Counter)
    unjudged: Counter[str] = field(default_factory=Counter)

    def add(self, call_id: str, before: Result, after: Result, is_wrong: bool | None) -> None:
        """Count one call.

        Args:
            is_wrong: what a person said of a block of this call; None when nobody said anything.
        """
        self.num_calls += 1
        self.before[before] += 1
        self.after[after] += 1
        if before is not after:
            if after is Result.BLOCKED:
                self.num_newly_blocked += 1
                _keep(self.newly_blocked, call_id)
            elif before is Result.BLOCKED:
                self.num_let_through += 1
                _keep(self.let_through, call_id)
        for side, result in (("before", before), ("after", after)):
            if result is Result.BLOCKED:
                self.false_blocks[side] += is_wrong is True
                self.unjudged[side] += is_wrong is None

    def of_tenant(self, tenant_id: str) -> TenantDifference:
        """The figures."""
        return TenantDifference(
            tenant_id=tenant_id,
            num_calls=self.num_calls,
            num_blocked_before=self.before[Result.BLOCKED],
            num_blocked_after=self.after[Result.BLOCKED],
            num_warned_before=self.before[Result.WARNED],
            num_warned_after=self.after[Result.WARNED],
            num_unknown_before=self.before[Result.UNKNOWN],
            num_unknown_after=self.after[Result.UNKNOWN],
            num_newly_blocked=self.num_newly_blocked,
            num_let_through=self.num_let_through,
            num_false_blocks_before=self.false_blocks["before"],
            num_false_blocks_after=self.false_blocks["after"],
            num_unjudged_before=self.unjudged["before"],
            num_unjudged_after=self.unjudged["after"],
            newly_blocked=tuple(self.newly_blocked),
            let_through=tuple(self.let_through),
        )


def _keep(examples: list[str], call_id: str) -> None:
    if len(examples) < EXAMPLES_MAX:
        examples.append(call_id)


def total(tenants: Iterable[TenantDifference]) -> TenantDifference:
    """All tenants together; without examples, and with no tenant's name."""
    sums: dict[str, Any] = {}
    for one in tenants:
        for name, value in asdict(one).items():
            if name.startswith("num_"):
                sums[name] = sums.get(name, 0) + value
    return replace(Tally().of_tenant(""), **sums)
