"""How a moment is given on the command line: with its offset, or as a date alone."""

from __future__ import annotations

import re

import typer

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def as_moment(text: str | None) -> str | None:
    """A moment as the server reads it; a date alone is its 00:00 UTC."""
    return f"{text}T00:00:00Z" if text is not None and _DATE.fullmatch(text) else text


AS_OF = typer.Option(
    None,
    "--as-of",
    callback=as_moment,
    help="As of this moment: 2026-03-12T08:00:00Z, or a date for 00:00 UTC.",
)
KNOWN_AT = typer.Option(
    None, "--known-at", callback=as_moment, help="From what was received by this moment."
)
