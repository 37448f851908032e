"""Reads rows of imported files again, from what quarantine kept of them."""

from __future__ import annotations

import json
from decimal import Decimal

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.mapping import SourceMapping
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.ingest.column_types import text_column_types, typed_row
from ebbtide.ingest.decode import decode_record
from ebbtide.ingest.file_reader import Kind, kind_of
from ebbtide.ingest.import_table import own_record
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.translate import UNMAPPED, translate

#: Rows that were shown, for want of a better way, in words that nothing may take for values.
_ONLY_SHOWN = ("invalid_utf8", "invalid_row")


def _as_written(text: str) -> float | Decimal:
    """A number of a row; 1.50 is a decimal with two places, for rules may ask for its text."""
    number = float(text)
    return number if "e" in text.lower() or repr(number) == text else Decimal(text)


class ImportedRowReader:
    """Reads rows as an import would today; for the time of one release."""

    def __init__(self, catalog: Catalog) -> None:
        """Bind to the catalog, which tells which texts of a CSV file are numbers."""
        self._catalog = catalog
        self._types: dict[tuple[str | None, tuple[str, ...]], dict[str, str]] = {}

    def reread(self, entry: QuarantineEntry, mapping: SourceMapping | None) -> Incoming:
        """Read one row.

        Args:
            mapping: the one of the row's source as it is now; None when the row speaks of our
                fields itself.

        Returns:
            Its fields, or why there are none; a row that can still not be read keeps its reason.
        """
        row = decode_record(entry.raw).fields
        if row is None or entry.reason in _ONLY_SHOWN:
            return Incoming(None, entry.raw, entry.reason)
        kind = None if entry.file is None else kind_of(entry.file)
        if kind is Kind.PARQUET:
            row = json.loads(entry.raw, parse_float=_as_written)
        if kind is Kind.CSV:
            row = typed_row(row, self._types_of(mapping, tuple(row)))
        if mapping is not None:
            fields = translate(mapping, row)
            return Incoming(fields, entry.raw, UNMAPPED if fields is None else None)
        is_columns = kind in (Kind.CSV, Kind.PARQUET)
        return Incoming(own_record(row) if is_columns else row, entry.raw, None)

    def _types_of(self, mapping: SourceMapping | None, columns: tuple[str, ...]) -> dict[str, str]:
        key = (None if mapping is None else mapping.name, columns)
        types = self._types.get(key)
        if types is None:
            types = self._types[key] = text_column_types(self._catalog, mapping, columns)
        return types
