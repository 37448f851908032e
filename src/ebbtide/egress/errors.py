"""How an errand outside can fail: one stable word, and never what the other side said."""

from __future__ import annotations

from ebbtide.domain.errors import EbbtideError


class EgressFailed(EbbtideError):
    """Something could not be sent to another machine; ``reason`` is a stable word for why."""

    code = "egress-failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"it could not be sent: {reason}")
        self.reason = reason
