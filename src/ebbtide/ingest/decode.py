"""From the bytes of a request body to records: fast when it is plain, exact when it is odd.

The fast reader cannot say where a bad number stands and keeps the last of two equal keys, so a
body that it refuses, or that may hold a repeated key, is read again by a slow and careful one.
That one isolates each record, so that a single bad event never costs its neighbours; it also
finds the text of a record that must be kept as it came.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence, Sized
from functools import partial
from typing import Any, overload

import msgspec
import zstandard

from ebbtide.domain.errors import BadRequest, BodyTooLarge, UnsupportedEncoding
from ebbtide.ingest.incoming import Incoming

BODY_MAX_BYTES = 5 * 1024 * 1024  # after decompression; about 20,000 ordinary events
DEPTH_MAX = 64  # objects and lists inside one another; deeper is no event
RECORDS_MAX = 100_000  # more do not fit into a body unless they are too short to be events
GZIP_PARTS_MAX = 100  # each costs a copy of what follows it; ordinary senders make one
# Beyond 64 bits neither the stores nor most JSON readers are exact.
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
_INTEGER_CHARS_MAX = 20

_new = tuple.__new__
_fast = msgspec.json.Decoder()
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
# A body seen so that every digit is a 0 and every space a blank: two cheap searches find what
# needs a closer look.
_SHAPE = bytes.maketrans(b"123456789\t\n\r", b"000000000   ")
_LONG_INTEGER = b"0" * 19
_BOM = b"\xef\xbb\xbf"


def decompress(body: bytes, encoding: str | None, limit: int = BODY_MAX_BYTES) -> bytes:
    """Undo a request's content encoding, never making more than ``limit`` bytes.

    Args:
        body: the bytes as received.
        encoding: the Content-Encoding header; None, ``identity``, ``gzip`` or ``zstd``.

    Raises:
        UnsupportedEncoding: another encoding, or several on top of one another.
        BodyTooLarge: the plain body is larger than the limit.
        BadRequest: the compressed stream is broken or cut off.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity" or name == "":
        plain = body
    elif name in ("gzip", "x-gzip"):
        plain = _gunzip(body, limit)
    elif name == "zstd":
        plain = _unzstd(body, limit)
    else:
        raise UnsupportedEncoding("send the body plain, or with gzip or zstd")
    if len(plain) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    return plain


def _gunzip(body: bytes, limit: int) -> bytes:
    out: list[bytes] = []
    size = 0
    rest = body
    while rest:
        if len(out) == GZIP_PARTS_MAX:
            raise BadRequest(f"the gzip stream has more than {GZIP_PARTS_MAX} parts")
        inflater = zlib.decompressobj(wbits=31)
        try:
            part = inflater.decompress(rest, limit + 1 - size)
        except zlib.error as error:
            raise BadRequest("the gzip stream is broken") from error
        size += len(part)
        out.append(part)
        if size > limit:
            raise BodyTooLarge(f"the body is larger than {limit} bytes")
        if not inflater.eof:
            raise BadRequest("the gzip stream is cut off")
        rest = inflater.unused_data
    return b"".join(out)


def _unzstd(body: bytes, limit: int) -> bytes:
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).stream_reader(
            body, read_across_frames=True
        )
        plain = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise BadRequest("the zstd stream is broken") from error
    if len(plain) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    if not plain and body:
        raise BadRequest("the zstd stream is cut off")
    return plain


def decode_json(body: bytes) -> Any:
    """Read a whole JSON body strictly; for doors whose body is one document.

    Raises:
        BadRequest: the body is no JSON, or nests too deep.
    """
    try:
        plain = _fast.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # the careful reader says what is wrong, or reads what the fast one cannot
    except RecursionError as error:
        raise BadRequest("the body nests too deep") from error
    else:
        if not _is_odd(body, plain):
            return plain
    return _read_carefully(_text(body))


def has_repeated_key(value: object) -> bool:
    """Whether an object read by :func:`decode_json` has a key twice, at its own level."""
    return isinstance(value, _Repeated)


def check_number(records: Sized) -> None:
    """Refuse a request of more records than events could be.

    Raises:
        BodyTooLarge: there are more than :data:`RECORDS_MAX`.
    """
    if len(records) > RECORDS_MAX:
        raise BodyTooLarge(f"a request holds at most {RECORDS_MAX} events")


def decode_events(body: bytes) -> Sequence[Incoming]:
    """Split a body of ``POST /v1/events`` into records.

    Args:
        body: one event, a list of events, or ``{"events": [...]}``, as UTF-8 JSON.

    Returns:
        One record per event in order, each with its fields or the reason it is hopeless.
        Empty for an empty list.

    Raises:
        BadRequest: the body is no JSON at all, or JSON of another shape.
        BodyTooLarge: it holds more than :data:`RECORDS_MAX` records.
    """
    if body[:3] == _BOM:
        body = body[3:]
    if not body.strip():
        raise BadRequest("the body is empty")
    try:
        plain = _fast.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_carefully(_text(body))
    items, is_wrapped = plain, False
    if type(plain) is dict:
        is_wrapped = "events" in plain and "event_type" not in plain
        items = plain["events"] if is_wrapped else [plain]
    if type(items) is not list:
        raise BadRequest('send one event, a list of events, or {"events": [...]}')
    check_number(items)
    if not _is_flat(body, plain, items, is_wrapped) and _is_odd(body, plain):
        return _split_carefully(_text(body))
    return Records(items, body)


def decode_record(text: bytes) -> Incoming:
    """Read one JSON object that stands alone, such as a line of a file.

    Returns:
        Its fields, or the reason it is hopeless; never raises on bad input.
    """
    try:
        plain = _fast.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # the careful reader says what is wrong, or reads what the fast one cannot
    else:
        if type(plain) is not dict:
            return Incoming(None, text, "not_an_object")
        if not _is_odd(text, plain):
            return Incoming(plain, text, None)
    try:
        document = text.decode("utf-8")
        return _record(_careful.decode(document), document)
    except RecursionError:
        return Incoming(None, text, "too_deep")
    except ValueError:  # also when it is not UTF-8
        return Incoming(None, text, "invalid_json")


class _Texts:
    """The records of a body as they came, found only when one of them must be kept."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._texts: list[bytes] | None = None

    def __getitem__(self, position: int) -> bytes:
        if self._texts is None:
            self._texts = [one.text for one in _split_carefully(_text(self._body))]
        return self._texts[position]


class Records(Sequence[Incoming]):
    """The records of a body that the fast reader took, each made when it is asked for.

    ``items`` are the decoded values as they stand in the body. ``holds_nul`` is whether any
    text in them may hold a NUL character.
    """

    def __init__(self, items: list[Any], body: bytes) -> None:
        self.items = items
        self.holds_nul = b"\\u0000" in body
        self._texts = _Texts(body)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, position: int) -> Incoming: ...
    @overload
    def __getitem__(self, position: slice) -> list[Incoming]: ...
    def __getitem__(self, position: int | slice) -> Incoming | list[Incoming]:
        if isinstance(position, slice):
            return [self[at] for at in range(*position.indices(len(self)))]
        at = range(len(self.items))[position]
        item = self.items[at]
        find = partial(self._texts.__getitem__, at)
        # tuple.__new__ skips the argument handling of the named tuple: a microsecond an event.
        if type(item) is dict:
            return _new(Incoming, (item, find, None))
        return Incoming(None, find, "not_an_object")


def _is_flat(body: bytes, plain: Any, items: list[Any], is_wrapped: bool) -> bool:
    """Whether every key of a body is one of an event or of its metadata, and each stands once.

    True for nearly every body, and found without walking through its values; False only means
    that :func:`_is_odd` has to look.
    """
    if b"\\" in body or body.count(b"[") > DEPTH_MAX:
        return False
    shape = body.translate(_SHAPE)
    if b" :" in shape or _LONG_INTEGER in shape:
        return False
    num_keys = len(plain) if is_wrapped else 0
    for item in items:
        if type(item) is not dict:
            return False
        num_keys += len(item)
        metadata = item.get("metadata")
        if type(metadata) is dict:
            num_keys += len(metadata)
    return body.count(b'":') == num_keys


def _is_odd(body: bytes, plain: Any) -> bool:
    """Whether a body that the fast reader took needs the careful one all the same.

    Equal keys in one object: the fast reader keeps the last. A colon follows a quote after
    every key, so too few keys read means that one stood twice.
    """
    num_keys = _num_keys(plain)
    if num_keys is None:
        return True
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Both kinds of colon, also when one kind alone makes the sum right: a repeated key and a
    # spaced one would hide each other.
    return body.count(b'":') + len(_SPACED_COLON.findall(body)) != num_keys


def _num_keys(value: Any) -> int | None:
    """How many keys a decoded document has; None when it nests too deep or has a huge integer."""
    num_keys = 0
    depth = -1  # the list around the document is none of its own
    level: list[Any] = [[value]]
    while level:
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                num_keys += len(item)
                inner = item.values()
            else:
                inner = item
            for one in inner:
                kind = type(one)
                if kind is dict or kind is list:
                    below.append(one)
                elif kind is int and not INTEGER_MIN <= one <= INTEGER_MAX:
                    return None
        depth += 1
        if depth > DEPTH_MAX:
            return None
        level = below
    return num_keys


# -- the careful reader ------------------------------------------------------------------------


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error


class _Repeated(dict[str, Any]):
    """An object in which a key stood twice."""


class _TooLong(str):
    """The digits of a number that no store holds exactly."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Repeated(made)


def _integer(digits: str) -> int | _TooLong:
    if len(digits) <= _INTEGER_CHARS_MAX and INTEGER_MIN <= (number := int(digits)) <= INTEGER_MAX:
        return number
    return _TooLong(digits)


_careful = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)
_SPACE = re.compile(r"[ \t\n\r]*")


def _read_carefully(text: str) -> Any:
    try:
        return _careful.decode(text)
    except RecursionError as error:
        raise BadRequest("the body nests too deep") from error
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error


def _split_carefully(text: str) -> list[Incoming]:
    """Read a body record by record, keeping the text of each."""
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        records, end = _items(text, start)
        _end(text, end)
        return records
    document = _read_carefully(text)
    if not isinstance(document, dict):
        raise BadRequest('send one event, a list of events, or {"events": [...]}')
    if "events" not in document or "event_type" in document:
        return [_record(document, text)]
    if type(document["events"]) is not list or type(document) is _Repeated:
        raise BadRequest('send one event, a list of events, or {"events": [...]}')
    return _items(text, _find_value(text, start, "events"))[0]


def _find_value(text: str, start: int, wanted: str) -> int:
    """Where the value of a key begins, in an object that was already read once."""
    at = _skip(text, start + 1)
    while True:
        key, at = _careful.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        if key == wanted:
            return at
        _, at = _careful.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the comma


def _items(text: str, start: int) -> tuple[list[Incoming], int]:
    """The records of a list that opens at ``start``, and where it ends."""
    records: list[Incoming] = []
    at = _skip(text, start + 1)
    if text[at : at + 1] == "]":
        return records, at + 1
    while True:
        try:
            value, after = _careful.raw_decode(text, at)
        except RecursionError as error:
            raise BadRequest("the body nests too deep") from error
        except ValueError as error:
            raise BadRequest("the body is not JSON") from error
        records.append(_record(value, text[at:after]))
        check_number(records)
        at = _skip(text, after)
        mark = text[at : at + 1]
        if mark == "]":
            return records, at + 1
        if mark != ",":
            raise BadRequest("the body is not JSON")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise BadRequest("the body is not JSON: something follows the list")


def _record(value: Any, text: str) -> Incoming:
    raw = text.encode("utf-8", "surrogatepass")
    if not isinstance(value, dict):
        return Incoming(None, raw, "not_an_object")
    reason = fault(value, DEPTH_MAX)
    return Incoming(None if reason else value, raw, reason)


def fault(value: Any, depth: int) -> str | None:
    """Why a value read by the careful reader is not plain JSON data; None when it is."""
    if depth <= 0:
        return "too_deep"
    if isinstance(value, _TooLong):
        return "number_out_of_range"
    if isinstance(value, str):
        return "lone_surrogate" if _SURROGATE.search(value) else None
    if isinstance(value, float):
        return None if value - value == 0 else "number_out_of_range"  # NaN and infinities
    if isinstance(value, _Repeated):
        return "duplicate_key"
    if isinstance(value, dict):
        for key, inner in value.items():
            reason = fault(key, depth) or fault(inner, depth - 1)
            if reason:
                return reason
    elif isinstance(value, list):
        for inner in value:
            reason = fault(inner, depth - 1)
            if reason:
                return reason
    return None


_SURROGATE = re.compile("[\ud800-\udfff]")
