"""Logs a repeating trouble once a minute, so that an outage does not fill the host's logs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

INTERVAL_S = 60.0


class QuietLog:
    """Warnings by kind: the first at once, then at most one a minute with the number held back."""

    def __init__(
        self, logger: logging.Logger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._last: dict[str, tuple[float, int]] = {}  # kind -> (logged at, held back since)

    def warning(self, kind: str, message: str) -> None:
        """Log a warning, unless one of this kind was logged within the last minute."""
        now = self._monotonic()
        with self._lock:
            logged_at, num_held_back = self._last.get(kind, (None, 0))
            if logged_at is not None and now - logged_at < INTERVAL_S:
                self._last[kind] = (logged_at, num_held_back + 1)
                return
            self._last[kind] = (now, 0)
        # Outside the lock: a handler of the host may itself emit.
        if num_held_back:
            message += f" (and {num_held_back} like it since the last message)"
        self._logger.warning("%s", message)
