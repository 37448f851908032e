"""Which identities are already stored: one 64-bit number each, in memory, rebuilt at start.

An engine without a cheap unique key asks this index first. "No" is always right; "maybe" is
right but for one chance in 2^64 per stored event, and is settled by reading the stored row. So
the index decides speed, never correctness, and losing it loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

# A run is merged into its older neighbour while it is at least a quarter of its size, so there
# are few runs to search and every key is moved a logarithmic number of times. Past this size a
# run is left alone: merging it would hold up ingest for more than about 100 ms.
_SEALED_RUN_KEYS = 16_000_000
_MERGE_FACTOR = 4

# Odd constants with well spread bits (finalizer of the SplitMix64 generator).
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=100_000)
def _tenant_salt(tenant_id: str) -> int:
    digest = hashlib.blake2b(tenant_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class KeyIndex:
    """A growing set of 64-bit keys as a few sorted arrays: 8 bytes an event."""

    def __init__(self) -> None:
        self._runs: list[Keys] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    @property
    def size_bytes(self) -> int:
        """Memory held by the keys."""
        return sum(run.nbytes for run in self._runs)

    @staticmethod
    def keys(uuids: bytes | memoryview, tenant_ids: Sequence[str]) -> Keys:
        """One key per identity.

        Args:
            uuids: event UUIDs, 16 big-endian bytes each, one after the other.
            tenant_ids: the tenant of each, in the same order.
        """
        halves = np.frombuffer(uuids, dtype=">u8").astype(np.uint64).reshape(-1, 2)
        salts = np.fromiter(map(_tenant_salt, tenant_ids), np.uint64, len(tenant_ids))
        return _mix(halves[:, 0], halves[:, 1], salts)

    @staticmethod
    def keys_of_dictionary(
        uuids: bytes | memoryview,
        tenant_codes: npt.NDArray[np.int32],
        tenants: Sequence[str],
    ) -> Keys:
        """The same for dictionary-encoded tenants, without a Python step per row."""
        halves = np.frombuffer(uuids, dtype=">u8").astype(np.uint64).reshape(-1, 2)
        salts = np.fromiter(map(_tenant_salt, tenants), np.uint64, len(tenants))
        return _mix(halves[:, 0], halves[:, 1], salts[tenant_codes])

    def suspects(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Whether each key may be stored already; False is certain."""
        found = np.zeros(len(keys), dtype=np.bool_)
        if not len(keys):
            return found
        needles = np.sort(keys)  # neighbours in the needle list touch neighbouring memory
        hits = np.zeros(len(keys), dtype=np.bool_)
        for run in self._runs:
            at = np.searchsorted(run, needles)
            at[at == len(run)] = 0
            hits |= run[at] == needles
        if hits.any():  # where they stood is asked only then: that is dearer than the sorting
            found[np.argsort(keys)] = hits
        return found

    def add(self, keys: Keys) -> None:
        """Remember keys; adding one twice is harmless."""
        if not len(keys):
            return
        run = np.sort(keys)
        while (
            self._runs
            and len(self._runs[-1]) < _MERGE_FACTOR * len(run)
            and len(self._runs[-1]) + len(run) <= _SEALED_RUN_KEYS
        ):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # two sorted halves: a single merge pass
        self._runs.append(run)

    def load(self, chunks: Iterable[Keys], *, num_expected: int = 0) -> None:
        """Replace the content with these keys, given in any order and any chunking.

        Args:
            chunks: all keys.
            num_expected: about how many there are; one piece of memory is taken for them, and
                nothing is copied or left over as long as it is not too few.
        """
        keys = np.empty(max(num_expected, 1), np.uint64)
        filled = 0
        for chunk in chunks:
            needed = filled + len(chunk)
            if needed > len(keys):
                keys = np.concatenate([keys[:filled], np.empty(needed, np.uint64)])
            keys[filled:needed] = chunk
            filled = needed
        run = keys[:filled]
        run.sort()
        self._runs = [run] if filled else []


def _mix(high: Keys, low: Keys, salt: Keys) -> Keys:
    """Spread two halves and a salt over 64 bits; wrap-around is meant."""
    with np.errstate(over="ignore"):
        x = (high ^ salt) * _MIX_A
        x ^= x >> np.uint64(29)
        x = (x + low) * _MIX_B
        x ^= x >> np.uint64(32)
    return x
