"""Writes typed_methods.py from the catalog: ``python -m ebbtide.client.generate [--check]``."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from ebbtide.catalog.loader import EVENT_FIELDS, EventType, MetadataField, load_catalog

TARGET = Path(__file__).with_name("typed_methods.py")

_PYTHON_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "Number",
    "boolean": "bool",
    "list": "Sequence[Any]",
    "object": "Mapping[str, Any]",
}

#: Keys that get no parameter: the server fills the first two in, the others are fields of the
#: event itself (``source`` is not: an emitter has one source, so the name is free here).
OMITTED = frozenset({"friction_signal", "cost_table", *EVENT_FIELDS} - {"source"})

_HEAD = '''"""One method per event type, as ``python -m ebbtide.client.generate`` writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypedDict, Unpack
from uuid import UUID

Number: TypeAlias = Decimal | float | int
Id: TypeAlias = str | UUID


class EventFields(TypedDict, total=False):
    """The fields that every event may have, as keywords of every method here."""

    timestamp: datetime | str | None
    event_id: Id | None
    user_id: Id | None
    session_id: Id | None
    entity_type: str | None
    entity_id: Id | None
    severity: int | None
    latency_ms: int | None
    cost_usd: Number | None
    metadata: Mapping[str, Any] | None


class TypedMethods(ABC):
    """The event types of the catalog as methods; each returns what ``emit`` returns.

    Metadata that is None is left out. ``metadata`` takes further keys of your own.
    """

    @abstractmethod
    def emit(
        self, event_type: str, tenant_id: Id | None = None, **event: Unpack[EventFields]
    ) -> str | None:
        """Queue one event of any type."""

    def _emit_typed(
        self,
        event_type: str,
        tenant_id: Id | None,
        event: EventFields,
        typed: dict[str, Any],
    ) -> str | None:
        given = {key: value for key, value in typed.items() if value is not None}
        own = event.get("metadata")
        if own is None:
            event["metadata"] = given
        elif isinstance(own, Mapping):
            event["metadata"] = {**own, **given}
        return self.emit(event_type, tenant_id, **event)
'''


def generate() -> str:
    """The whole text of the module, in the order of the event types' names."""
    event_types = load_catalog().event_types
    return _HEAD + "".join(_method(event_types[name]) for name in sorted(event_types))


def _method(event_type: EventType) -> str:
    fields = [field for key, field in event_type.metadata.items() if key not in OMITTED]
    fields.sort(key=lambda field: not field.required)
    lines = [
        "",
        f"    def {event_type.name.lower()}(",
        "        self,",
        "        tenant_id: Id | None = None,",
    ]
    if fields:
        lines += ["        *,", *(f"        {_parameter(field)}," for field in fields)]
    lines += [
        "        **event: Unpack[EventFields],",
        "    ) -> str | None:",
        *_docstring(event_type, fields),
        "        return self._emit_typed(",
        f'            "{event_type.name}",',
        "            tenant_id,",
        "            event,",
    ]
    if fields:
        lines += [
            "            {",
            *(f'                "{field.name}": {field.name},' for field in fields),
            "            },",
        ]
    else:
        lines.append("            {},")
    lines.append("        )")
    return "\n".join(lines) + "\n"


def _parameter(field: MetadataField) -> str:
    kind = _PYTHON_TYPES[field.type]
    return f"{field.name}: {kind}" if field.required else f"{field.name}: {kind} | None = None"


def _docstring(event_type: EventType, fields: list[MetadataField]) -> list[str]:
    if not fields:
        return [f'        """{event_type.summary}"""']
    lines = [f'        """{event_type.summary}', "", "        Args:"]
    for field in fields:
        meaning = field.meaning
        if field.unit is not None:
            meaning = f"{meaning.rstrip('.')} (unit: {field.unit})."
        text = f"{field.name}: {meaning}".replace("\\", "\\\\")
        lines += textwrap.wrap(
            text,
            width=100,
            initial_indent=" " * 12,
            subsequent_indent=" " * 16,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return [*lines, '        """']


def main(arguments: list[str]) -> int:
    """Write the file, or with ``--check`` only say whether it is up to date."""
    text = generate()
    if arguments == ["--check"]:
        if TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"{TARGET.name} is not up to date; run python -m ebbtide.client.generate")
        return 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
