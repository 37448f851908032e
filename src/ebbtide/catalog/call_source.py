"""Reads where foreign formats hold what is known of a model call: a table for each, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ebbtide.catalog.definition import Definition
from ebbtide.domain.errors import CatalogError
from ebbtide.domain.policy import Result

#: Sources of calls; their files lie beside the mappings of events.
CALL_SOURCES = ("litellm", "otlp")

Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CallSource:
    """Where one format holds what.

    Attributes:
        fields: places of each field of a call, the first that holds something counts.
        metadata: places of what is kept beside it.
        results: our word for what a check of theirs said, by their word in lower case.
        errors: our word for an error, by theirs.
        more: further tables, which only one format has.
    """

    name: str
    summary: str
    fields: Places
    metadata: Places
    results: Mapping[str, Result]
    errors: Mapping[str, str]
    more: Mapping[str, Places]


@cache
def load_call_source(name: str) -> CallSource:
    """One of :data:`CALL_SOURCES`.

    Raises:
        CatalogError: its file is wrong; the message names the key.
    """
    file = files("ebbtide.catalog").joinpath("sources", f"{name}.toml")
    return read_call_source(file.read_text(encoding="utf-8"), f"{name}.toml")


def read_call_source(text: str, file_name: str) -> CallSource:
    """Read the text of such a file.

    Raises:
        CatalogError: it is wrong; the message names the key.
    """
    one = Definition.parse(text, file_name)
    name, summary = one.text("name"), one.text("summary")
    if file_name != f"{name}.toml":
        raise one.error("name", f"{name} belongs into {name}.toml")
    fields, metadata = _places(one.table("fields")), _places(one.table("metadata"))
    results: dict[str, Result] = {}
    for word, theirs in _places(one.table("results")).items():
        if word not in set(Result):
            raise one.error("results", f"{word!r} is no result of a check")
        results |= {each.lower(): Result(word) for each in theirs}
    errors = one.table("errors")
    by_error = {key: errors.text(key) for key in errors.keys()}
    known = {"name", "summary", "fields", "metadata", "results", "errors"}
    more = {key: _places(one.table(key)) for key in one.keys() if key not in known}
    one.close()
    if "tenant_id" not in fields:
        raise CatalogError(f"{file_name}: fields: it says nowhere whose a call is")
    return CallSource(
        name,
        summary,
        fields,
        metadata,
        MappingProxyType(results),
        MappingProxyType(by_error),
        MappingProxyType(more),
    )


def _places(table: Definition) -> Places:
    return MappingProxyType({key: table.texts(key) for key in table.keys()})
