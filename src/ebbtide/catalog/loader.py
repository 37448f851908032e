"""Reads the event type definitions, one TOML file each, and refuses a bad one with file and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ebbtide.catalog.metric import MetricDefinition, load_metrics
from ebbtide.catalog.number import Numbers, load_numbers
from ebbtide.catalog.playbook import Playbook, load_playbooks
from ebbtide.catalog.signal import Signals, load_signals
from ebbtide.domain.errors import CatalogError
from ebbtide.domain.event import PROMOTED_METADATA, SEVERITY_MAX, SEVERITY_MIN
from ebbtide.domain.time import parse_instant

SIGNALS = ("intent", "trust", "value", "friction", "cost", "system")
STATUSES = ("experimental", "stable", "deprecated")
METADATA_TYPES = ("string", "integer", "number", "boolean", "list", "object")

#: The fields of an event as it comes in, in the order we show them, with the type of each.
EVENT_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "event_id": "string",
        "timestamp": "string",
        "tenant_id": "string",
        "user_id": "string",
        "session_id": "string",
        "event_type": "string",
        "entity_type": "string",
        "entity_id": "string",
        "severity": "integer",
        "latency_ms": "integer",
        "cost_usd": "number",
        "source": "string",
        "metadata": "object",
    }
)
#: An example is a whole event, so it names its id too, although ingest would make one.
EXAMPLE_REQUIRED = ("event_id", "timestamp", "tenant_id", "event_type")

_HEADER_REQUIRED = ("name", "summary", "meaning", "emitted_by", "status", "source", "signal")
_HEADER_KEYS = {*_HEADER_REQUIRED, "friction_signal", "metadata", "example"}
_FIELD_KEYS = {"type", "unit", "required", "meaning"}
_NAME_FORM = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_WORD_OF_COLUMN = {str: "string", int: "integer"}


@dataclass(frozen=True, slots=True)
class MetadataField:
    """One metadata key of an event type.

    ``type`` is a word of :data:`METADATA_TYPES`; ``unit`` is None when the value has none.
    """

    name: str
    type: str
    unit: str | None
    required: bool
    meaning: str

    def accepts(self, value: object) -> bool:
        """Whether a value, as decoded from JSON, may stand under this key.

        None says "not known": it is accepted for an optional key and refused for a required one.
        """
        if value is None:
            return not self.required
        return has_type(value, self.type)


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event: what it means, who sends it, and what its metadata hold."""

    name: str
    summary: str
    meaning: str
    emitted_by: str
    status: str
    source: str
    signal: str
    friction_signal: str | None
    metadata: Mapping[str, MetadataField]
    example_json: str

    @property
    def example(self) -> dict[str, Any]:
        """One realistic event of this type, a fresh copy each time."""
        example: dict[str, Any] = json.loads(self.example_json)
        return example

    @property
    def required_metadata(self) -> tuple[str, ...]:
        """The metadata keys that an event of this type must carry; often empty."""
        return tuple(field.name for field in self.metadata.values() if field.required)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions that were read, by name."""

    event_types: Mapping[str, EventType]
    signals: Signals
    playbooks: Mapping[str, Playbook]
    metrics: Mapping[str, MetricDefinition]

    @property
    def numbers(self) -> Numbers:
        """Where the numbers of answers come from; read when somebody asks for the first time."""
        return _packaged_numbers()


def has_type(value: object, type_word: str) -> bool:
    """Whether a value decoded from JSON has the type that a definition names.

    A whole number written with a fraction (``3.0``) is an integer, as in JSON Schema;
    true and false are no numbers; NaN and the infinities are no JSON.
    """
    match type_word:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            if isinstance(value, float):
                return value.is_integer()
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            if isinstance(value, float):
                return value - value == 0.0  # false for NaN and the infinities
            return isinstance(value, int) and not isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    raise ValueError(f"unknown type word {type_word!r}")


def load_catalog(extra_dir: Path | None = None) -> Catalog:
    """Read every definition that comes with Ebbtide and, when given, those of one more folder.

    Args:
        extra_dir: a folder with ``*.toml`` files of one's own event types; other files are
            passed over. It is read anew on each call, the packaged folder only once.

    Returns:
        The catalog, event types in alphabetical order.

    Raises:
        CatalogError: a definition is wrong, or its name is taken; names the file and the key.
    """
    event_types = dict(_packaged_event_types())
    if extra_dir is not None:
        if not extra_dir.is_dir():
            raise CatalogError(f"{extra_dir}: no such folder of event types")
        for event_type in _read_folder(extra_dir):
            if event_type.name in event_types:
                raise CatalogError(
                    f"{extra_dir.name}/{event_type.name.lower()}.toml: name: "
                    f"{event_type.name} is already defined"
                )
            event_types[event_type.name] = event_type
    return Catalog(
        event_types=MappingProxyType(dict(sorted(event_types.items()))),
        signals=_packaged_signals(),
        playbooks=_packaged_playbooks(),
        metrics=_packaged_metrics(),
    )


def read_event_type(text: str, file_name: str) -> EventType:
    """Read one definition.

    Args:
        text: the TOML text of the file.
        file_name: such as ``replay_aborted.toml``; must be the name in lower case.

    Raises:
        CatalogError: the definition is wrong; the message names the file and the key.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{file_name}: not TOML: {error}") from error
    return _Definition(file_name, table).event_type()


@cache
def _packaged_event_types() -> Mapping[str, EventType]:
    folder = files("ebbtide.catalog").joinpath("event_types")
    return MappingProxyType({event_type.name: event_type for event_type in _read_folder(folder)})


@cache
def _packaged_signals() -> Signals:
    return load_signals(_packaged_event_types())


@cache
def _packaged_playbooks() -> Mapping[str, Playbook]:
    return load_playbooks(_packaged_event_types())


@cache
def _packaged_numbers() -> Numbers:
    return load_numbers(_packaged_event_types().keys(), _packaged_metrics())


@cache
def _packaged_metrics() -> Mapping[str, MetricDefinition]:
    return load_metrics(_packaged_event_types().keys())


def _read_folder(folder: Traversable) -> Iterator[EventType]:
    # One folder cannot hold a name twice: the file is named after it.
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml"):
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CatalogError(f"{file.name}: not UTF-8: {error}") from error
        yield read_event_type(text, file.name)


class _Definition:
    """One parsed file on its way to an event type; each check names the file and the key."""

    def __init__(self, file_name: str, table: dict[str, Any]) -> None:
        self.file_name = file_name
        self.table = table

    def error(self, key: str, problem: str) -> CatalogError:
        return CatalogError(f"{self.file_name}: {key}: {problem}")

    def event_type(self) -> EventType:
        for key in self.table:
            if key not in _HEADER_KEYS:
                raise self.error(key, "unknown key")
        header = {key: self.text(self.table, key, key) for key in _HEADER_REQUIRED}
        self.check_name(header["name"])
        self.check_word("status", header["status"], STATUSES)
        self.check_word("signal", header["signal"], SIGNALS)
        friction_signal = self.friction_signal(header["signal"])
        metadata = self.metadata(friction_signal)
        return EventType(
            **header,
            friction_signal=friction_signal,
            metadata=MappingProxyType(metadata),
            example_json=self.example_json(header["name"], metadata, friction_signal),
        )

    def text(self, table: dict[str, Any], key: str, path: str) -> str:
        value = table.get(key)
        if value is None:
            raise self.error(path, "missing")
        if not isinstance(value, str) or not value.strip():
            raise self.error(path, "must be a text that is not empty")
        return value

    def check_word(self, path: str, word: str, allowed: tuple[str, ...]) -> None:
        if word not in allowed:
            raise self.error(path, f"{word!r} is not one of {', '.join(allowed)}")

    def check_name(self, name: str) -> None:
        if not _NAME_FORM.fullmatch(name):
            raise self.error("name", f"{name!r} is not in UPPER_SNAKE form")
        if self.file_name != f"{name.lower()}.toml":
            raise self.error("name", f"{name} belongs into a file named {name.lower()}.toml")

    def friction_signal(self, signal: str) -> str | None:
        # Friction counts go by type, the kind by this key: a type has both or neither.
        if signal == "friction":
            return self.text(self.table, "friction_signal", "friction_signal")
        if "friction_signal" in self.table:
            raise self.error(
                "friction_signal",
                f'stands only beside signal "friction", not {signal!r}',
            )
        return None

    def metadata(self, friction_signal: str | None) -> dict[str, MetadataField]:
        fields = self.table.get("metadata", {})
        if not isinstance(fields, dict):
            raise self.error("metadata", "must be a table of fields")
        metadata = {name: self.field(name, spec) for name, spec in fields.items()}
        declared = metadata.get("friction_signal")
        if friction_signal is None and declared is not None:
            raise self.error("metadata.friction_signal", "this type has no friction_signal")
        if friction_signal is not None and (declared is None or declared.type != "string"):
            raise self.error("metadata.friction_signal", "a friction type lists it, as a string")
        return metadata

    def field(self, name: str, spec: object) -> MetadataField:
        path = f"metadata.{name}"
        if not isinstance(spec, dict):
            raise self.error(path, "must be a table")
        for key in spec:
            if key not in _FIELD_KEYS:
                raise self.error(f"{path}.{key}", "unknown key")
        type_word = self.text(spec, "type", f"{path}.type")
        self.check_word(f"{path}.type", type_word, METADATA_TYPES)
        promoted = PROMOTED_METADATA.get(name)
        if promoted is not None and type_word != _WORD_OF_COLUMN[promoted]:
            raise self.error(
                f"{path}.type",
                f"{name} has a column of its own and is {_WORD_OF_COLUMN[promoted]} in every type",
            )
        has_unit = "unit" in spec
        if type_word in ("integer", "number") and not has_unit:
            raise self.error(f"{path}.unit", "missing; a number without its unit says nothing")
        if not isinstance(spec.get("required"), bool):
            raise self.error(f"{path}.required", "must be true or false")
        return MetadataField(
            name=name,
            type=type_word,
            unit=self.text(spec, "unit", f"{path}.unit") if has_unit else None,
            required=spec["required"],
            meaning=self.text(spec, "meaning", f"{path}.meaning"),
        )

    def example_json(
        self, name: str, metadata: dict[str, MetadataField], friction_signal: str | None
    ) -> str:
        example = self.table.get("example")
        if not isinstance(example, dict):
            raise self.error("example", "missing; it must be a table with one whole event")
        for key, value in example.items():
            if key not in EVENT_FIELDS:
                raise self.error(f"example.{key}", "no field of an event")
            if not has_type(value, EVENT_FIELDS[key]):
                raise self.error(f"example.{key}", f"must be of type {EVENT_FIELDS[key]}")
        for key in EXAMPLE_REQUIRED:
            if not example.get(key):
                raise self.error(f"example.{key}", "missing")
        if example["event_type"] != name:
            raise self.error("example.event_type", f"must be {name}")
        try:
            parse_instant(example["timestamp"])
        except ValueError as error:
            raise self.error("example.timestamp", str(error)) from error
        if not SEVERITY_MIN <= example.get("severity", SEVERITY_MIN) <= SEVERITY_MAX:
            raise self.error("example.severity", f"must be {SEVERITY_MIN} to {SEVERITY_MAX}")
        for key in ("latency_ms", "cost_usd"):
            if example.get(key, 0) < 0:
                raise self.error(f"example.{key}", "must not be negative")
        self.check_example_metadata(example.get("metadata", {}), metadata, friction_signal)
        ordered = {key: example[key] for key in EVENT_FIELDS if key in example}
        try:
            return json.dumps(ordered, ensure_ascii=False, allow_nan=False)
        except (
            TypeError,
            ValueError,
        ) as error:  # a TOML date inside a list or an object
            raise self.error("example", f"cannot be written as JSON: {error}") from error

    def check_example_metadata(
        self,
        values: dict[str, Any],
        metadata: dict[str, MetadataField],
        friction_signal: str | None,
    ) -> None:
        for key, value in values.items():
            path = f"example.metadata.{key}"
            if key not in metadata:
                raise self.error(path, "not listed under metadata")
            if not metadata[key].accepts(value):
                raise self.error(path, f"{value!r} does not fit the field's definition")
        for field in metadata.values():
            if field.required and field.name not in values:
                raise self.error(f"example.metadata.{field.name}", "missing, but required")
        if friction_signal is not None and values.get("friction_signal") != friction_signal:
            raise self.error("example.metadata.friction_signal", f"must be {friction_signal}")
