"""Tables for spreadsheets: quoted as they have to be, and without a cell that would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

# A spreadsheet takes a cell that starts so for a formula; some also the wide forms of the signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Cell = str | float | None


def harmless(cell: Cell) -> str | float | None:
    """A cell that no spreadsheet takes for a formula; numbers are none."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The text of a table; a cell that is not known is empty."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([harmless(cell) for cell in header])
    for row in rows:
        table.writerow([harmless(cell) for cell in row])
    return text.getvalue()


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """The table as a file that a browser keeps and does not show.

    Args:
        name: of the file, without its ending; letters and dashes.
    """
    return Response(
        to_csv(header, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
