"""Pieces that pages for people are drawn from: levels in colour and in words, ages, small bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebbtide.domain.time import parse_instant

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
TO_PEOPLE = ("call", "email")  # steps that begin with a person
STALE_AFTER = timedelta(hours=1)  # four slots of the job
QUIET_AFTER = timedelta(hours=24)  # without any event of anybody: the data stopped, not they

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


def name_of(customer: dict[str, Any], style: str = "bold") -> Text:
    """The name, with the id where it is another text."""
    name, tenant_id = customer["tenant_name"], customer["tenant_id"]
    if name is None or name == tenant_id:
        return words(tenant_id, style)
    return words(name, style).append(f" ({clean(tenant_id)})", "dim not bold")


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
    """A table without lines; a width of None takes what is left. What is longer wraps."""
    table = Table.grid(padding=(0, 1), expand=True)
    for width in widths:
        if width is None:
            table.add_column(ratio=1, overflow="fold")
        else:
            table.add_column(width=width, overflow="fold")
    return table


def first_open(customer: dict[str, Any]) -> dict[str, Any] | None:
    """The first suggested step that nobody has done or dismissed; None when there is none."""
    steps = customer["interventions"]
    return next((step for step in steps if step["state"] not in ("done", "dismissed")), None)


def contact_of(customer: dict[str, Any], step: dict[str, Any]) -> Text | None:
    """The first contact, beside a step that speaks to somebody; None when none is known."""
    if step["intervention_type"] not in TO_PEOPLE or not customer["contacts"]:
        return None
    one = customer["contacts"][0]
    said = ", ".join(text for text in (one["name"], one["role"], one["email"]) if text)
    return words(said) if said else None


def step_state(step: dict[str, Any]) -> str:
    """How a suggested step stands, in words."""
    state = str(step["state"])
    if state == "dismissed" and step.get("dismiss_reason"):
        return f"dismissed, {str(step['dismiss_reason']).replace('_', ' ')}"
    if state != "done":
        return state
    if step["outcome"] is not None:
        return f"done, outcome {step['outcome']}"
    if step["outcome_closes_at"] is None:
        return "done"
    return f"done, waiting for the outcome until {moment(step['outcome_closes_at'])}"


def tell_moment(
    console: Console, answer: dict[str, Any], *, was_asked: bool, known_at: str | None
) -> None:
    """Which moment an answer is for, and whether that is worth a second thought.

    Args:
        was_asked: whether somebody asked for that moment; else it is the newest there is.
        known_at: what was asked for; None shows nothing of it.
    """
    now, as_of = datetime.now(UTC), parse_instant(answer["as_of"])
    newest = answer["freshness"]["newest_event_at"]
    if newest is not None and as_of - parse_instant(newest) > QUIET_AFTER:
        console.print(
            f"No event since {moment(newest)}: these levels may say more about missing data"
            " than about customers.",
            style="yellow",
        )
    text = Text(f"As of {moment(answer['as_of'])}", "dim")
    if known_at:
        text.append(f", as known at {moment(answer['known_at'])}")
    if not was_asked:
        text.append(f", {age(answer['as_of'], now)}")
        if not answer["stored"]:
            text.append("; computed now, for no job has run yet")
    console.print(text)
    is_old = now - as_of > STALE_AFTER
    if not was_asked and answer["stored"] and is_old:
        console.print(
            "The newest result is old. Is the scheduler running? See: ebbtide jobs list",
            style="yellow",
        )


def tell_nobody(console: Console, answer: dict[str, Any], *, was_asked: bool) -> None:
    """That an answer knows no customer at all, and how a newer one is had."""
    if was_asked:
        console.print(f"No customers: no event was known by {moment(answer['as_of'])}.")
    elif answer["stored"]:
        console.print(
            f"No customers in the newest result, of {moment(answer['as_of'])}. If events came in"
            " since, compute it now: ebbtide jobs run compute-stickiness evaluate-playbooks"
        )
    else:
        console.print("No customers yet: they appear with their first event.")
