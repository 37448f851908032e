"""Identifiers: any text up to 200 characters is accepted, and each has exactly one UUID."""

from __future__ import annotations

import os
import re
from datetime import datetime
from hashlib import sha1
from uuid import UUID

ID_MAX_CHARS = 200  # long enough for URLs and composite keys, short enough to index

# The namespace is part of the public contract: the same text gives the same UUID in every
# installation and in every version, so it must never change.
NAMESPACE = UUID("6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55")

_NAMESPACE_BYTES = NAMESPACE.bytes
_UUID_FORM = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)


def is_uuid_form(text: str) -> bool:
    """Whether a text has the 8-4-4-4-12 form, the only one that counts as a UUID."""
    return _UUID_FORM.fullmatch(text) is not None


def to_uuid_text(text: str) -> str:
    """Map an identifier to its UUID in canonical lower-case text.

    Args:
        text: the identifier as sent, 1 to 200 characters, not trimmed or normalised.

    Returns:
        The text itself in lower case when it has the 8-4-4-4-12 form, else its UUIDv5
        under :data:`NAMESPACE`. The mapping is stable across installations.

    Example:
        >>> to_uuid_text("6F1F4F4E-9C5B-5D0E-8F0A-2B7D3C9A1E55")
        '6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55'
        >>> to_uuid_text("acme") == to_uuid_text("acme")
        True
    """
    if _UUID_FORM.fullmatch(text) is not None:
        return text.lower()
    # The same as str(uuid.uuid5(NAMESPACE, text)), without building a UUID object: this runs
    # for every event. SHA-1 names things here, it protects nothing.
    h = sha1(_NAMESPACE_BYTES + text.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}"


def new_event_uuid(timestamp: datetime) -> str:
    """A UUIDv7 for an event whose producer named none: random, ordered by the event's time."""
    milliseconds = int(timestamp.timestamp() * 1000) & (2**48 - 1)
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    number = (number & ~(0xF << 76)) | (0x7 << 76)
    number = (number & ~(0x3 << 62)) | (0x2 << 62)
    return str(UUID(int=number))
