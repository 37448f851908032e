"""The UUIDs of many events at once: the mapping of :mod:`ebbtide.domain.ids`, column by column."""

from __future__ import annotations

from hashlib import blake2b, sha1

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.domain.ids import NAMESPACE

Uuids = npt.NDArray[np.uint8]  #: 16 big-endian bytes per row
Mask = npt.NDArray[np.bool_]

_NAMESPACE_BYTES = NAMESPACE.bytes
_DASHES = np.array([8, 13, 18, 23])
_RUNS = ((0, 8, 0), (9, 13, 1), (14, 18, 2), (19, 23, 3), (24, 36, 4))  # of digits, dashes before
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16, dtype=np.uint8)


def uuids_of(event_ids: pa.Array) -> tuple[Uuids, npt.NDArray[np.bool_]]:
    """The UUID of each event id.

    Args:
        event_ids: text without nulls, 1 to 200 characters each.

    Returns:
        The UUIDs, and whether each id was already the canonical text of its UUID.
    """
    num = len(event_ids)
    uuids = np.empty((num, 16), np.uint8)
    is_form = np.zeros(num, np.bool_)
    is_canonical = np.zeros(num, np.bool_)
    rows = np.flatnonzero(pc.equal(pc.binary_length(event_ids), 36).to_numpy(False))
    if len(rows):
        chars = _chars(event_ids if len(rows) == num else event_ids.take(pa.array(rows)))
        uuids[rows], is_form[rows], is_canonical[rows] = _read_forms(chars)
    others = np.flatnonzero(~is_form)
    if len(others):
        texts = event_ids if len(others) == num else event_ids.take(pa.array(others))
        uuids[others] = _named(texts.cast(pa.binary()).to_pylist())
    return uuids, is_canonical


def uuids_of_lines(key: str, lines: npt.NDArray[np.int64]) -> Uuids:
    """The UUIDs of events whose file gives them no id: the same file gives the same ones.

    They are of version 8: 74 bits name the content of the file, the last 48 the line. So they
    need no hash per row, and rows that follow each other have ids that follow each other.

    Args:
        key: names the content of the file.
        lines: where each row stood, from 1.
    """
    uuids = np.empty((len(lines), 16), np.uint8)
    uuids[:, :10] = np.frombuffer(blake2b(key.encode(), digest_size=10).digest(), np.uint8)
    uuids[:, 10:] = lines.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 2:]
    return _stamped(uuids, 8)


def to_texts(uuids: Uuids) -> list[str]:
    """Canonical text of each UUID."""
    digits = uuids.tobytes().hex()
    return [
        f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}"
        f"-{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
        for i in range(0, len(digits), 32)
    ]


def to_array(uuids: Uuids) -> pa.Array:
    """The UUIDs as the event store takes them."""
    raw = pa.py_buffer(np.ascontiguousarray(uuids))
    return pa.Array.from_buffers(pa.binary(16), len(uuids), [None, raw])


def _chars(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of texts that are all 36 bytes long and follow each other."""
    _, offsets, data = texts.buffers()
    first = int(np.frombuffer(offsets, np.int32)[texts.offset])
    return np.frombuffer(data, np.uint8)[first : first + 36 * len(texts)].reshape(-1, 36)


def _read_forms(chars: npt.NDArray[np.uint8]) -> tuple[Uuids, Mask, Mask]:
    """The UUIDs of texts of 36 bytes; which have the form of one, and which are canonical."""
    digits = np.empty((len(chars), 32), np.uint8)
    for first, last, num_dashes in _RUNS:
        digits[:, first - num_dashes : last - num_dashes] = chars[:, first:last]
    has_dashes = (chars[:, _DASHES] == ord("-")).all(axis=1)
    text = digits.tobytes()
    try:
        raw = bytes.fromhex(text.decode("ascii"))
    except ValueError:  # one of them has other characters; found below
        raw = b""
    if raw.hex().encode() == text:
        return np.frombuffer(raw, np.uint8).reshape(-1, 16), has_dashes, has_dashes
    nibbles = _HEX[digits]
    is_form = (nibbles < 16).all(axis=1) & has_dashes
    is_upper = ((digits >= ord("A")) & (digits <= ord("F"))).any(axis=1)
    uuids: Uuids = (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).astype(np.uint8)
    return uuids, is_form, is_form & ~is_upper


def _named(texts: list[bytes]) -> Uuids:
    """UUIDv5; SHA-1 names things here, it protects nothing."""
    digests = b"".join(
        [sha1(_NAMESPACE_BYTES + text, usedforsecurity=False).digest() for text in texts]
    )
    return _stamped(np.frombuffer(digests, np.uint8).reshape(-1, 20)[:, :16].copy(), 5)


def _stamped(uuids: Uuids, version: int) -> Uuids:
    uuids[:, 6] = uuids[:, 6] & 0x0F | version << 4
    uuids[:, 8] = uuids[:, 8] & 0x3F | 0x80
    return uuids
