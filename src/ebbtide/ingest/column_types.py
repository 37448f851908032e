"""Gives columns of text their types: the catalog knows which texts are numbers, nothing guesses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.mapping import METADATA_PREFIX, TEXT_TARGETS, SourceMapping
from ebbtide.ingest.arrow_columns import Mask, single

_FORMS = {
    "integer": r"^-?[0-9]{1,18}$",
    "number": r"^-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,2})?$",
    "boolean": r"^(true|false|True|False|TRUE|FALSE)$",
}


def text_column_types(
    catalog: Catalog, mapping: SourceMapping | None, columns: Iterable[str]
) -> dict[str, str]:
    """The columns of a CSV file whose texts stand for numbers or truths.

    That is a column that becomes a metadata key which the catalog knows as such, and nothing
    else: ids, conditions and translations look at the text.

    Args:
        mapping: None when the columns have our names.
        columns: the names in the file's header.

    Returns:
        ``integer``, ``number`` or ``boolean`` by column; the rest stays text.
    """
    known: dict[str, set[str]] = {}
    for event_type in catalog.event_types.values():
        for key, one in event_type.metadata.items():
            known.setdefault(key, set()).add(one.type)
    wanted: dict[str, set[str]] = {}
    for column in columns:
        for use in _metadata_keys(mapping, column):
            kinds = {"string"} if use is None else known.get(use, {"string"})
            wanted.setdefault(column, set()).update(kinds)
    return {
        column: next(iter(all_kinds))
        for column, all_kinds in wanted.items()
        if len(all_kinds) == 1 and all_kinds <= _FORMS.keys()
    }


def _metadata_keys(mapping: SourceMapping | None, column: str) -> list[str | None]:
    """The metadata keys that a column goes to; None stands for any use of its text."""
    if mapping is None:
        return [column.removeprefix(METADATA_PREFIX)] if column.startswith(METADATA_PREFIX) else []
    path = (column,)
    keys: list[str | None] = []
    for rule in mapping.rules:
        if path in rule.type_paths or any(path == one.path for one in rule.conditions):
            keys.append(None)
        for target, paths in rule.columns.items():
            if path not in paths:
                continue
            if target in mapping.values or target in TEXT_TARGETS:
                keys.append(None)
            elif target.startswith(METADATA_PREFIX):
                keys.append(target.removeprefix(METADATA_PREFIX))
        if mapping.rest and path not in rule.taken:
            keys.append(column)
    return keys


def typed_texts(table: pa.Table, types: Mapping[str, str]) -> tuple[pa.Table, Mask]:
    """Turn columns of text into numbers and truths; empty texts become nulls.

    Returns:
        The table, and which rows it holds faithfully. A text of another form makes its row
        unfaithful (the value is null there): such a row must be read from its texts.
    """
    fits: Mask = np.ones(table.num_rows, np.bool_)
    for name, kind in types.items():
        column = single(table.column(name))
        shaped = pc.match_substring_regex(column, _FORMS[kind])
        fits &= pc.or_(shaped, pc.equal(column, "")).to_numpy(False)
        texts = pc.if_else(shaped, column, pa.scalar(None, pa.string()))
        at = table.column_names.index(name)
        table = table.set_column(at, name, _converted(texts, kind))
    return table, fits


def typed_row(row: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """What :func:`typed_texts` does, for one row; one with a text of another form stays text."""
    typed: dict[str, Any] = {}
    for name, kind in types.items():
        text = row.get(name)
        if not isinstance(text, str):
            continue
        if text and not re.fullmatch(_FORMS[kind], text):
            return dict(row)
        if not text:
            typed[name] = None
        elif kind == "boolean":
            typed[name] = text.lower() == "true"
        else:
            typed[name] = int(text) if re.fullmatch(_FORMS["integer"], text) else float(text)
    return {**row, **typed}


def _converted(texts: pa.Array, kind: str) -> pa.Array:
    if kind == "boolean":
        return pc.utf8_lower(texts).cast(pa.bool_())
    if kind == "integer" or pc.all(pc.match_substring_regex(texts, _FORMS["integer"])).as_py():
        return texts.cast(pa.int64())
    return texts.cast(pa.float64())
