"""All of the guard that one running Ebbtide has, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.guard.handover import Handover
from ebbtide.guard.kill_switch import KillSwitch
from ebbtide.guard.proxy import CostOf, Proxy
from ebbtide.guard.recording import Recorder


@dataclass(frozen=True, slots=True)
class Guard:
    """The parts that the doors ask.

    ``versions_of`` gives the policies of a tenant, ``cost_of`` what a call cost by its tokens.
    """

    proxy: Proxy
    switch: KillSwitch
    recorder: Recorder
    handover: Handover
    versions_of: Callable[[str], Sequence[PolicyVersion]]
    cost_of: CostOf

    def close(self) -> None:
        """Store what waits, and let the threads go."""
        self.proxy.close()
        self.handover.close()
