"""Reads a request to a model as OpenAI's clients send it: what goes on to the provider, what stays.

A field that we do not know goes on as it is. One that would say where a call goes, with which key
or with which headers is refused wherever it stands: only the operator's file says that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ebbtide.domain.call import Message
from ebbtide.domain.chat import read_messages
from ebbtide.domain.errors import BadRequest, Unprocessable
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.egress.models import CHAT
from ebbtide.egress.upstreams import check_model

#: The one field of a request that is for us, and is not sent on.
OWN = "ebbtide"
_OWN_FIELDS = ("context", "session_id", "user_id", "upstream")
#: Names that would take over where a call goes, or what opens it.
_STEERING = re.compile(
    r"(.*_)?("
    r"api_?bases?|base_?urls?|api_?keys?|api_?versions?|api_?types?|headers?|organi[sz]ation|"
    r"endpoints?|endpoint_?urls?|server_?urls?|webhook_?urls?|provider_?urls?|prox(y|ies)|"
    r"user_?config|fallbacks?|model_?list|litellm_?params|custom_?llm_?provider|callbacks?|"
    r"http_?client|authorization|access_?tokens?|bearer_?tokens?|client_?secret|"
    r"access_?key_?id|secret_?access_?key|credentials?|ad_?token|"
    r"extra_?(body|query)|default_?query"
    r")"
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_DEPTH_MAX = 64
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a caller asks of a model.

    Attributes:
        fields: as they are sent on.
        messages: the text of what goes in.
        parameters: fields beside the model and what goes in.
        is_whole: whether ``messages`` are all that goes in.
        wants_usage: whether the caller asked to have tokens counted at the end of a stream.
        context: the facts that the answer is to rest on; None when none were given.
        upstream_id: which upstream the caller names; None leaves it to the model.
    """

    model: str
    fields: dict[str, Any]
    messages: tuple[Message, ...]
    parameters: dict[str, Any]
    is_whole: bool
    is_stream: bool
    wants_usage: bool
    context: dict[str, Any] | None
    user_id: str | None
    session_id: str | None
    upstream_id: str | None

    def body(self, *, counts_usage: bool) -> bytes:
        """What is sent to the provider.

        Args:
            counts_usage: whether to ask for the tokens at the end of a stream.
        """
        fields = self.fields
        if self.is_stream and counts_usage and not self.wants_usage:
            given = fields.get("stream_options")
            options = given if isinstance(given, dict) else {}
            fields = fields | {"stream_options": options | {"include_usage": True}}
        return _encode(fields)


def read_request(body: bytes, path: str) -> ModelRequest:
    """Read the body of a request.

    Args:
        path: which of the provider's paths it is for.

    Raises:
        BadRequest: it is no JSON object.
        Unprocessable: a field steers where the call goes, or cannot be used; it is named.
    """
    try:
        fields = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("the body is no JSON") from error
    if not isinstance(fields, dict):
        raise BadRequest("the body is a JSON object")
    own = fields.pop(OWN, None)
    refuse_steering(fields)
    context, user_id, session_id, upstream_id = _own(own)
    try:
        model = check_model(fields.get("model"))
    except ValueError as error:
        raise Unprocessable(str(error)) from error
    what = "messages" if path == CHAT else "input"
    if path == CHAT:
        messages, is_whole = _messages(fields.get("messages"))
    else:
        messages, is_whole = _inputs(fields.get("input"))
    is_stream = fields.get("stream") is True and path == CHAT
    options = fields.get("stream_options")
    beside = {"model", what, "stream", "stream_options", "user"}
    user = fields.get("user")
    return ModelRequest(
        model,
        fields,
        messages,
        {name: value for name, value in fields.items() if name not in beside},
        is_whole,
        is_stream,
        isinstance(options, dict) and options.get("include_usage") is True,
        context,
        user_id or (user[:ID_MAX_CHARS] if isinstance(user, str) and "\0" not in user else None),
        session_id,
        upstream_id,
    )


def refuse_steering(fields: Mapping[str, Any]) -> None:
    """Let only a request through that leaves to the operator where it goes.

    Raises:
        Unprocessable: a field at any depth names an address, a key, headers or another way; or
            it nests too deep to tell.
    """
    level: list[Any] = [fields]
    for _ in range(_DEPTH_MAX):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                for name in one:
                    if _STEERING.fullmatch(_WORDS.sub("_", name).lower().strip("_")):
                        raise Unprocessable(
                            f"{_shown(name)} is not taken from a request: the operator's file "
                            "says where models are called, and how"
                        )
                below += one.values()
            elif isinstance(one, list):
                below += one
        level = [one for one in below if isinstance(one, dict | list)]
        if not level:
            return
    raise Unprocessable(f"the body nests deeper than {_DEPTH_MAX} levels")


def _own(own: Any) -> tuple[dict[str, Any] | None, str | None, str | None, str | None]:
    if own is None:
        return None, None, None, None
    if not isinstance(own, dict) or set(own) - set(_OWN_FIELDS):
        raise Unprocessable(f"{OWN} is an object with any of {', '.join(_OWN_FIELDS)}")
    context = own.get("context")
    if context is not None and not isinstance(context, dict):
        raise Unprocessable(f"{OWN}.context is an object of facts by name")
    texts = []
    for name in ("user_id", "session_id", "upstream"):
        text = own.get(name)
        if text is not None and not is_id(text):
            raise Unprocessable(f"{OWN}.{name} is a text of 1 to {ID_MAX_CHARS} characters")
        texts.append(text)
    return context, *texts  # type: ignore[return-value]


def is_id(value: object) -> bool:
    """Whether a value can be the id of something."""
    return isinstance(value, str) and 0 < len(value) <= ID_MAX_CHARS and "\0" not in value


def _messages(given: Any) -> tuple[tuple[Message, ...], bool]:
    if not isinstance(given, list) or not given:
        raise Unprocessable("messages is a list of messages")
    try:
        return read_messages(given)
    except ValueError as error:
        raise Unprocessable(str(error)) from error


def _inputs(given: Any) -> tuple[tuple[Message, ...], bool]:
    """What is to be embedded: texts, or tokens, which nobody here can read."""
    if isinstance(given, str):
        return (Message("input", given),), True
    if not isinstance(given, list) or not given:
        raise Unprocessable("input is a text or a list of texts")
    texts = [one for one in given if isinstance(one, str)]
    return tuple(Message("input", one) for one in texts), len(texts) == len(given)


def _shown(name: str) -> str:
    return name[:40] if name.isprintable() else ascii(name)[:40]
