"""Who is calling, and may they: API keys on every route but the health probes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

from starlette.requests import HTTPConnection

from ebbtide.domain.errors import (
    Forbidden,
    StoreUnavailable,
    TooManyAttempts,
    Unauthorized,
)
from ebbtide.domain.keys import ApiKey, Scope, hash_secret, split_key, verify
from ebbtide.store.state.base import StateStore

KEY_MAX_CHARS = 600
CACHE_S = 1.0  # a revoked key stops working within this time in every process
CACHED_KEYS_MAX = 10_000
WRONG_KEYS_MAX = 100  # per address and minute; a valid key is never slowed down
LOCAL_KEY_ID = "local"
LOOKUPS_MAX = 4  # at a time; each waits for the disk and holds the interpreter for little


class _Cached(NamedTuple):
    key: ApiKey
    until: float


class Authenticator:
    """Checks presented keys against the state store, remembering good ones for a second."""

    def __init__(self, state: StateStore, clock: Callable[[], datetime]) -> None:
        self._state = state
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._wrong: dict[str, tuple[float, int]] = {}
        self._num_forgotten = 0
        self._lock = threading.Lock()
        self._local: ApiKey | None = None
        # Threads of their own: those of the routes may all be busy with long queries.
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="ebbtide-keys")
        self._lookups: dict[tuple[str, str], asyncio.Future[ApiKey]] = {}

    def accept_local(self, secret: str) -> None:
        """Accept one secret that lives as long as this process, for the command line beside it."""
        now = datetime(1970, 1, 1, tzinfo=UTC)
        self._local = ApiKey(
            LOCAL_KEY_ID,
            "local command line",
            frozenset({Scope.ADMIN}),
            hash_secret(secret),
            now,
        )

    def check(self, text: str, address: str) -> ApiKey:
        """The key that a presented text opens.

        Args:
            text: as presented, any text.
            address: where the request came from, to slow down guessing.

        Raises:
            Unauthorized: unknown, wrong, expired or revoked; the caller learns no more.
            TooManyAttempts: too many wrong keys from this address lately.
            StoreUnavailable: the state store cannot answer.
        """
        if not text or len(text) > KEY_MAX_CHARS:
            raise self._wrong_key(address)
        remembered = self.remembered(text)
        if remembered is not None:
            return remembered
        since = self._num_forgotten
        now = self._clock()
        credential = split_key(text)
        if self._local is not None and verify(self._local, text, now):
            return self._local
        record = self._state.keys.find(credential.key_id)
        if not verify(record, credential.secret, now) or record is None:
            with self._lock:
                self._cache.pop(text, None)
            raise self._wrong_key(address)
        until = monotonic() + CACHE_S
        if record.expires_at is not None:
            until = min(
                until,
                monotonic() + max(timedelta(0), record.expires_at - now).total_seconds(),
            )
        with self._lock:
            if len(self._cache) >= CACHED_KEYS_MAX:
                self._cache.clear()
            if since == self._num_forgotten:  # else it may have been read before a revocation
                self._cache[text] = _Cached(record, until)
        if record.is_use_due(now):
            self._note_use(record, now)
        return record

    def remembered(self, text: str) -> ApiKey | None:
        """The key that this text opened within the last second, from memory; None for others."""
        cached = self._cache.get(text)
        return cached.key if cached is not None and cached.until > monotonic() else None

    async def look_up(self, text: str, address: str) -> ApiKey:
        """As :meth:`check`, on a thread beside the event loop, which must not wait for a disk.

        Requests that bring the same key at the same time share one look.
        """
        asked = (text, address)
        lookup = self._lookups.get(asked)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._threads, self.check, text, address)
            self._lookups[asked] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(asked, None))
        return await asyncio.shield(lookup)  # one caller who hangs up does not end it for all

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(cancel_futures=True)

    def _note_use(self, record: ApiKey, now: datetime) -> None:
        try:
            self._state.keys.note_use(record.key_id, now)
        except StoreUnavailable:
            return  # "last used" is a courtesy; a full disk must not close the door for readers

    def forget(self) -> None:
        """Drop remembered keys, so that a revocation holds from the next request on."""
        with self._lock:
            self._num_forgotten += 1
            self._cache.clear()
            self._lookups.clear()

    def _wrong_key(self, address: str) -> Exception:
        now = monotonic()
        with self._lock:
            if len(self._wrong) > CACHED_KEYS_MAX:
                self._wrong.clear()
            since, count = self._wrong.get(address, (now, 0))
            if now - since > 60:
                since, count = now, 0
            self._wrong[address] = (since, count + 1)
        if count >= WRONG_KEYS_MAX:
            return TooManyAttempts("too many wrong keys", retry_after_s=int(61 - (now - since)))
        return Unauthorized("no valid key")


def presented_key(connection: HTTPConnection) -> str | None:
    """The key in a request's headers: X-API-Key, Bearer, or the user name of Basic.

    Returns:
        None when there is none; empty, which no key is, when there are several: nobody guesses
        which was meant.
    """
    headers = connection.headers
    given = headers.getlist("x-api-key")
    for value in headers.getlist("authorization"):
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "bearer":
            given.append(rest.strip())
        elif scheme.lower() == "basic":
            given.append(_basic_user(rest.strip()))
        else:
            given.append("")
    if not given:
        return None
    return given[0] if len(given) == 1 else ""


def _basic_user(encoded: str) -> str:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[0]


def address_of(connection: HTTPConnection) -> str:
    """The peer's address; forwarded headers are not believed."""
    return connection.client.host if connection.client else "local"


def authorize(
    authenticator: Authenticator,
    connection: HTTPConnection,
    scope: Scope,
    text: str | None = None,
) -> ApiKey:
    """The caller's key, if it may do what the route asks; may wait for a disk.

    Args:
        text: a key found elsewhere than in the headers (Segment's ``writeKey``).

    Raises:
        Unauthorized: no valid key.
        Forbidden: a valid key without the scope.
    """
    presented = _presented(connection, text)
    return _allowed(authenticator.check(presented, address_of(connection)), scope)


async def admit(
    authenticator: Authenticator,
    connection: HTTPConnection,
    scope: Scope,
    text: str | None = None,
) -> ApiKey:
    """As :func:`authorize`, for handlers on the event loop: a disk is waited for elsewhere."""
    presented = _presented(connection, text)
    key = authenticator.remembered(presented)
    if key is None:
        key = await authenticator.look_up(presented, address_of(connection))
    return _allowed(key, scope)


def _presented(connection: HTTPConnection, text: str | None) -> str:
    presented = presented_key(connection)
    return text or "" if presented is None else presented


def _allowed(key: ApiKey, scope: Scope) -> ApiKey:
    if not key.allows(scope):
        raise Forbidden(f"this key lacks the scope {scope.value!r}")
    return key
