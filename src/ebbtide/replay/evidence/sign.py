"""Signs evidence and reads signatures: Ed25519 over the canonical text, or over a whole PDF.

A JSON file is ``{"evidence": ..., "signature": ...}``. A PDF is signed as it is: its last line is a
comment with the signature over everything before it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ebbtide.replay.evidence.canonical import canonical

FORMAT = "ebbtide-evidence/1"
#: What is signed begins with this, so that a signature over one thing is none over another.
JSON_PREFIX = b"ebbtide-evidence/1\n"
PDF_PREFIX = b"ebbtide-evidence-pdf/1\n"
PDF_LINE = b"%ebbtide-evidence-signature "
_ATTACHED = b'{"evidence":'
_FIELDS = {"alg", "certificate_id", "digest", "key_id", "public_key", "signature"}


class Says(StrEnum):
    """What a signature says."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a file.

    Attributes:
        text: why, for a person.
        certificate_id, key_id: as the file says them; None where it does not.
        evidence: the contents, where they could be read; of a PDF those that it carries.
    """

    says: Says
    text: str
    certificate_id: str | None = None
    key_id: str | None = None
    evidence: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that is known to be Ebbtide's: its 32 bytes, and whether it was revoked."""

    public_key: bytes
    is_revoked: bool = False


def to_base64url(data: bytes) -> str:
    """Bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The bytes of base64url without padding.

    Raises:
        ValueError: it is none.
    """
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if to_base64url(data) != text:
        raise ValueError("not the one spelling of its bytes")
    return data


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public half."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def thumbprint(public_key: bytes) -> str:
    """The id of a public key, as RFC 7638 makes it."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(public_key)}
    return to_base64url(hashlib.sha256(canonical(members)).digest())


def digest_of(evidence: dict[str, Any]) -> str:
    """SHA-256 of the canonical text, hexadecimal."""
    return hashlib.sha256(canonical(evidence)).hexdigest()


def sign_json(evidence: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The signed file: one line of canonical JSON."""
    about = _about(evidence, key)
    about["signature"] = to_base64url(key.sign(JSON_PREFIX + canonical(evidence)))
    return canonical({"evidence": evidence, "signature": about})


def sign_pdf(pdf: bytes, evidence: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """A PDF with its signature as a last line."""
    about = _about(evidence, key)
    body = pdf if pdf.endswith(b"\n") else pdf + b"\n"
    about["signature"] = to_base64url(key.sign(PDF_PREFIX + canonical(about) + b"\n" + body))
    return body + PDF_LINE + canonical(about) + b"\n"


def check(content: bytes, keys: dict[str, TrustedKey]) -> Finding:
    """What can be said of a file.

    Args:
        content: of any file.
        keys: those that are trusted, by their ids.
    """
    return _check_pdf(content, keys) if content.startswith(b"%PDF-") else _check_json(content, keys)


def _about(evidence: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    public_key = public_bytes(key)
    return {
        "alg": "Ed25519",
        "certificate_id": evidence["certificate_id"],
        "digest": digest_of(evidence),
        "key_id": thumbprint(public_key),
        "public_key": to_base64url(public_key),
    }


def _check_json(content: bytes, keys: dict[str, TrustedKey]) -> Finding:
    try:
        file = json.loads(content, object_pairs_hook=_once, parse_float=_no_fraction)
        evidence, about = file["evidence"], file["signature"]
        if set(file) != {"evidence", "signature"} or evidence["format"] != FORMAT:
            raise ValueError("another format")
        text = canonical(evidence)
        if about["certificate_id"] != evidence["certificate_id"]:
            raise ValueError("two ids")
        if about["digest"] != hashlib.sha256(text).hexdigest():
            return Finding(Says.INVALID, "the contents were changed: their digest is another")
    except (ValueError, TypeError, KeyError, RecursionError):
        return Finding(Says.INVALID, "this is no file of evidence, or it was changed")
    return _judge(about, JSON_PREFIX + text, keys, evidence)


def _check_pdf(content: bytes, keys: dict[str, TrustedKey]) -> Finding:
    evidence = None
    attached = content.find(_ATTACHED)
    if attached >= 0:
        found = _check_json(content[attached : content.find(b"\nendstream", attached)], keys)
        evidence = found.evidence
    begin = content.rfind(b"\n" + PDF_LINE) + 1
    if begin == 0:
        text = "the pages carry no signature"
        if evidence is not None:
            text += "; the JSON that the PDF carries can be checked by itself"
        return Finding(Says.UNSIGNED, text)
    try:
        line = content[begin + len(PDF_LINE) :]
        about = json.loads(line, object_pairs_hook=_once)
        if line != canonical(about) + b"\n":
            raise ValueError("something follows")
        if evidence is None or digest_of(evidence) != about["digest"]:
            raise ValueError("another attachment")
        unsigned = {name: text for name, text in about.items() if name != "signature"}
        message = PDF_PREFIX + canonical(unsigned) + b"\n" + content[:begin]
    except (ValueError, TypeError, KeyError, RecursionError):
        return Finding(Says.INVALID, "the PDF was changed after it was signed")
    return _judge(about, message, keys, evidence)


def _judge(
    about: Any, message: bytes, keys: dict[str, TrustedKey], evidence: dict[str, Any]
) -> Finding:
    """Whether a signature holds, and whose it is."""
    try:
        if set(about) != _FIELDS or about["alg"] != "Ed25519":
            raise ValueError("another signature")
        public_key = from_base64url(about["public_key"])
        signature = from_base64url(about["signature"])
        key_id, certificate_id = about["key_id"], about["certificate_id"]
        if key_id != thumbprint(public_key):
            raise ValueError("another key")
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError, TypeError, KeyError):
        return Finding(Says.INVALID, "the signature does not hold: contents or signature changed")
    known = keys.get(key_id)
    if known is None or known.public_key != public_key:
        says, text = Says.UNKNOWN_KEY, (
            "nothing was changed since it was signed, but by whom is not known: its key is none of"
            " those given"
        )  # fmt: skip
    elif known.is_revoked:
        says, text = Says.REVOKED_KEY, "its key was revoked: anybody may have signed it"
    else:
        says, text = Says.VALID, "signed by a known key, and not changed since"
    return Finding(says, text, certificate_id, key_id, evidence)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_fraction(_: str) -> float:
    raise ValueError("a number with a fraction")
