"""Moments in the forms that files have them, brought to UTC column by column.

The same meaning as for one record in ``translate``; what is not plainly right is marked as odd
and left to it.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.ingest.arrow_columns import Mask, is_null, text_bytes

_text = pa.string()
_naive = pa.timestamp("us")
_instant = pa.timestamp("us", tz="UTC")
_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_AWARE_TEXT = f"^{_DAY}[T ]{_CLOCK}{_OFFSET}$"
_USUAL = "0000-00-00T00:00:00.000000Z"
_NAIVE_TEXT = f"^{_DAY}([T ]{_CLOCK})?$"
_SAFE_DAY = r"^.{8}([01][0-9]|2[0-8])"  # a day that every month has
_NUMBER_TEXT = r"^-?[0-9]{1,16}(\.[0-9]{1,12})?$"
_PER_UNIT = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_SAFE_US = 60_000_000_000_000_000  # within the years 69 and 3871: no edge of the calendar is near


def to_instants(column: pa.Array, time_format: str, zone: str | None) -> tuple[pa.Array, Mask]:
    """Moments of a column, each as mapping and file say.

    Args:
        column: texts, numbers, days or instants.
        time_format: of texts and numbers, as in mappings.
        zone: for moments without an offset; None leaves them without one.

    Returns:
        Instants (or texts, or moments without zone, for the validator to read), null where the
        column is; and the rows in which they could not be made.
    """
    kind = column.type
    absent = is_null(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if kind == _instant:
            return column, np.zeros(len(column), np.bool_)
        naive = column.cast(_naive)
        if zone is None:
            return naive, np.zeros(len(column), np.bool_)
        made = _placed(naive, zone)
    elif time_format != "iso":
        made = _from_epoch(column, _PER_UNIT[time_format])
    elif not pa.types.is_string(kind):
        made = pa.nulls(len(column), _instant)
    elif zone is None:
        return column, np.zeros(len(column), np.bool_)
    else:
        aware = _parsed(column, _AWARE_TEXT, _instant)
        made = pc.coalesce(aware, _placed(_parsed(column, _NAIVE_TEXT, _naive), zone))
    return made, is_null(made) & ~absent


def parse_instants(column: pa.Array) -> pa.Array:
    """Instants of texts in the usual form; null where the validator has to look itself."""
    if _is_usual(column):
        try:
            return column.cast(_instant)
        except pa.ArrowInvalid:
            pass  # a day or an hour that does not exist; each text is looked at
    return _parsed(column, _AWARE_TEXT, _instant)


def _is_usual(column: pa.Array) -> bool:
    """Whether all texts look like 2026-11-03T10:00:00.123456Z, equally long: nearly all files.

    Whether month, day and clock exist is not asked; a cast of such texts fails where not.
    """
    if column.null_count or not len(column):
        return False
    extent = pc.min_max(pc.binary_length(column)).as_py()
    length = extent["min"]
    if length != extent["max"] or not (length == len(_USUAL) - 7 or 22 <= length <= len(_USUAL)):
        return False
    chars = text_bytes(column).reshape(-1, length)
    fraction = length - 1
    form = _USUAL[:fraction] + "Z"
    for at, wanted in enumerate(form):
        here = chars[:, at]
        if not ((here - 48 < 10) if wanted == "0" else (here == ord(wanted))).all():
            return False
    return True


def _parsed(column: pa.Array, form: str, kind: pa.DataType) -> pa.Array:
    """Moments of the texts in a form; null for all others."""
    shaped = pc.match_substring_regex(column, form)
    try:
        return pc.if_else(shaped, column, pa.scalar(None, _text)).cast(kind)
    except pa.ArrowInvalid:  # some day does not exist, such as 30 February
        shaped = pc.and_(shaped, pc.match_substring_regex(column, _SAFE_DAY))
        return pc.if_else(shaped, column, pa.scalar(None, _text)).cast(kind)


def _placed(naive: pa.Array, zone: str) -> pa.Array:
    """Moments without offset, placed into a zone; null in hours that a clock change skips.

    In an hour that it repeats, the later instant is the one with the smaller offset.
    """
    numbers = naive.cast(pa.int64())
    safe = pc.less(pc.abs(numbers.fill_null(0)), _SAFE_US)
    naive = pc.if_else(safe, naive, pa.scalar(None, _naive))
    try:
        early = pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="earliest")
        late = pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="latest")
    except (pa.ArrowInvalid, OSError):  # a zone that Python knows and Arrow does not
        return pa.nulls(len(naive), _instant)
    exists = pc.equal(early, late)
    return pc.if_else(exists, early, pa.scalar(None, early.type)).cast(_instant)


def _from_epoch(column: pa.Array, per_unit: int) -> pa.Array:
    kind = column.type
    none: pa.Array = pa.nulls(len(column), _instant)
    if pa.types.is_integer(kind):
        limit = _SAFE_US // per_unit
        values = column.fill_null(0).to_numpy(False)
        safe = (values < limit) & (values > -limit if kind != pa.uint64() else True)
        return _held(np.where(safe, values, 0).astype(np.int64) * per_unit, column, safe)
    if pa.types.is_floating(kind):
        column = column.cast(_text)  # the shortest decimal that reads back as the number
    elif not pa.types.is_string(kind):
        return none
    shaped = pc.match_substring_regex(column, _NUMBER_TEXT)
    texts = pc.if_else(shaped, column, pa.scalar(None, _text))
    factor = pa.scalar(Decimal(per_unit), pa.decimal128(7, 0))
    floored = pc.floor(pc.multiply(texts.cast(pa.decimal128(28, 12)), factor))
    limit = pa.scalar(Decimal(_SAFE_US), pa.decimal128(17, 0))
    safe = pc.less(pc.abs(floored), limit)
    kept = pc.if_else(safe, floored, pa.scalar(None, floored.type))
    return kept.cast(pa.decimal128(19, 0)).cast(pa.int64()).cast(_instant)


def _held(values: npt.NDArray[np.int64], column: pa.Array, safe: Mask) -> pa.Array:
    return pa.array(values, pa.int64(), mask=is_null(column) | ~safe).cast(_instant)
