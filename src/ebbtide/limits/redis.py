"""Probe of a Redis: memory and clients, by ``INFO`` over its own wire protocol.

Two commands are all that is asked, so this speaks the protocol itself; see docs/decisions/0008.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from ebbtide.limits.probe import Reading, Unavailable

PORT = 6379
TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 64 * 1024  # a whole INFO has about 6 kB


class _Refused(Exception):
    """The peer answered, but not with what was asked for."""


class RedisProbe:
    """Connects, asks, hangs up."""

    name = "redis"

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        """A probe.

        Args:
            url: such as ``redis://user:password@host:6379``, or ``rediss://`` for TLS.

        Raises:
            ValueError: it is none; the message does not repeat it.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("it must start with redis:// or rediss:// and name a host")
        self._address = (parts.hostname, parts.port or PORT)
        self._parts = parts
        self._timeout_s = timeout_s

    def read(self) -> list[Reading] | Unavailable:
        """Ask the server; without ``maxmemory`` its memory has no limit of its own."""
        try:
            found = self._info()
            memory, clients = int(found["used_memory"]), int(found["connected_clients"])
            memory_max = int(found.get("maxmemory", "0"))
            clients_max = int(found.get("maxclients", "0"))
        except TimeoutError:
            return Unavailable(f"no answer within {self._timeout_s:g} s")
        except OSError as error:
            return Unavailable(error.strerror or str(error) or type(error).__name__)
        except _Refused as error:
            return Unavailable(str(error))
        except (KeyError, ValueError):
            return Unavailable("its answer has no figures")
        return [
            Reading("redis_memory", memory, memory_max or None, "bytes"),
            # Our own connection is one of them.
            Reading("redis_clients", max(0, clients - 1), clients_max or None, "connections"),
        ]

    def _info(self) -> Mapping[str, str]:
        deadline = monotonic() + self._timeout_s
        with socket.create_connection(self._address, self._timeout_s) as plain:
            connection = plain
            if self._parts.scheme == "rediss":
                context = ssl.create_default_context()
                connection = context.wrap_socket(plain, server_hostname=self._address[0])
            with connection, connection.makefile("rb") as answers:
                login = _login(self._parts)
                if login:
                    connection.sendall(_command("AUTH", *login))
                    _answer(answers, deadline)
                found: dict[str, str] = {}
                for section in ("memory", "clients"):
                    connection.sendall(_command("INFO", section))
                    found.update(_fields(_answer(answers, deadline)))
                return found


def _login(parts: SplitResult) -> list[str]:
    """User and password, the password alone, or nothing."""
    return [unquote(word) for word in (parts.username, parts.password) if word]


def _command(*words: str) -> bytes:
    """A command as an array of texts with their lengths; nothing in them can end it early."""
    texts = [word.encode() for word in words]
    sized = b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)
    return b"*%d\r\n%s" % (len(texts), sized)


def _answer(answers: BinaryIO, deadline: float) -> str:
    line = answers.readline(ANSWER_MAX_BYTES)
    if not line.endswith(b"\r\n"):
        raise _Refused("it hung up")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        # The first word is a code such as NOAUTH; what follows may repeat what was sent.
        raise _Refused(f"it refused: {rest.split(b' ')[0].decode('ascii', 'replace')}")
    if kind == b"+":
        return rest.decode("ascii", "replace")
    if kind != b"$" or not rest.isdigit() or int(rest) > ANSWER_MAX_BYTES:
        raise _Refused("it does not speak as Redis does")
    size = int(rest) + 2
    text = b""
    while len(text) < size:  # each read is bounded by the socket's timeout, all by the deadline
        if monotonic() > deadline:
            raise TimeoutError
        part = answers.read1(size - len(text))  # type: ignore[attr-defined]  # a buffered reader
        if not part:
            raise _Refused("it hung up")
        text += part
    return text.decode("utf-8", "replace")


def _fields(text: str) -> Mapping[str, str]:
    """``name:value`` by line."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
