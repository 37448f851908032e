"""Pieces that pages for people are drawn from: levels in colour and in words, ages, small bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebbtide.domain.time import parse_instant

AS_OF = typer.Option(
    None, "--as-of", help="As of this moment: 2026-03-12T08:00:00Z, or a date for 00:00 UTC."
)
KNOWN_AT = typer.Option(None, "--known-at", help="From what was received by this moment.")

#: A level is always written out too: colour alone says nothing to a pipe or to many eyes.
LEVEL_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "green",
}
PRIORITY_WORDS = {"immediate": "now", "today": "today", "this_week": "this week"}
ACTION_WORDS = {"feature_help": "help"}
PIPE_WIDTH = 100
STALE_AFTER = timedelta(hours=1)  # four slots of the job

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN_BLOCKS = "_.-=+*%#"


def page() -> Console:
    """A console that wraps at the terminal's width, or at a readable one in a pipe.

    Made anew for each command: standard output, its width and NO_COLOR are those of now.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console = Console(highlight=False, width=PIPE_WIDTH)
    return console


def clean(text: object) -> str:
    """Text from outside on one line, without terminal commands."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def words(text: object, style: str = "") -> Text:
    """Foreign text as it is: nothing in it is taken for markup."""
    return Text(clean(text), style=style)


def level(name: str | None) -> Text:
    """A level in capitals and in its colour."""
    return Text("unknown" if name is None else name.upper(), LEVEL_STYLES.get(name or "", ""))


def name_of(customer: dict[str, Any]) -> Text:
    """The name, with the id where it is another text."""
    name, tenant_id = customer["tenant_name"], customer["tenant_id"]
    if name is None or name == tenant_id:
        return words(tenant_id, "bold")
    return words(name, "bold").append(f" ({clean(tenant_id)})", "dim not bold")


def number(value: float | None, unit: str = "") -> str:
    """A number as people read it; a dash when it is unknown."""
    return "—" if value is None else f"{value:g}{unit}"


def moment(text: str) -> str:
    """A moment to the minute."""
    return parse_instant(text).strftime("%Y-%m-%d %H:%M UTC")


def age(text: str | None, now: datetime) -> str:
    """How long ago a moment was."""
    if text is None:
        return "never"
    gap = now - parse_instant(text)
    if gap < timedelta(minutes=1):
        return "just now"
    if gap < timedelta(hours=2):
        return f"{gap // timedelta(minutes=1)} min ago"
    if gap < timedelta(days=2):
        return f"{gap // timedelta(hours=1)} h ago"
    return f"{gap // timedelta(days=1)} days ago"


def bars(counts: Sequence[int], console: Console) -> str:
    """One sign a day, as high as the count against the highest; a space for none."""
    highest = max(counts, default=0)
    blocks = _BLOCKS if (console.encoding or "").lower().startswith("utf") else _PLAIN_BLOCKS
    return "".join(
        " " if not count else blocks[-(-count * len(blocks) // highest) - 1] for count in counts
    )


def columns(widths: Sequence[int | None]) -> Table:
    """A table without lines; a width of None takes what is left, and wraps."""
    table = Table.grid(padding=(0, 1), expand=True)
    for width in widths:
        if width is None:
            table.add_column(ratio=1, overflow="fold")
        else:
            table.add_column(width=width, no_wrap=True)
    return table


def tell_moment(console: Console, answer: dict[str, Any], *, was_asked: bool) -> None:
    """Which moment an answer is for, and whether that is worth a second thought."""
    now = datetime.now(UTC)
    text = Text(f"As of {moment(answer['as_of'])}", "dim")
    if not was_asked:
        text.append(f", {age(answer['as_of'], now)}")
        if not answer["stored"]:
            text.append("; computed now, for no job has run yet")
    console.print(text)
    is_old = now - parse_instant(answer["as_of"]) > STALE_AFTER
    if not was_asked and answer["stored"] and is_old:
        console.print(
            "The newest result is old. Is the scheduler running? See: ebbtide jobs list",
            style="yellow",
        )


def as_moment(text: str | None) -> str | None:
    """A moment as the server reads it; a plain date is its 00:00 UTC."""
    return f"{text}T00:00:00Z" if text is not None and _DATE.fullmatch(text) else text
