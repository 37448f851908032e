"""Tells visits of a certificate apart, in memory and without keeping whose they are."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

VISIT = timedelta(minutes=30)  # a reader who comes back within this is still the same visit
REMEMBERED_MAX = 10_000
AN_HOUR_MAX = 30  # of one certificate: nobody can make a customer look busy from outside
_HOUR = timedelta(hours=1)


class Visits:
    """Who was there lately, as digests under a secret that dies with the process."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, datetime] = OrderedDict()
        self._told: dict[str, deque[datetime]] = {}
        self._lock = threading.Lock()

    def is_new(self, certificate_id: str, visitor: str, at: datetime) -> bool:
        """Whether this is a visit to be told of, and not one that is going on.

        Args:
            visitor: what is known of the one who looks, such as address and browser.
        """
        text = f"{certificate_id}\0{visitor}".encode("utf-8", "replace")
        digest = hashlib.blake2b(text, key=self._secret, digest_size=16).digest()
        with self._lock:
            last = self._seen.pop(digest, None)
            self._seen[digest] = at
            while len(self._seen) > REMEMBERED_MAX:
                self._seen.popitem(last=False)
            if last is not None and at - last < VISIT:
                return False
            told = self._told.setdefault(certificate_id, deque())
            while told and at - told[0] >= _HOUR:
                told.popleft()
            if len(told) >= AN_HOUR_MAX:
                return False
            told.append(at)
            if len(self._told) > REMEMBERED_MAX:
                self._told = {certificate_id: told}
            return True
