"""Who is signed in: sessions of this process, each opened with an admin key."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

LIFE = timedelta(hours=12)  # a working day; a page that refreshes itself does not prolong it
SESSIONS_MAX = 1_000
PLAIN_COOKIE = "ebbtide_session"
TLS_COOKIE = "__Host-ebbtide_session"


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that showed an admin key. The key's text lives in memory only."""

    key: str = field(repr=False)
    key_id: str
    key_name: str
    form_token: str = field(repr=False)
    expires_at: datetime
    is_tls: bool

    def holds(self, form_token: str) -> bool:
        """Whether a form was made for this session."""
        return compare_digest(self.form_token.encode(), form_token.encode())


class Sessions:
    """The sessions by the digest of their token: what is kept opens nothing."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._lock = threading.Lock()

    def open(self, key: str, key_id: str, key_name: str, now: datetime, *, is_tls: bool) -> str:
        """Begin a session; returns its token, which only the browser keeps."""
        token = secrets.token_urlsafe(32)
        session = Session(key, key_id, key_name, secrets.token_urlsafe(32), now + LIFE, is_tls)
        with self._lock:
            for digest in [one for one, kept in self._sessions.items() if kept.expires_at <= now]:
                del self._sessions[digest]
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[_digest(token)] = session
        return token

    def find(self, token: str, now: datetime, *, is_tls: bool) -> Session | None:
        """The session of a token; None when it is unknown, over, or came in the other cookie."""
        session = self._sessions.get(_digest(token))
        if session is None or session.expires_at <= now or session.is_tls != is_tls:
            return None
        return session

    def end(self, token: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
