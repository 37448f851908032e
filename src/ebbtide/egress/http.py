"""HTTP to other machines: one POST, no redirects, no proxy, and of the answer the head alone."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from ebbtide.egress.addresses import Reach
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.line import Bounds, errand

_URL_MAX_CHARS = 2000
_URL_FORM = re.compile(r"https?://[!-~]+")
_HOST_FORM = re.compile(r"[A-Za-z0-9.:_-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Ports above 1023 where something else than HTTP usually listens, without asking who calls.
_NOT_HTTP = frozenset({1433, 1521, 2375, 2379, 3306, 5432, 5984, 6379, 9042, 11211, 27017})


@dataclass(frozen=True, slots=True)
class Target:
    """An address in its parts."""

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a number, and how long to wait if it said so. Its text stays outside.

    ``retry_after`` is what the header said, seconds or a date.
    """

    status: int
    retry_after: str | None

    def retry_after_s(self, now_s: float) -> float | None:
        """Seconds to wait from ``now_s`` (since 1970); None when nothing usable was said."""
        text = (self.retry_after or "").strip()
        if re.fullmatch(r"[0-9]{1,9}", text):
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
        except (ValueError, OverflowError):
            return None


def read_url(text: str) -> Target:
    """Take an address apart.

    Raises:
        ValueError: it is none that we would call; the message does not repeat it.
    """
    if len(text) > _URL_MAX_CHARS or not _URL_FORM.fullmatch(text) or "\\" in text:
        raise ValueError("an address starts with https:// and has visible ASCII characters only")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("its host or port cannot be read") from error
    if "@" in parts.netloc or "%" in parts.netloc:
        raise ValueError("an address has no user, password or percent sign before its path")
    if parts.fragment or "#" in text:
        raise ValueError("an address that is called has no fragment")
    host = parts.hostname or ""
    if not _HOST_FORM.fullmatch(host):
        raise ValueError("it names no host")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port in _NOT_HTTP or (port < 1024 and port not in _DEFAULT_PORTS.values()):
        raise ValueError("that port is not one of a web server")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


class HttpClient:
    """Posts to other machines; from any thread."""

    def __init__(
        self, reach: Reach, *, bounds: Bounds | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Set the limits of every call.

        Args:
            tls: what certificates have to stand up to; None: the machine's own authorities.
        """
        self.reach = reach
        self._bounds = bounds or Bounds()
        self._tls = tls

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body, with these headers and those that HTTP itself needs.

        Raises:
            ValueError: it is no address that we would call.
            EgressFailed: no answer; also ``insecure``: plain HTTP over a public line.
        """
        target = read_url(url)
        with errand(self._bounds) as way:
            line, is_own = way.connect(target.host, target.port, self.reach)
            if target.scheme == "https":
                self._tls = self._tls or ssl.create_default_context()
                line = way.wrap(line, target.host, self._tls)
            elif not is_own:
                raise EgressFailed("insecure")
            http = HTTPConnection(target.host, target.port)
            http.default_port = _DEFAULT_PORTS[target.scheme]
            http.sock = line  # so it never connects by itself, and no proxy can be in between
            try:
                http.putrequest("POST", target.path, skip_accept_encoding=True)
                for name, value in (dict(headers) | {"Content-Length": str(len(body))}).items():
                    http.putheader(name, value)
                http.endheaders(body)
                answer = http.getresponse()  # its text may be endless, and nobody needs it
            except (OSError, HTTPException, ValueError) as error:
                is_late = way.is_over or isinstance(error, TimeoutError)
                raise EgressFailed("timeout" if is_late else "broken_answer") from error
            if way.is_over:  # what was cut off in the middle can pass for a whole head
                raise EgressFailed("timeout")
            return Answer(answer.status, answer.getheader("Retry-After"))
