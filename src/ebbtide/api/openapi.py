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
