"""API keys: how a key is written, what may be done with it, and how one is checked."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest

from ebbtide.domain.ids import to_uuid_text

PREFIX = "ebb"  # lets secret scanners find a leaked key
KEY_ID_CHARS = 12  # 60 bits: enough that two ids never meet
SECRET_BITS = 256
NAME_MAX_CHARS = 200
OWN_SECRET_MIN_CHARS, OWN_SECRET_MAX_CHARS = 32, 512
NOTE_USE_EVERY = timedelta(minutes=1)  # "last used" is for people; a write per request is not

_NEVER = datetime.max.replace(tzinfo=UTC)

# fullmatch, never match with "$": a newline at the end must not slip through.
_KEY_FORM = re.compile(r"ebb_([a-z2-7]{12})_([a-z2-7]{52})")
_VISIBLE_ASCII = re.compile(r"[!-~]*")


class Scope(StrEnum):
    """What a key may be used for; ``admin`` stands for all of them."""

    INGEST = "ingest"
    READ = "read"
    JOBS_RUN = "jobs:run"
    INTERVENTIONS_WRITE = "interventions:write"
    LLM_CALL = "llm:call"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Credential:
    """A presented key taken apart: the public id to look it up by, and the secret to check."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: everything but the secret. All times are UTC-aware.

    ``tenant_id`` binds the key to one tenant; None means every tenant. ``expires_at``,
    ``revoked_at`` and ``last_used_at`` are None for never.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    secret_sha256: str = field(repr=False)
    created_at: datetime
    tenant_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or len(self.name) > NAME_MAX_CHARS:
            raise ValueError(f"a key needs a name of 1 to {NAME_MAX_CHARS} printable characters")
        if not self.scopes:
            raise ValueError("a key needs at least one scope")
        if self.tenant_id is not None and Scope.ADMIN in self.scopes:
            # It could make itself an unbound key, so the binding would be a false promise.
            raise ValueError("an admin key cannot be bound to one tenant")

    def allows(self, scope: Scope) -> bool:
        """Whether the key may be used for this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def covers(self, tenant_id: str) -> bool:
        """Whether the key may read or write for this tenant, in any spelling of its id."""
        return self.tenant_id is None or to_uuid_text(self.tenant_id) == to_uuid_text(tenant_id)

    def is_active(self, at: datetime) -> bool:
        """Whether the key is neither expired nor revoked at this moment."""
        # Without a branch: the answer takes as long for every kind of key.
        return ((self.expires_at or _NEVER) > at) & ((self.revoked_at or _NEVER) > at)

    def is_use_due(self, at: datetime) -> bool:
        """Whether a use at this moment should be written to ``last_used_at``."""
        return self.last_used_at is None or at - self.last_used_at >= NOTE_USE_EVERY


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; ``text`` is shown once and kept nowhere."""

    record: ApiKey
    text: str = field(repr=False)  # a key must not get into a log by way of its record


#: What an unknown key is compared with.
_NOBODY = ApiKey("", "nobody", frozenset({Scope.READ}), sha256(b"nobody").hexdigest(), _NEVER)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def make_key_text() -> str:
    """A new key: ``ebb_<12 characters of id>_<52 characters, 256 random bits>``."""
    key_id = _base32(secrets.token_bytes(8))[:KEY_ID_CHARS]
    return f"{PREFIX}_{key_id}_{_base32(secrets.token_bytes(SECRET_BITS // 8))}"


def hash_secret(secret: str) -> str:
    """The SHA-256 of a secret in hex; a slow hash adds nothing to 256 random bits."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def split_key(text: str) -> Credential:
    """Take a presented key apart. Any text is accepted, so a wrong key takes no shortcut.

    Args:
        text: what the caller sent.

    Returns:
        For the ``ebb_<id>_<secret>`` form its parts. Any other text is a secret as a whole,
        and its id is derived from its hash (see :func:`check_own_secret`).
    """
    match = _KEY_FORM.fullmatch(text)
    if match is not None:
        return Credential(match[1], match[2])
    digest = sha256(b"ebbtide key id:" + text.encode("utf-8", "surrogatepass")).digest()
    return Credential(_base32(digest)[:KEY_ID_CHARS], text)


def check_own_secret(text: str) -> None:
    """Whether a text chosen by an operator may be a key (``EBBTIDE_BOOTSTRAP_KEY``).

    It is either a whole ``ebb_<id>_<secret>``, or 32 to 512 visible ASCII characters without
    spaces (what an HTTP header carries unchanged). Its id is public and derived from its
    hash, so choose it at random: 32 guessable characters stay guessable.

    Raises:
        ValueError: the text is too short, too long, or has other characters.
    """
    if not OWN_SECRET_MIN_CHARS <= len(text) <= OWN_SECRET_MAX_CHARS:
        raise ValueError(
            f"a key has {OWN_SECRET_MIN_CHARS} to {OWN_SECRET_MAX_CHARS} characters, "
            f"this one has {len(text)}"
        )
    if _VISIBLE_ASCII.fullmatch(text) is None:
        raise ValueError("a key has only visible ASCII characters and no spaces")


def parse_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """Read scopes from their words.

    Raises:
        ValueError: a word is not a scope, or there is none.
    """
    known = {scope.value: scope for scope in Scope}
    words = list(words)
    unknown = sorted(set(words) - known.keys())
    if unknown:
        raise ValueError(f"unknown scope {unknown[0]!r}; known are {', '.join(known)}")
    if not words:
        raise ValueError(f"a key needs at least one scope of {', '.join(known)}")
    return frozenset(known[word] for word in words)


def verify(record: ApiKey | None, secret: str, at: datetime) -> bool:
    """Whether a secret opens this key now.

    An unknown key, a wrong secret, an expired and a revoked key take the same steps, so the
    time of the answer tells nothing.

    Args:
        record: the key found under the presented id; None when there is none.
        secret: the presented secret.
        at: the moment of the request, UTC-aware.
    """
    key = _NOBODY if record is None else record
    is_right = compare_digest(hash_secret(secret), key.secret_sha256)
    return is_right & key.is_active(at) & (key is not _NOBODY)
