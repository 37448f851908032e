"""Reads the text of chat messages as the interfaces of model providers write them."""

from __future__ import annotations

from typing import Any

from ebbtide.domain.call import Message

_MESSAGE_KEYS = frozenset({"role", "content"})


def read_messages(given: list[Any]) -> tuple[tuple[Message, ...], bool]:
    """The text of messages, and whether that is all there is to them.

    Args:
        given: messages as JSON data, ``{"role": ..., "content": ...}`` each, oldest first.

    Raises:
        ValueError: one is no message; what it is instead is not repeated.
    """
    found = []
    is_whole = True
    for one in given:
        if not isinstance(one, dict) or not isinstance(one.get("role"), str):
            raise ValueError("each message is an object with a role")
        text, is_text = content_text(one.get("content"))
        is_whole &= is_text and not one.keys() - _MESSAGE_KEYS
        said = [text, *tool_texts(one.get("tool_calls"))]
        found.append(Message(one["role"], "\n".join(part for part in said if part)))
    return tuple(found), is_whole


def content_text(content: Any) -> tuple[str, bool]:
    """The text of a message's content, and whether it is nothing but one text."""
    if isinstance(content, str):
        return content, True
    if isinstance(content, list):
        parts = [one for one in content if isinstance(one, dict)]
        texts = [one["text"] for one in parts if isinstance(one.get("text"), str)]
        return "\n".join(texts), len(content) == len(texts) == 1
    return "", False


def tool_texts(calls: Any) -> list[str]:
    """What a message asks tools to do, as texts: a policy must see these too."""
    found = []
    for one in calls if isinstance(calls, list) else ():
        asked = one.get("function") if isinstance(one, dict) else None
        if isinstance(asked, dict):
            found.append(f"{asked.get('name') or ''}({asked.get('arguments') or ''})")
    return found


def choices_text(answer: dict[str, Any]) -> str | None:
    """All that a chat completion says, choice by choice; None when it has no message."""
    said = []
    choices = answer.get("choices")
    for one in choices if isinstance(choices, list) else ():
        message = one.get("message") if isinstance(one, dict) else None
        if isinstance(message, dict):
            text, _ = content_text(message.get("content"))
            parts = [text, *tool_texts(message.get("tool_calls"))]
            said.append("\n".join(part for part in parts if part))
    return "\n\n".join(said) if said else None
