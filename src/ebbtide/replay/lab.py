"""All of the Replay Lab that one running Ebbtide has, put together."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.replay.policy_only import PolicyReplayer
from ebbtide.replay.promotion import Promoter
from ebbtide.replay.run import Replayer
from ebbtide.replay.versions import VersionsThen


@dataclass(frozen=True, slots=True)
class ReplayLab:
    """The parts that the doors ask."""

    replayer: Replayer
    policy_only: PolicyReplayer
    promoter: Promoter
    versions: VersionsThen

    def close(self) -> None:
        """Begin nothing more; what is under way gets a moment."""
        self.policy_only.stop()
        self.replayer.stop()
