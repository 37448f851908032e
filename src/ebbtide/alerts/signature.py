"""Signs webhooks as Standard Webhooks says: HMAC-SHA256 over id, moment and body."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


def read_keys(text: str) -> tuple[bytes, ...]:
    """Signing keys ``whsec_<base64>``, with commas between them while one replaces another.

    Raises:
        ValueError: one of them is written otherwise; the message does not repeat it.
    """
    keys = []
    for one in text.split(","):
        word = one.strip()
        try:
            key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not word.startswith(PREFIX) or len(key) not in _KEY_BYTES:
            raise ValueError("a signing secret is whsec_ and the base64 of 24 to 64 random bytes")
        keys.append(key)
    return tuple(keys)


def sign(keys: Sequence[bytes], delivery_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a webhook; one signature for each key, so that either verifies.

    Args:
        at: the moment of the attempt; receivers refuse what is too old.
    """
    moment = str(int(at.timestamp()))
    signed = f"{delivery_id}.{moment}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys
    ]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(signatures),
    }
