"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

_S, _M, _H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

#: The pauses after the attempts; together a little more than three days.
PAUSES = (5 * _S, 5 * _M, 30 * _M, 2 * _H, 5 * _H, 10 * _H, 14 * _H, 20 * _H, 24 * _H)
ATTEMPTS_MAX = len(PAUSES) + 1
#: A receiver that asks for more patience than this does not get it.
PATIENCE_MAX = 24 * _H
_SPREAD = 0.1  # so that what failed together does not come back together


def next_pause(
    delivery_id: str, num_attempts: int, retry_after_s: float | None = None
) -> timedelta | None:
    """How long to wait after an attempt that failed; None when it was the last one.

    Args:
        num_attempts: with the one that failed.
        retry_after_s: what the receiver asked for; None when it did not.
    """
    if num_attempts >= ATTEMPTS_MAX:
        return None
    drawn = sha256(f"{delivery_id} {num_attempts}".encode()).digest()[0] / 255
    pause = PAUSES[num_attempts - 1] * (1 + _SPREAD * drawn)
    if retry_after_s is None:
        return pause
    asked = min(timedelta(seconds=min(retry_after_s, PATIENCE_MAX.total_seconds())), PATIENCE_MAX)
    return max(pause, asked)
