"""The accounting identity: every record received is stored, known, in conflict, held or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from ebbtide.domain.event import Outcome
from ebbtide.ingest.incoming import Aside
from ebbtide.ingest.result import Result


class Accounting:
    """Counts since start, by door; received is their sum at every moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, np.ndarray] = {}

    def add(self, door: str, results: Iterable[Result | Aside]) -> None:
        """Count the results of one answered request."""
        tally = [0] * len(Outcome)
        for result in results:
            tally[result.outcome] += 1
        self.add_tally(door, np.array(tally, np.int64))

    def add_tally(self, door: str, tally: np.ndarray) -> None:
        """Count many results at once.

        Args:
            tally: number of records by :class:`Outcome` value.
        """
        with self._lock:
            if door in self._counts:
                self._counts[door] += tally
            else:
                self._counts[door] = tally.astype(np.int64)

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Counts by door and outcome word, with ``received`` beside them."""
        with self._lock:
            copies = {door: counts.copy() for door, counts in self._counts.items()}
        return {
            door: {"received": int(counts.sum())}
            | {outcome.word: int(counts[outcome]) for outcome in Outcome}
            for door, counts in copies.items()
        }
