"""Reads many lines of our own JSON events straight into columns.

Only lines that are plainly our events are read here: known fields of the usual types and no key
twice. Every other line, right or wrong, is handed back to be read by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import UNSET, UnsetType

from ebbtide.ingest.bulk_table import LINE

_Text = str | None | UnsetType


class _OwnEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event as it stands in a line; metadata stay text."""

    timestamp: _Text = UNSET
    tenant_id: _Text = UNSET
    event_type: _Text = UNSET
    event_id: _Text = UNSET
    user_id: _Text = UNSET
    session_id: _Text = UNSET
    entity_type: _Text = UNSET
    entity_id: _Text = UNSET
    source: _Text = UNSET
    received_at: _Text = UNSET
    severity: int | UnsetType | None = UNSET
    latency_ms: int | UnsetType | None = UNSET
    cost_usd: float | UnsetType | None = UNSET
    metadata: msgspec.Raw | UnsetType = UNSET


_TYPES = {"severity": pa.int64(), "latency_ms": pa.int64(), "cost_usd": pa.float64()}
_FIELDS = {name: attrgetter(name) for name in _OwnEvent.__struct_fields__}
# A backslash may hide a quote, and a space before a colon a key; a blank line is no event.
_ODD_MARKS = (b"\\", b'" ', b'"\t', b'"\r', b"\n\n")
_decode_lines = msgspec.json.Decoder(_OwnEvent).decode_lines
_decode_line = msgspec.json.Decoder(_OwnEvent).decode


def read_own_lines(
    texts: Sequence[bytes], first_line: int
) -> tuple[pa.Table | None, npt.NDArray[np.int64]]:
    """Read what is plain among some lines.

    Args:
        texts: the lines without their ends.
        first_line: the number of the first.

    Returns:
        A bulk table of the plain lines (None when there are none), and the positions of the
        others.
    """
    num = len(texts)
    rows = np.arange(num)
    joined = b"\n".join(texts)
    if any(mark in joined for mark in _ODD_MARKS):
        is_plain = [text and not any(mark in text for mark in _ODD_MARKS) for text in texts]
        rows = np.flatnonzero(is_plain)
        texts = [texts[row] for row in rows.tolist()]
        joined = b"\n".join(texts)
    try:
        events = _decode_lines(joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        events = []
    if len(events) != len(texts):
        events, good = _one_by_one(texts)
        joined = b"\n".join([texts[at] for at in np.flatnonzero(good).tolist()])
        rows = rows[good]
    left = np.ones(num, np.bool_)
    table = _table(events, joined, first_line + rows) if events else None
    if table is not None:
        left[rows] = False
    return table, np.flatnonzero(left)


def _one_by_one(texts: Sequence[bytes]) -> tuple[list[_OwnEvent], npt.NDArray[np.bool_]]:
    events = []
    good = np.ones(len(texts), np.bool_)
    for at, text in enumerate(texts):
        try:
            events.append(_decode_line(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            good[at] = False
    return events, good


def _table(
    events: Sequence[_OwnEvent], joined: bytes, lines: npt.NDArray[np.int64]
) -> pa.Table | None:
    """The columns of decoded lines; None when a key may stand twice or a value does not fit."""
    num = len(events)
    columns: dict[str, Any] = {LINE: pa.array(lines, pa.int64())}
    # The decoder keeps the last of two equal keys. Every key ends in a quote and a colon, and
    # without backslashes nothing else does; those within metadata are judged with the metadata.
    num_keys = joined.count(b'":')
    try:
        for name, get in _FIELDS.items():
            values = list(map(get, events))
            num_unset = values.count(UNSET)
            num_keys -= num - num_unset
            if num_unset == num:
                continue
            given: Sequence[Any] = values
            if name == "metadata":
                given = [None if one is UNSET else bytes(one) for one in values]
                num_keys -= b"".join([one for one in given if one is not None]).count(b'":')
                texts = pa.array([None if one == b"null" else one for one in given], pa.binary())
                columns[name] = texts.cast(pa.string())
                continue
            if num_unset:
                given = [None if value is UNSET else value for value in values]
            columns[name] = pa.array(given, _TYPES.get(name, pa.string()))
    except (pa.ArrowInvalid, OverflowError):
        return None
    return None if num_keys else pa.table(columns)
