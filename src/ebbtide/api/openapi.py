"""The OpenAPI text of routes that the framework does not describe by itself."""

from __future__ import annotations

from typing import Any

_RESULT = {
    "type": "object",
    "properties": {
        "event_id": {"type": ["string", "null"]},
        "result": {"enum": ["stored", "duplicate", "conflict", "quarantined", "refused"]},
        "reason": {"type": ["string", "null"]},
    },
}
_COUNTS = {
    word: {"type": "integer"}
    for word in ("stored", "duplicate", "conflict", "quarantined", "refused")
}
_ANSWER = {
    "description": "Every record is settled and on disk; one result each, in order.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "results": {"type": "array", "items": _RESULT},
                    **_COUNTS,
                },
            },
            "example": {
                "results": [{"event_id": "exp-7", "result": "stored", "reason": None}],
                "stored": 1,
                "duplicate": 0,
                "conflict": 0,
                "quarantined": 0,
                "refused": 0,
            },
        }
    },
}
_PROBLEM = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}
_REFUSALS = {
    "400": {"description": "The body is no JSON, or of another shape.", **_PROBLEM},
    "401": {"description": "No valid API key.", **_PROBLEM},
    "403": {"description": "The key lacks the scope.", **_PROBLEM},
    "408": {"description": "The body arrived too slowly.", **_PROBLEM},
    "413": {"description": "More than 5 MB after decompression.", **_PROBLEM},
    "415": {"description": "Another content type or encoding.", **_PROBLEM},
    "503": {"description": "Nothing was acknowledged; see Retry-After.", **_PROBLEM},
}
_EVENT_EXAMPLE = {
    "event_id": "exp-7",
    "timestamp": "2025-12-20T08:00:00Z",
    "tenant_id": "acme-ai",
    "user_id": "u-1",
    "event_type": "EXPORT_GENERATED",
    "metadata": {"format": "pdf"},
}


def _ingest(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "tags": ["ingest"],
            "requestBody": {"required": True, "content": content},
            "responses": {"200": _ANSWER, **_REFUSALS},
        }
    }


def _json(example: object) -> dict[str, Any]:
    return {"application/json": {"schema": {}, "example": example}}


def _probe(summary: str, *, is_open: bool = True) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": ["operations"],
        "responses": {
            "200": {"description": "Yes."},
            "503": {"description": "No.", **_PROBLEM},
        },
    }
    if is_open:
        operation["security"] = []
    return {"get": operation}


_TRACK = {
    "type": "track",
    "event": "EXPORT_GENERATED",
    "userId": "u-1",
    "messageId": "exp-7",
    "timestamp": "2025-12-20T08:00:00Z",
    "context": {"groupId": "acme-ai"},
    "properties": {"format": "pdf"},
}
_CLOUDEVENT = {
    "specversion": "1.0",
    "id": "exp-7",
    "source": "/exports",
    "type": "EXPORT_GENERATED",
    "subject": "acme-ai",
    "time": "2025-12-20T08:00:00Z",
    "data": {"format": "pdf"},
}

_BULK = _ingest(
    "Many events as an Arrow stream (admin)",
    {"application/vnd.apache.arrow.stream": {"schema": {}}},
)["post"] | {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": name == "key",
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in (
            ("key", "names the content of the file"),
            ("door", "the way the rows came in; import by default"),
            ("source", "of rows that name none"),
            ("file", "for people who look into quarantine"),
            ("mapping", "the mapping that made events of the rows"),
            ("raw_later", "1: rows that must wait but bring no raw are asked for, not kept"),
            ("request_id", "names this request"),
            ("after", "the request_id of the one whose rows come before these"),
        )
    ],
    "responses": {
        "200": {
            "description": "Every row is on disk, but those that are wanted again.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            **_COUNTS,
                            "reasons": {
                                "type": "object",
                                "additionalProperties": {"type": "integer"},
                            },
                            "examples": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "properties": {
                                        "line": {"type": "integer"},
                                        "reason": {"type": "string"},
                                    },
                                },
                            },
                            "raw_wanted": {
                                "type": "array",
                                "items": {"type": "integer"},
                                "description": "Lines of rows to send again with their raw.",
                            },
                        },
                    }
                }
            },
        },
        **_REFUSALS,
        "413": {"description": "More than 64 MB.", **_PROBLEM},
    },
}

_STRIPE = {
    "summary": "What Stripe says of subscriptions and payments",
    "tags": ["ingest"],
    "security": [],
    "parameters": [
        {
            "name": "Stripe-Signature",
            "in": "header",
            "required": True,
            "description": "t=<seconds>,v1=<HMAC-SHA256 of the time, a dot and the raw body>; "
            "it stands in for a key.",
            "schema": {"type": "string"},
        }
    ],
    # Without an example: none would be signed.
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
    "responses": {
        "200": _ANSWER,
        "400": {"description": "No JSON, or the signature does not hold.", **_PROBLEM},
        "404": {"description": "No secret is set: the endpoint is closed.", **_PROBLEM},
        "408": _REFUSALS["408"],
        "413": {"description": "More than 1 MB.", **_PROBLEM},
        "415": _REFUSALS["415"],
        "503": _REFUSALS["503"],
    },
}

_CALLER_HEADERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {"type": "string"},
    }
    for name, text in (
        ("X-Ebbtide-Tenant", "the customer it is for; needed with a key that is bound to none"),
        ("X-Ebbtide-User", "who of the customer asks; else the field user"),
        ("X-Ebbtide-Session", "the conversation it belongs to"),
        ("X-Ebbtide-Upstream", "id of the upstream; else the model says it"),
    )
]


def _shown(example: object) -> dict[str, Any]:
    """A body whose answer is not that of events."""
    return {"application/json": {"schema": {}, "examples": {"short": {"value": example}}}}


def _model_call(summary: str, example: dict[str, Any], *, has_stream: bool) -> dict[str, Any]:
    kinds: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if has_stream:
        kinds["text/event-stream"] = {"schema": {"type": "string"}}
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": ["guard"],
        "parameters": _CALLER_HEADERS,
        "requestBody": {"required": True, "content": _shown(example)},
        "responses": {
            "200": {"description": "As the provider answered.", "content": kinds},
            "400": {"description": "No JSON, or a policy blocked it: policy-blocked.", **_PROBLEM},
            "401": _REFUSALS["401"],
            "403": _REFUSALS["403"],
            "408": _REFUSALS["408"],
            "413": {"description": "More than 16 MB.", **_PROBLEM},
            "415": _REFUSALS["415"],
            "422": {"description": "A field steers where the call goes, or is amiss.", **_PROBLEM},
            "423": {"description": "The kill switch stopped this customer or key.", **_PROBLEM},
            "429": {"description": "As the provider said."},
            "502": {"description": "The provider did not answer as it should.", **_PROBLEM},
            "503": {"description": "Too many calls are under way; see Retry-After.", **_PROBLEM},
            "504": {"description": "The provider did not answer in time.", **_PROBLEM},
        },
    }
    return {"post": operation}


_CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
_CALL = {
    "call_id": "call_51b7e0",
    "tenant_id": "acme-ai",
    "at": "2025-12-20T08:00:00Z",
    "model": "gpt-4o-mini",
    "provider": "openai",
    "messages": [{"role": "user", "content": "Is the invoice paid?"}],
    "context": {"paid_at": None},
    "output": "Yes, it was paid on Monday.",
    "tokens_in": 120,
    "tokens_out": 9,
    "latency_ms": 640,
    "http_status": 200,
}
_LITELLM = {
    "id": "chatcmpl-7",
    "status": "success",
    "model": "gpt-4o-mini",
    "response_cost": 0.0023,
    "prompt_tokens": 8934,
    "completion_tokens": 1600,
    "startTime": 1766217600.0,
    "endTime": 1766217600.8,
    "end_user": "acme-ai",
}
_TRACES: dict[str, Any] = {
    "summary": "Spans of model calls: OTLP over HTTP, protobuf or JSON",
    "tags": ["ingest"],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            **_shown({"resourceSpans": []}),
        },
    },
    "responses": {
        "200": {
            "description": "Stored, but for what partialSuccess counts and explains.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "partialSuccess": {
                                "type": "object",
                                "properties": {
                                    "rejectedSpans": {"type": "string"},
                                    "errorMessage": {"type": "string"},
                                },
                            }
                        },
                    },
                    "example": {},
                },
                "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **_REFUSALS,
    },
}

INGEST_PATHS: dict[str, dict[str, Any]] = {
    "/v1/events": _ingest("Store one event, a list, or {events: [...]}", _json(_EVENT_EXAMPLE)),
    "/v1/cloudevents": _ingest(
        "CloudEvents 1.0: structured, batch or binary",
        {"application/cloudevents+json": {"schema": {}, "example": _CLOUDEVENT}},
    ),
    **{
        f"/v1/{call}": _ingest(f"Segment {call}", _json(_TRACK | {"type": call}))
        for call in ("track", "identify", "group", "page", "screen", "alias")
    },
    "/v1/batch": _ingest("Segment batch", _json({"batch": [_TRACK]})),
    "/v1/bulk": {"post": _BULK},
    "/v1/webhooks/stripe": {"post": _STRIPE},
    "/v1/chat/completions": _model_call(
        "A chat completion through the guard", _CHAT, has_stream=True
    ),
    "/v1/embeddings": _model_call(
        "Embeddings through the guard",
        {"model": "text-embedding-3-small", "input": "Hello"},
        has_stream=False,
    ),
    "/v1/calls": _ingest("Calls to models that were made elsewhere", _json(_CALL)),
    "/v1/ingest/litellm": _ingest("What LiteLLM logs: an object, a list or lines", _json(_LITELLM)),
    "/v1/otlp/v1/traces": {"post": _TRACES},
    "/health/live": _probe("Is the process alive?"),
    "/health/ready": _probe("Can both stores answer?"),
    "/metrics": _probe("Figures for Prometheus", is_open=False),
}


_SIMULATED = {
    "type": "boolean",
    "const": True,
    "description": "Only where the sample company lives: nothing in this answer is real.",
}


def say_simulated(document: dict[str, Any]) -> None:
    """Tell of the field that every JSON object of a sample company begins with."""
    schemas = document["components"].get("schemas", {})
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation.get("responses", {}).items():
                said = answer.get("content", {}).get("application/json", {}).get("schema", {})
                name = said.get("$ref", "").rpartition("/")[2]
                if status.startswith("2") and "properties" in schemas.get(name, {}):
                    schemas[name]["properties"].setdefault("simulated", _SIMULATED)
