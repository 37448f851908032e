"""Reads what a model answered: its text, its tokens, and why it ended; whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ebbtide.domain.chat import content_text

EVENT_MAX_BYTES = 4 * 1024 * 1024  # of one piece of a stream
_DONE = b"[DONE]"
_COUNT_MAX = 2**31 - 1
_decode = msgspec.json.Decoder().decode


class AnswerBroken(Exception):
    """An answer is not what its provider's interface promises."""


class AnswerText:
    """What is known of an answer so far.

    Attributes:
        finish_reason: as the provider said it; None when it said none.
        is_complete: whether it came to its end.
        error_type: what the provider said went wrong within a stream; None when nothing.
    """

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.tokens_cache_read: int | None = None
        self.is_complete = False
        self.error_type: str | None = None
        self._parts: dict[int, list[str]] = {}
        self._tools: dict[tuple[int, int], tuple[list[str], list[str]]] = {}

    @property
    def text(self) -> str | None:
        """All that the model said, choice by choice, its calls of tools too; None for nothing."""
        choices: dict[int, list[str]] = {}
        for index, parts in self._parts.items():
            choices.setdefault(index, []).append("".join(parts))
        for (index, _), (name, arguments) in sorted(self._tools.items()):
            choices.setdefault(index, []).append(f"{''.join(name)}({''.join(arguments)})")
        if not choices:
            return None
        said = ("\n".join(one for one in choices[at] if one) for at in sorted(choices))
        return "\n\n".join(said)

    def read_whole(self, body: bytes) -> None:
        """Take in the body of an answer that is no stream.

        Raises:
            AnswerBroken: it is no JSON object.
        """
        answer = _json(body)
        self._usage(answer.get("usage"))
        for one in _objects(answer.get("choices")):
            index = _index(one, "index")
            message = one.get("message")
            if isinstance(message, dict):
                self._say(index, message)
                for at, call in enumerate(_objects(message.get("tool_calls"))):
                    self._use_tool(index, at, call)
            self._finish(one)
        self.is_complete = True

    def read_event(self, data: bytes) -> bool:
        """Take in one piece of a stream.

        Returns:
            Whether it says nothing but how many tokens were used.

        Raises:
            AnswerBroken: it is no JSON object.
        """
        if data == _DONE:
            self.is_complete = True
            return False
        chunk = _json(data)
        self._usage(chunk.get("usage"))
        if chunk.get("error") is not None:
            self.error_type = "provider_error"
        choices = chunk.get("choices")
        for one in _objects(choices):
            delta = one.get("delta")
            if isinstance(delta, dict):
                index = _index(one, "index")
                self._say(index, delta)
                for call in _objects(delta.get("tool_calls")):
                    self._use_tool(index, _index(call, "index"), call)
            self._finish(one)
        return choices == [] and isinstance(chunk.get("usage"), dict)

    def _say(self, index: int, message: Mapping[str, Any]) -> None:
        parts = self._parts.setdefault(index, [])
        for name in ("reasoning_content", "content", "refusal"):
            text, _ = content_text(message.get(name))
            if text:
                parts.append(text)

    def _use_tool(self, index: int, at: int, call: Mapping[str, Any]) -> None:
        """What is asked of a tool; its name and its arguments may come in pieces."""
        asked = call.get("function")
        if isinstance(asked, dict):
            pieces = self._tools.setdefault((index, at), ([], []))
            for piece, name in zip(pieces, ("name", "arguments"), strict=True):
                if isinstance(asked.get(name), str):
                    piece.append(asked[name])

    def _finish(self, choice: Mapping[str, Any]) -> None:
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.finish_reason = reason[:100]

    def _usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        self.tokens_in = _count(usage.get("prompt_tokens"))
        self.tokens_out = _count(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            self.tokens_cache_read = _count(details.get("cached_tokens"))


class EventSplitter:
    """Splits a stream of server-sent events into its events, byte for byte."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """The events that are whole by now: their bytes, and their data when they have any.

        Raises:
            AnswerBroken: one is too long.
        """
        rest = self._rest + chunk
        marks = [mark for mark in (b"\n\n", b"\r\n\r\n") if mark in rest]
        start = 0
        while (found := _event_end(rest, start, marks)) is not None:
            yield rest[start:found], _data_of(rest[start:found])
            start = found
        self._rest = rest[start:]
        if len(self._rest) > EVENT_MAX_BYTES:
            raise AnswerBroken("a piece of the stream is too long")

    def end(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What is left when the stream is over."""
        if self._rest.strip():
            yield self._rest + b"\n\n", _data_of(self._rest)
        self._rest = b""


def _event_end(text: bytes, start: int, marks: list[bytes]) -> int | None:
    found = ((text.find(mark, start), len(mark)) for mark in marks)
    return min((at + length for at, length in found if at >= 0), default=None)


def _data_of(event: bytes) -> bytes | None:
    lines = [
        line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")
    ]
    return b"\n".join(lines).strip() if lines else None


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerBroken("the answer is no JSON") from error
    if not isinstance(value, dict):
        raise AnswerBroken("the answer is no JSON object")
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _index(value: Mapping[str, Any], name: str) -> int:
    index = value.get(name)
    return index if type(index) is int and 0 <= index < 1000 else 0


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _COUNT_MAX else None
