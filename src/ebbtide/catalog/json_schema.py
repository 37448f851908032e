"""Writes the JSON Schema of one event type from its definition."""

from __future__ import annotations

from typing import Any

from ebbtide.catalog.loader import EVENT_FIELDS, EventType, MetadataField
from ebbtide.domain.event import LATENCY_MS_MAX, SEVERITY_MAX, SEVERITY_MIN
from ebbtide.domain.ids import ID_MAX_CHARS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WORD_IN_SCHEMA = {"list": "array"}  # the other type words are those of JSON Schema
_REQUIRED = ("tenant_id", "timestamp", "event_type")
_TITLES = {
    "event_id": "The producer's own id, the same on each retry; made by the server when absent.",
    "timestamp": "When it happened, with an offset.",
    "tenant_id": "The customer.",
    "user_id": "The person.",
    "session_id": "The conversation or console session.",
    "event_type": "The kind of event.",
    "entity_type": "The kind of thing the event is about.",
    "entity_id": "The thing the event is about.",
    "severity": "How bad it is, 1 to 5.",
    "latency_ms": "How long it took, in ms.",
    "cost_usd": "What it cost, in USD.",
    "source": "The producer.",
    "metadata": "Facts of this event type; keys that are not listed are kept.",
}
_BOUNDS: dict[str, dict[str, Any]] = {
    "event_id": {"minLength": 1, "maxLength": ID_MAX_CHARS},
    "timestamp": {"format": "date-time"},
    "tenant_id": {"minLength": 1, "maxLength": ID_MAX_CHARS},
    "user_id": {"maxLength": ID_MAX_CHARS},
    "session_id": {"maxLength": ID_MAX_CHARS},
    "entity_type": {"maxLength": ID_MAX_CHARS},
    "entity_id": {"maxLength": ID_MAX_CHARS},
    "severity": {"minimum": SEVERITY_MIN, "maximum": SEVERITY_MAX},
    "latency_ms": {"minimum": 0, "maximum": LATENCY_MS_MAX},
    "cost_usd": {"minimum": 0},
    "source": {"maxLength": ID_MAX_CHARS},
}


def json_schema(event_type: EventType) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one event type.

    It describes the form that we ask producers for. Ingest is the authority: it reads some
    other spellings too, such as an amount sent as text, and knows rules that no schema can
    say, such as a timestamp that lies in the future.

    Returns:
        The schema as a JSON object. Null stands for "not known" and is allowed wherever
        a value is not required.
    """
    must_have_metadata = bool(event_type.required_metadata)
    required = (*_REQUIRED, "metadata") if must_have_metadata else _REQUIRED
    properties: dict[str, Any] = {}
    for name, type_word in EVENT_FIELDS.items():
        properties[name] = {
            "description": _TITLES[name],
            "type": _type(type_word, nullable=name not in required),
            **_BOUNDS.get(name, {}),
        }
    properties["event_type"]["const"] = event_type.name
    properties["metadata"] |= {
        "properties": {
            field.name: _metadata_property(field, event_type)
            for field in event_type.metadata.values()
        },
        "required": list(event_type.required_metadata),
        "additionalProperties": True,
    }
    return {
        "$schema": DIALECT,
        "$id": f"urn:ebbtide:event-type:{event_type.name}",
        "title": event_type.name,
        "description": f"{event_type.summary} {event_type.meaning}",
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        "examples": [event_type.example],
    }


def _type(type_word: str, *, nullable: bool) -> str | list[str]:
    word = _WORD_IN_SCHEMA.get(type_word, type_word)
    return [word, "null"] if nullable else word


def _metadata_property(field: MetadataField, event_type: EventType) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "description": field.meaning if field.unit is None else f"{field.meaning} ({field.unit})",
        "type": _type(field.type, nullable=not field.required),
    }
    if field.name == "friction_signal":
        schema["enum"] = [event_type.friction_signal, None]
    return schema
