"""Judges pages of recorded calls by two versions of a policy; as a program, page after page.

A process of its own needs little: it starts fast, holds no store and no key, and a long run does
not slow down the server that asked for it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import IO

import msgspec

from ebbtide.catalog.policy import PolicyVersion, read_policy
from ebbtide.domain.call import Call
from ebbtide.domain.errors import JobFailed
from ebbtide.domain.policy import Result
from ebbtide.replay.judging import results_of

RESULTS = tuple(Result)
NEITHER = 255  # a version looks at neither side of the call
_LENGTH = struct.Struct(">I")
_read_call = msgspec.json.Decoder(Call).decode
_STOP_S = 5.0


def judge_page(texts: tuple[str, str], calls: Sequence[bytes]) -> bytes:
    """Two bytes for each call: the place in :data:`RESULTS` of what either version says.

    Args:
        texts: of both versions.
        calls: opened recordings.
    """
    versions = [_version(text) for text in texts]
    found = bytearray()
    for packed in calls:
        for result in results_of(_read_call(packed), versions):
            found.append(NEITHER if result is None else RESULTS.index(result))
    return bytes(found)


class Judge:
    """A process that judges; one page at a time."""

    def __init__(self, texts: tuple[str, str]) -> None:
        # Nothing of our environment: it holds secrets that this process has no use for.
        env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ebbtide.replay.judge_apart"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        self._texts = texts

    def judge(self, calls: Sequence[bytes]) -> bytes:
        """As :func:`judge_page`.

        Raises:
            JobFailed: the process is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _write(self._process.stdin, msgspec.msgpack.encode((self._texts, calls)))
        except OSError as error:
            raise JobFailed("a process that judges calls ended early") from error
        answer = _read(self._process.stdout)
        if answer is None:
            raise JobFailed("a process that judges calls ended early")
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()  # it keeps nothing
        self._process.communicate(timeout=_STOP_S)


def main() -> None:
    """Answer pages until there are no more."""
    decode = msgspec.msgpack.Decoder(tuple[tuple[str, str], list[bytes]]).decode
    while (page := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, judge_page(*decode(page)))


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    """One piece; None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None


@lru_cache(maxsize=8)
def _version(text: str) -> PolicyVersion:
    return read_policy(text)


if __name__ == "__main__":
    main()
