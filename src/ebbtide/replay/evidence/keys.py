"""The key that signs evidence: made when it is first needed, readable by its owner alone."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ebbtide.domain.errors import SettingsError, WrongState
from ebbtide.domain.evidence import EvidenceKey
from ebbtide.domain.time import format_instant
from ebbtide.replay.evidence.sign import (
    TrustedKey,
    from_base64url,
    public_bytes,
    thumbprint,
    to_base64url,
)
from ebbtide.store.state.certificates import Certificates

KEY_FILE = "evidence-key.pem"
SETTING = "EBBTIDE_EVIDENCE_KEY_FILE"
_FILE_MAX_BYTES = 10_000

log = structlog.get_logger(__name__)


class SigningKeys:
    """The private key in its file, and the public halves of all there ever were, in the store."""

    def __init__(
        self,
        shelf: Certificates,
        data_dir: Path,
        named: Path | None,
        clock: Callable[[], datetime],
    ) -> None:
        """Look at nothing yet.

        Args:
            data_dir: where a key of our own making lies.
            named: a file that the operator named; then none is made.
        """
        self._shelf = shelf
        self._own = data_dir / KEY_FILE
        self._named = named
        self._clock = clock
        self._lock = threading.Lock()

    def current(self) -> Ed25519PrivateKey:
        """The key to sign with; its public half is in the store when this returns.

        Raises:
            SettingsError: its file cannot be used.
            WrongState: it was revoked.
        """
        with self._lock:
            if self._named is None and not self._own.exists():
                _write(self._own, Ed25519PrivateKey.generate(), replaces=False)
            key = _read(self._named or self._own, is_ours=self._named is None)
            record = self._shelf.put_key(_record(key, self._clock()))
        if record.revoked_at is not None:
            raise WrongState("the key that signs evidence was revoked; rotate it first")
        return key

    def rotate(self) -> EvidenceKey:
        """Sign with a new key from now on; what older ones signed stays valid.

        Raises:
            WrongState: the operator named the file of the key, so it is theirs to change.
        """
        if self._named is not None:
            raise WrongState(f"the key is in the file that {SETTING} names; put another one there")
        with self._lock:
            key = Ed25519PrivateKey.generate()
            _write(self._own, key, replaces=True)
            return self._shelf.put_key(_record(key, self._clock()))

    def revoke(self, key_id: str) -> EvidenceKey:
        """Trust nothing any more that this key signed.

        Raises:
            NotFound: there is no such key.
        """
        return self._shelf.revoke_key(key_id, self._clock())


def key_set(keys: list[EvidenceKey]) -> dict[str, Any]:
    """Public keys as a JWK set (RFC 7517, 8037), with what became of each in ``status``."""
    return {"keys": [_jwk(one) for one in keys]}


def read_key_set(document: Any) -> dict[str, TrustedKey]:
    """The keys of a JWK set; those of other kinds are passed over.

    Raises:
        ValueError: it is no set of keys.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it is no JWK set")
    found = {}
    for one in keys:
        if not isinstance(one, dict):
            raise ValueError("it is no JWK set")
        if one.get("kty") != "OKP" or one.get("crv") != "Ed25519":
            continue
        if not isinstance(one.get("x"), str):
            raise ValueError("a key has no x")
        public_key = from_base64url(one["x"])
        found[thumbprint(public_key)] = TrustedKey(public_key, one.get("status") == "revoked")
    return found


def trusted(keys: list[EvidenceKey]) -> dict[str, TrustedKey]:
    """The keys of the store, to check with."""
    return {
        one.key_id: TrustedKey(from_base64url(one.public_key), one.revoked_at is not None)
        for one in keys
    }


def _jwk(key: EvidenceKey) -> dict[str, Any]:
    status = "current" if key.retired_at is None else "retired"
    shown = {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": key.key_id,
        "x": key.public_key,
        "status": status if key.revoked_at is None else "revoked",
        "created_at": format_instant(key.created_at),
    }
    for name, at in (("retired_at", key.retired_at), ("revoked_at", key.revoked_at)):
        if at is not None:
            shown[name] = format_instant(at)
    return shown


def _record(key: Ed25519PrivateKey, at: datetime) -> EvidenceKey:
    public_key = public_bytes(key)
    return EvidenceKey(thumbprint(public_key), to_base64url(public_key), at)


def _read(path: Path, *, is_ours: bool) -> Ed25519PrivateKey:
    what = f"the key that signs evidence, {path}," if is_ours else f"{SETTING}: {path}"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_FILE_MAX_BYTES)
    except OSError as error:
        raise SettingsError(f"{what} cannot be read: {error.strerror}") from error
    if is_ours and mode & 0o077:
        raise SettingsError(
            f"{what} can be read by others (mode {mode:04o}): chmod 600 it, and rotate it if"
            " somebody may have read it"
        )
    if not is_ours and mode & 0o007:
        log.warning("evidence.key_file_open", file=str(path), mode=f"{mode:04o}")
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{what} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{what} holds a key of another kind than Ed25519")
    return key


def _write(path: Path, key: Ed25519PrivateKey, *, replaces: bool) -> None:
    """Put a key into a file that is whole or not there."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(pem)
        out.flush()
        os.fsync(out.fileno())
    if replaces:
        draft.replace(path)
    else:
        os.link(draft, path)  # fails when somebody was faster; a key is never made over
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
