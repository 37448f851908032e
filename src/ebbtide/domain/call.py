"""One call to a model as it was made: what went in, what came out, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from ebbtide.domain.policy import Verdict


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``text`` holds the text parts only, in their order."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a model; None where it is not known, which is never the same as nothing.

    Attributes:
        call_id: as its events name it (``entity_id`` of LLM_CALL_MADE or LLM_CALL_FAILED).
        at: when it was sent, UTC.
        model: as the request named it.
        provider: id of the configured upstream, or the provider's name as a producer said it.
        messages: what went in, oldest first.
        context: facts that the answer was to rest on, by field; None when none were given.
        output: text of the answer; None when none came.
        parameters: what the request asked for beside model and messages (``temperature``,
            ``seed``, ``tools`` ...), as JSON values.
        tokens_in, tokens_out: as the provider counted them; tokens_in includes cached ones.
        cost_usd: what it cost, US dollars.
        latency_ms: from the request to the last byte of the answer.
        http_status: of the provider's answer; None when none came.
        error_type: class of the error; None when it went well.
        finish_reason: as the provider said it, such as ``stop`` or ``length``.
        is_whole: whether ``messages`` hold all that went in; not so where there was more than
            text, such as an image or what a tool had answered.
        is_redacted: whether personal data were taken out of it since, on either side.
    """

    call_id: str
    tenant_id: str
    at: datetime
    model: str | None = None
    provider: str | None = None
    messages: tuple[Message, ...] = ()
    context: Mapping[str, Any] | None = None
    output: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    latency_ms: int | None = None
    http_status: int | None = None
    error_type: str | None = None
    finish_reason: str | None = None
    is_whole: bool = True
    is_redacted: bool = False

    @property
    def input_text(self) -> str:
        """All that went in as one text, a message a paragraph."""
        return "\n\n".join(message.text for message in self.messages)


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """A call with what is known around it, by whatever way it came to us.

    Attributes:
        user_id, session_id: who called, and in which conversation.
        source: which way it came: ``proxy``, ``calls``, ``litellm`` or ``otlp``.
        tokens_cache_read, tokens_cache_write: parts of the call's ``tokens_in``.
        retry_count: attempts before this one.
        verdicts: what policies of the producer said of it.
        metadata: more that the producer said, JSON values.
    """

    call: Call
    source: str
    user_id: str | None = None
    session_id: str | None = None
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    retry_count: int | None = None
    verdicts: tuple[Verdict, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
