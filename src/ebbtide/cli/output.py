"""What commands print: plain tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table

PIPE_WIDTH = 240  # where no terminal says how wide it is, rows stay on one line

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console = Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

AS_JSON = typer.Option(False, "--json", help="Print JSON for programs.")


def print_json(body: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(body, indent=2, ensure_ascii=False, default=_number))


def _number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; None is a dash, and foreign text is shown inert."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(inert("—" if cell is None else str(cell)) for cell in row))
    lines = []
    for line in console.render_lines(table, pad=False):
        # Every cell is filled up with spaces; the last of a line would only hinder who copies it.
        while line and not line[-1].text.rstrip():
            line.pop()
        if line:
            line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
        lines += [*line, Segment.line()]
    console.print(Segments(lines), end="")


def inert(text: str) -> str:
    """Text from outside without terminal commands or markup."""
    safe = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
    return safe.replace("[", "\\[")
