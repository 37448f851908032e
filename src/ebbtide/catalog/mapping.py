"""The mapping language: how records of an outside format become events, read from TOML.

A mapping is data. The same value objects are applied to one record at a time and turned into
SQL over columns, so everything here has one meaning that both can keep; it is written down in
``docs/reference/mappings.md``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ebbtide.catalog.loader import EVENT_FIELDS, load_catalog
from ebbtide.domain.errors import MappingError

OTHERWISE = ("quarantine", "skip")
TIME_FORMATS = ("iso", "epoch_s", "epoch_ms", "epoch_us")
METADATA_PREFIX = "metadata."
#: Files that lie beside the mappings and are none; ebbtide.learners and call_source read them.
NO_MAPPINGS = frozenset({"learners.toml", "litellm.toml", "otlp.toml"})

#: Our fields that a mapping may fill; the type comes from the rules, metadata by single keys.
TARGETS = frozenset(EVENT_FIELDS) - {"event_type", "metadata"} | {"received_at"}
#: Fields that are moments in time.
TIME_TARGETS = ("timestamp", "received_at")
#: Fields that hold text; whole numbers found there become their digits.
TEXT_TARGETS = frozenset(name for name in TARGETS if EVENT_FIELDS.get(name) == "string") - {
    "timestamp"
}
#: The same for every record would be wrong for these.
_NEVER_CONSTANT = frozenset({"event_id", "timestamp", "received_at"})
#: What a price is computed from.
COST_INPUTS = ("metadata.model", "metadata.tokens_in", "metadata.tokens_out")

FieldPath = tuple[str, ...]  #: ``("a", "b")`` walks into the object ``a``
Columns = Mapping[str, tuple[FieldPath, ...]]  #: our field -> theirs, the first present one counts
Scalar = str | int | float | bool | Decimal


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold of one of their fields; all parts that are not None must.

    Values are compared by their text (:func:`text_of`), so that ``true`` in a CSV file and
    true in JSON are the same. An absent field equals nothing and has no prefix.
    """

    path: FieldPath
    any_of: tuple[str, ...] | None = None
    prefix: str | None = None
    present: bool | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``[[events]]``: which records it is for, and what becomes of them.

    Exactly one of ``type`` and ``type_paths`` speaks: a fixed event type, or where the record
    names one itself; then the rule holds only for a name in :attr:`SourceMapping.event_types`.
    ``columns`` and ``constants`` are complete: the common ones and those of the rule.
    ``taken`` are the first paths of each column and of the type, which ``spread`` and ``rest``
    leave out: their value is used whenever it is there. A later path may not have been the one
    that counted, so it goes to metadata as well and nothing is lost.
    """

    type: str | None
    type_paths: tuple[FieldPath, ...]
    conditions: tuple[Condition, ...]
    columns: Columns
    constants: Mapping[str, Scalar]
    taken: frozenset[FieldPath]


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What a model costs in USD for one token, exactly as the price list says."""

    input_usd: Decimal
    output_usd: Decimal


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """How the records of one source become events.

    ``otherwise`` is what happens to a record that no rule takes: ``quarantine`` or ``skip``.
    ``spread`` are objects whose members go to metadata under their own names; with ``rest``
    the remaining top-level fields do too. ``values`` translates texts of one of our fields.
    ``zone`` is the IANA name for moments without an offset, None when such are not believed.
    ``prices`` is None when costs are not computed.
    """

    name: str
    summary: str | None
    otherwise: str
    rules: tuple[Rule, ...]
    spread: tuple[FieldPath, ...]
    rest: bool
    values: Mapping[str, Mapping[str, str]]
    time_format: str
    zone: str | None
    prices: Mapping[str, TokenPrice] | None
    event_types: frozenset[str]


def text_of(value: object) -> str | None:
    """The text by which conditions and translations know a value; None when it has none.

    Text is itself, true and false are words, whole numbers their digits (``3.0`` is ``3``).
    Fractions, objects, lists and null have none.

    Example:
        >>> text_of(True), text_of(7), text_of(7.0), text_of(7.5)
        ('true', '7', '7', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**19 else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return None


def load_mappings(
    folder: Path | None = None, *, event_types: Collection[str] | None = None
) -> Mapping[str, SourceMapping]:
    """Read the mappings that come with Ebbtide and the user's own.

    Args:
        folder: the user's ``*.toml`` files. One that names a packaged source extends it: its
            rules come first, its other entries replace the packaged ones key by key.
        event_types: the names a rule may use; those of the packaged catalog by default.

    Returns:
        Mappings by source name.

    Raises:
        MappingError: a file is wrong; the message names it and the key.
    """
    known = frozenset(load_catalog().event_types if event_types is None else event_types)
    sources = dict(_packaged())
    if folder is not None:
        if not folder.is_dir():
            raise MappingError(f"{folder}: no such folder of mappings")
        own: dict[str, str] = {}
        for source in _read_folder(folder):
            if source.name in own:
                raise MappingError(
                    f"{source.file_name}: source.name: {source.name!r} is already in "
                    f"{own[source.name]}"
                )
            own[source.name] = source.file_name
            base = sources.get(source.name)
            sources[source.name] = source if base is None else source.over(base)
    return MappingProxyType(
        {name: _Compiler(source, known).mapping() for name, source in sorted(sources.items())}
    )


def load_mapping(path: Path, *, event_types: Collection[str] | None = None) -> SourceMapping:
    """Read one mapping file that stands alone, such as that of an import.

    Raises:
        MappingError: the file cannot be read or is wrong; the message names it and the key.
    """
    known = frozenset(load_catalog().event_types if event_types is None else event_types)
    return _Compiler(_read_file(path.parent, path.name), known).mapping()


@dataclass(frozen=True, slots=True)
class MappingText:
    """One mapping file on its way to another machine: its name, its text, its price list.

    ``prices`` is the JSON text of the list that ``[cost] prices`` names; None when it names none.
    """

    file_name: str
    toml: str
    prices: str | None


def read_mapping_text(path: Path) -> MappingText:
    """Read a mapping file to hand it on, after checking it.

    Returns:
        Its text, and of its price list what a mapping reads: exact, and small enough to send.

    Raises:
        MappingError: the file cannot be read or is wrong; the message names it and the key.
    """
    mapping = load_mapping(path)
    prices = None
    if mapping.prices is not None:
        each = (
            f'{json.dumps(model)}: {{"input_cost_per_token": {one.input_usd}, '
            f'"output_cost_per_token": {one.output_usd}}}'
            for model, one in mapping.prices.items()
        )
        prices = "{" + ", ".join(each) + "}"
    return MappingText(path.name, path.read_text(encoding="utf-8"), prices)


def mapping_from_text(text: MappingText) -> SourceMapping:
    """The mapping that :func:`read_mapping_text` read, on the other side.

    No file of this machine is opened, whatever the text names.

    Raises:
        MappingError: it is wrong; the message names the file and the key.
    """

    def given(_: str) -> str:
        if text.prices is None:
            raise FileNotFoundError("no prices came with the mapping")
        return text.prices

    known = frozenset(load_catalog().event_types)
    return _Compiler(_parse(text.toml, text.file_name, given), known).mapping()


def parse_path(text: str) -> FieldPath:
    """Read a path such as ``context.groupId``; a name with a dot stands in double quotes.

    Raises:
        ValueError: a part is empty or a quote is not closed.

    Example:
        >>> parse_path('context."user.id"')
        ('context', 'user.id')
    """
    parts: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            part, quote, rest = rest[1:].partition('"')
            if not quote or (rest and not rest.startswith(".")):
                raise ValueError(f"{text!r} has a quote that does not end a part")
            dot, rest = rest[:1], rest[1:]
        else:
            part, dot, rest = rest.partition(".")
            if '"' in part:
                raise ValueError(f"{text!r} has a quote in the middle of a part")
        if not part:
            raise ValueError(f"{text!r} has an empty part")
        parts.append(part)
        if not dot:
            return tuple(parts)


# -- files -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """One parsed file before it is checked."""

    file_name: str
    table: dict[str, Any]
    read_beside: Callable[[str], str]  #: the text of another file, by its name in this one

    @property
    def name(self) -> str:
        head = self.table.get("source")
        name = head.get("name") if isinstance(head, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise MappingError(f"{self.file_name}: source.name: must be a text that is not empty")
        return name

    def over(self, base: _Source) -> _Source:
        """This file's entries on top of a packaged mapping's."""
        table = dict(base.table)
        for key, value in self.table.items():
            below = table.get(key)
            if key == "events" and isinstance(value, list) and isinstance(below, list):
                table[key] = value + below
            elif key == "values" and isinstance(value, dict) and isinstance(below, dict):
                table[key] = below | {
                    field: below.get(field, {}) | words if isinstance(words, dict) else words
                    for field, words in value.items()
                }
            elif isinstance(value, dict) and isinstance(below, dict):
                table[key] = below | value
            else:
                table[key] = value
        beside = self.read_beside if "cost" in self.table else base.read_beside
        return _Source(self.file_name, table, beside)


def _read_file(folder: Traversable, name: str) -> _Source:
    def read(other: str) -> str:
        return folder.joinpath(other).read_text(encoding="utf-8")

    try:
        text = read(name)
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"{name}: cannot be read: {error}") from error
    return _parse(text, name, read)


def _parse(text: str, file_name: str, read_beside: Callable[[str], str]) -> _Source:
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{file_name}: not TOML: {error}") from error
    for part in (table, *_tables(table.get("events"))):
        for key in ("columns", "constants", "values"):
            if isinstance(part.get(key), dict):
                part[key] = _with_flat_metadata(part[key])
    return _Source(file_name, table, read_beside)


def _with_flat_metadata(table: dict[str, Any]) -> dict[str, Any]:
    """``metadata.model = ...`` without quotes is a table in TOML; make it one key again."""
    nested = table.get("metadata")
    if not isinstance(nested, dict):
        return table
    flat = {f"{METADATA_PREFIX}{name}": value for name, value in nested.items()}
    return {name: value for name, value in table.items() if name != "metadata"} | flat


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _read_folder(folder: Traversable) -> Iterator[_Source]:
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml") or file.name in NO_MAPPINGS:
            continue
        yield _read_file(folder, file.name)


@cache
def _packaged() -> Mapping[str, _Source]:
    folder = files("ebbtide.catalog").joinpath("sources")
    return MappingProxyType({source.name: source for source in _read_folder(folder)})


# -- checks ------------------------------------------------------------------------------------

_TOP_KEYS = frozenset(
    {"source", "columns", "constants", "metadata", "values", "timestamp", "events", "cost"}
)
_PRICE_USD_MAX = 10**6  # for one token; beyond it the file is something else
_RULE_KEYS = frozenset({"type", "type_column", "when", "columns", "constants"})


class _Compiler:
    """One parsed file on its way to a mapping; each check names the file and the key."""

    def __init__(self, source: _Source, event_types: frozenset[str]) -> None:
        self.source = source
        self.event_types = event_types

    def error(self, key: str, problem: str) -> MappingError:
        return MappingError(f"{self.source.file_name}: {key}: {problem}")

    def mapping(self) -> SourceMapping:
        top = self.source.table
        self.only(top, _TOP_KEYS, "")
        name = self.source.name
        head = self.table(top, "source")
        self.only(head, {"name", "summary", "otherwise"}, "source.")
        metadata = self.table(top, "metadata")
        self.only(metadata, {"rest", "spread"}, "metadata.")
        time = self.table(top, "timestamp")
        self.only(time, {"format", "zone"}, "timestamp.")
        rules = self.rules(
            self.columns(self.table(top, "columns"), "columns"),
            self.constants(self.table(top, "constants"), "constants"),
        )
        return SourceMapping(
            name=name,
            summary=self.text(head, "summary", "source.summary"),
            otherwise=self.word(head, "otherwise", "source.otherwise", OTHERWISE),
            rules=rules,
            spread=self.paths(metadata.get("spread", []), "metadata.spread", may_be_empty=True),
            rest=self.flag(metadata, "rest", "metadata.rest"),
            values=self.values(self.table(top, "values")),
            time_format=self.word(time, "format", "timestamp.format", TIME_FORMATS),
            zone=self.zone(time),
            prices=self.prices(top, rules),
            event_types=self.event_types,
        )

    # -- rules --

    def rules(self, columns: Columns, constants: Mapping[str, Scalar]) -> tuple[Rule, ...]:
        specs = self.source.table.get("events")
        if not isinstance(specs, list) or not specs:
            raise self.error("events", "missing; write at least one [[events]] with a type")
        return tuple(
            self.rule(spec, f"events[{number}]", columns, constants)
            for number, spec in enumerate(specs, start=1)
        )

    def rule(
        self, spec: object, key: str, columns: Columns, constants: Mapping[str, Scalar]
    ) -> Rule:
        if not isinstance(spec, dict):
            raise self.error(key, "must be a table")
        self.only(spec, _RULE_KEYS, f"{key}.")
        if ("type" in spec) == ("type_column" in spec):
            raise self.error(f"{key}.type", "give either type or type_column")
        type_name = self.text(spec, "type", f"{key}.type")
        if type_name is not None and type_name not in self.event_types:
            raise self.error(f"{key}.type", f"{type_name!r} is no event type of the catalog")
        type_paths = (
            self.paths(spec["type_column"], f"{key}.type_column") if "type_column" in spec else ()
        )
        when = self.table(spec, "when", f"{key}.when")
        all_columns = {
            **columns,
            **self.columns(self.table(spec, "columns", f"{key}.columns"), f"{key}.columns"),
        }
        if "timestamp" not in all_columns:
            raise self.error("columns.timestamp", f"missing for {key}; when did it happen?")
        own = self.table(spec, "constants", f"{key}.constants")
        return Rule(
            type=type_name,
            type_paths=type_paths,
            conditions=tuple(
                self.condition(path, wanted, f"{key}.when.{path}") for path, wanted in when.items()
            ),
            columns=MappingProxyType(all_columns),
            constants=MappingProxyType({**constants, **self.constants(own, f"{key}.constants")}),
            taken=frozenset(paths[0] for paths in (*all_columns.values(), type_paths) if paths),
        )

    def condition(self, path_text: str, wanted: object, key: str) -> Condition:
        path = self.path(path_text, key)
        if not isinstance(wanted, dict):
            return Condition(path, any_of=self.comparables(wanted, key))
        self.only(wanted, {"is", "any_of", "present", "prefix"}, f"{key}.")
        if not wanted:
            raise self.error(key, "says nothing; use is, any_of, present or prefix")
        if "is" in wanted and "any_of" in wanted:
            raise self.error(key, "use either is or any_of")
        if isinstance(wanted.get("is"), list):
            raise self.error(f"{key}.is", "a list belongs under any_of")
        any_of = None
        for word in ("is", "any_of"):
            if word in wanted:
                any_of = self.comparables(wanted[word], f"{key}.{word}")
        present = self.flag(wanted, "present", f"{key}.present") if "present" in wanted else None
        prefix = self.text(wanted, "prefix", f"{key}.prefix")
        if present is False and (any_of is not None or prefix is not None):
            raise self.error(key, "an absent field has no value; this can never hold")
        return Condition(path, any_of, prefix, present)

    def comparables(self, wanted: object, key: str) -> tuple[str, ...]:
        items = wanted if isinstance(wanted, list) else [wanted]
        texts = tuple(text_of(item) for item in items)
        found = tuple(text for text in texts if text)
        if not found or len(found) != len(texts):
            raise self.error(key, "compare with text, whole numbers, true or false (not empty)")
        return found

    # -- parts --

    def columns(self, table: dict[str, Any], key: str) -> dict[str, tuple[FieldPath, ...]]:
        return {
            self.target(target, f"{key}.{target}"): self.paths(paths, f"{key}.{target}")
            for target, paths in table.items()
        }

    def constants(self, table: dict[str, Any], key: str) -> dict[str, Scalar]:
        constants: dict[str, Scalar] = {}
        for target, value in table.items():
            self.target(target, f"{key}.{target}")
            if target in _NEVER_CONSTANT:
                raise self.error(f"{key}.{target}", "cannot be the same for every record")
            if not isinstance(value, str | int | Decimal):
                raise self.error(f"{key}.{target}", "must be text, a number, true or false")
            if isinstance(value, Decimal):
                if not value.is_finite():
                    raise self.error(f"{key}.{target}", "must be a finite number")
                if target != "cost_usd":  # money stays exact, the rest is what JSON holds
                    value = float(value)
            if isinstance(value, int) and abs(value) >= 2**63:
                raise self.error(f"{key}.{target}", "the number is too large")
            if target in TEXT_TARGETS:
                text = text_of(value)
                if not text or isinstance(value, bool):
                    raise self.error(f"{key}.{target}", "must be a text that is not empty")
                value = text
            constants[target] = value
        return constants

    def target(self, name: str, key: str) -> str:
        if name in TARGETS or (name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX):
            return name
        if name == "event_type":
            raise self.error(key, "the type comes from [[events]]: use type or type_column there")
        if name == "metadata":
            raise self.error(key, 'name single keys ("metadata.model"), or use [metadata] spread')
        raise self.error(key, "no field of an event")

    def values(self, table: dict[str, Any]) -> Mapping[str, Mapping[str, str]]:
        values: dict[str, Mapping[str, str]] = {}
        for target, words in table.items():
            key = f"values.{target}"
            self.target(target, key)
            if target in TIME_TARGETS or target == "event_id":
                raise self.error(key, "identity and time are not translated")
            if not isinstance(words, dict) or not words:
                raise self.error(key, "must be a table: theirs = ours")
            for theirs, ours in words.items():
                if not isinstance(ours, str) or not ours:
                    raise self.error(f"{key}.{theirs}", "must be a text that is not empty")
            values[target] = MappingProxyType(dict(words))
        return MappingProxyType(values)

    def zone(self, time: dict[str, Any]) -> str | None:
        zone = self.text(time, "zone", "timestamp.zone")
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise self.error("timestamp.zone", f"unknown time zone {zone!r}") from error
        return zone

    def prices(
        self, top: dict[str, Any], rules: tuple[Rule, ...]
    ) -> Mapping[str, TokenPrice] | None:
        if "cost" not in top:
            return None
        cost = self.table(top, "cost")
        self.only(cost, {"prices"}, "cost.")
        name = self.text(cost, "prices", "cost.prices")
        if name is None:
            raise self.error("cost.prices", "missing; name the JSON file with prices per token")
        for target in COST_INPUTS:
            if not any(target in rule.columns or target in rule.constants for rule in rules):
                raise self.error("cost", f"needs {target} in [columns] or [constants]")
        return self.read_prices(name)

    def read_prices(self, name: str) -> Mapping[str, TokenPrice]:
        try:
            listed = json.loads(self.source.read_beside(name), parse_float=Decimal)
        except FileNotFoundError as error:
            raise self.error(
                "cost.prices",
                f"{name} is missing; put it beside this file: a JSON object of models, each with "
                "input_cost_per_token and output_cost_per_token in USD",
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise self.error("cost.prices", f"{name} cannot be read: {error}") from error
        if not isinstance(listed, dict):
            raise self.error("cost.prices", f"{name} must be an object of models")
        prices = {}
        for model, entry in listed.items():
            if not isinstance(entry, dict):
                raise self.error("cost.prices", f"{name}: {model}: must be an object")
            tokens_in = entry.get("input_cost_per_token")
            tokens_out = entry.get("output_cost_per_token")
            if tokens_in is None or tokens_out is None:
                continue  # a model that is not sold by the token (images, audio) has no price here
            if not _is_price(tokens_in) or not _is_price(tokens_out):
                raise self.error(
                    "cost.prices", f"{name}: {model}: prices must be numbers from 0 to a million"
                )
            prices[model] = TokenPrice(Decimal(tokens_in), Decimal(tokens_out))
        if not prices:
            raise self.error("cost.prices", f"{name} names no model with both prices")
        return MappingProxyType(prices)

    # -- values of keys --

    def only(self, table: dict[str, Any], allowed: Collection[str], prefix: str) -> None:
        for key in table:
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                raise self.error(f"{prefix}{key}", f"unknown key; known are {known}")

    def table(self, table: dict[str, Any], key: str, path: str | None = None) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self.error(path or key, "must be a table")
        return value

    def text(self, table: dict[str, Any], key: str, path: str) -> str | None:
        value = table.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.error(path, "must be a text that is not empty")
        return value

    def word(self, table: dict[str, Any], key: str, path: str, allowed: tuple[str, ...]) -> str:
        value = table.get(key, allowed[0])
        if value not in allowed:
            raise self.error(path, f"{value!r} is not one of {', '.join(allowed)}")
        return str(value)

    def flag(self, table: dict[str, Any], key: str, path: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(path, "must be true or false")
        return value

    def paths(
        self, value: object, key: str, *, may_be_empty: bool = False
    ) -> tuple[FieldPath, ...]:
        items = value if isinstance(value, list) else [value]
        if not items and not may_be_empty:
            raise self.error(key, "names no field")
        return tuple(self.path(item, key) for item in items)

    def path(self, value: object, key: str) -> FieldPath:
        if not isinstance(value, str):
            raise self.error(key, "must be the path of a field, such as context.groupId")
        try:
            return parse_path(value)
        except ValueError as error:
            raise self.error(key, str(error)) from error


def _is_price(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    return Decimal(value).is_finite() and 0 <= value < _PRICE_USD_MAX
