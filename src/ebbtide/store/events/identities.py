"""Identities in columns: their keys, repeats within a batch, and the verdict on suspects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ebbtide.domain.event import Outcome
from ebbtide.store.events.base import Outcomes, same_content
from ebbtide.store.events.key_index import KeyIndex, Keys

Identity = tuple[str, bytes]  #: tenant id, and the event's UUID as 16 bytes
# Below this, plain Python is as fast as a library call, and does not hand over the interpreter's
# lock, for which a busy server makes the writer wait.
SMALL_BATCH_ROWS = 5_000

Row = dict[str, Any]


def keys_of(uuids: pa.Array, tenant_ids: pa.Array) -> Keys:
    """One key per row.

    Args:
        uuids: 16 bytes each, as plain binary or as Arrow's UUID type.
        tenant_ids: the tenant of each row.
    """
    storage = uuids.storage if isinstance(uuids, pa.ExtensionArray) else uuids
    start = storage.offset * 16
    raw = memoryview(storage.buffers()[1])[start : start + 16 * len(storage)]
    if len(storage) < SMALL_BATCH_ROWS:
        return KeyIndex.keys(raw, tenant_ids.to_pylist())
    coded = tenant_ids.dictionary_encode()
    return KeyIndex.keys_of_dictionary(
        raw, coded.indices.to_numpy(zero_copy_only=False), coded.dictionary.to_pylist()
    )


def repeats_in(keys: Keys) -> npt.NDArray[np.bool_]:
    """Which rows share their key with another row of the same batch."""
    if len(keys) < SMALL_BATCH_ROWS:
        if len(set(keys.tolist())) == len(keys):
            return np.zeros(len(keys), np.bool_)
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(len(keys), np.bool_)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    repeats: npt.NDArray[np.bool_] = counts[inverse] > 1
    return repeats


def settle(
    batch: pa.RecordBatch,
    rows: npt.NDArray[Any],
    outcomes: Outcomes,
    find_stored: Callable[[list[Row]], Mapping[Identity, Row]],
) -> None:
    """Decide suspects: compare each with the stored row, or with its first in the batch.

    Args:
        batch: in EVENT_SCHEMA.
        rows: positions of the suspects.
        outcomes: of the whole batch; DUPLICATE and CONFLICT are written into it.
        find_stored: the stored rows of some identities, as far as there are any.
    """
    suspects = batch.take(pa.array(rows)).to_pylist()
    first_of = dict(find_stored(suspects))
    for position, row in zip(rows, suspects, strict=True):
        identity = (row["tenant_id"], row["event_uuid"])
        first = first_of.get(identity)
        if first is None:
            first_of[identity] = row  # new: a later repeat in this batch meets this one
        elif same_content(first, row):
            outcomes[position] = Outcome.DUPLICATE
        else:
            outcomes[position] = Outcome.CONFLICT


def uuid_texts(uuids: pa.Array) -> pa.Array:
    """The canonical lower-case texts of UUIDs of 16 bytes, all at once; null stays null."""
    storage = uuids.storage if isinstance(uuids, pa.ExtensionArray) else uuids
    n = len(storage)
    start = storage.offset * 16
    raw = memoryview(storage.buffers()[1])[start : start + 16 * n]
    digits = np.frombuffer(raw.hex().encode(), np.uint8).reshape(n, 32)
    texts = np.full((n, 36), ord("-"), np.uint8)
    for first, last, shift in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4)):
        texts[:, first + shift : last + shift] = digits[:, first:last]
    ends = np.arange(0, 36 * (n + 1), 36, dtype=np.int32)
    made = pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(texts))
    if storage.null_count:
        made = pa.array(made.to_pylist(), pa.string(), mask=storage.is_null().to_numpy(False))
    return made
