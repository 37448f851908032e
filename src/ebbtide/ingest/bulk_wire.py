"""The bulk table on the wire: an Arrow stream, read as something that a stranger wrote."""

from __future__ import annotations

import struct

import pyarrow as pa

from ebbtide.domain.errors import BadRequest

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
BODY_MAX_BYTES = 64 * 1024 * 1024

_HEADER_TYPE, _HEADER = 1, 2  # fields of a message
_RECORD_BATCH = 3  # the header type of rows
_COMPRESSION = 3  # field of a record batch


def to_stream(table: pa.Table) -> bytes:
    """A table as the body of ``POST /v1/bulk``."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def from_stream(body: bytes) -> pa.Table:
    """The table in a body, with every offset and every text checked.

    Only what is as large as it looks is read: no compressed buffers, no dictionaries.

    Raises:
        BadRequest: it is no Arrow stream, or holds something that we do not read.
    """
    try:
        _check_messages(body)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        str(table.schema)  # names and zones must be text as well
    except (pa.ArrowException, OSError, struct.error, ValueError, OverflowError) as error:
        raise BadRequest(f"the body is no Arrow stream that can be read: {error}") from error
    return table


def _check_messages(body: bytes) -> None:
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(body))
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        if message.type == "dictionary":
            raise BadRequest("send plain columns, not dictionaries")
        if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
            raise BadRequest("send the buffers uncompressed")


def _is_compressed(metadata: bytes) -> bool:
    """Whether a record batch's buffers are compressed; its header is a FlatBuffers table."""
    message = struct.unpack_from("<I", metadata, 0)[0]
    kind = _field(metadata, message, _HEADER_TYPE)
    header = _field(metadata, message, _HEADER)
    if header is None or kind is None or metadata[kind] != _RECORD_BATCH:
        return True  # cannot be told, so it is not read
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    return _field(metadata, batch, _COMPRESSION) is not None


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a FlatBuffers table stands; None when it is absent."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    at = 4 + 2 * number
    if at >= struct.unpack_from("<H", buffer, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", buffer, vtable + at)[0]
    return table + offset if offset else None
