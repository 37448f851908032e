"""The daily brief as HTML: one template for the console's page and for the mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from ebbtide.alerts.brief import Brief
from ebbtide.console.shown import make_environment

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it; the first one's heading is the state."""

    heading: str
    items: tuple[str, ...]


def to_sections(lines: Sequence[str]) -> list[Section]:
    """The lines of a brief as they belong together: what is indented belongs to the line above."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith(_INDENT) and found:
            found[-1][1].append(line.strip())
        else:
            found.append((line.strip(), []))
    return [Section(heading, tuple(items)) for heading, items in found]


def write_mail(brief: Brief, *, is_simulated: bool) -> str:
    """A whole document that loads nothing and leads nowhere: mail programs show what they like."""
    return (
        _environment()
        .get_template("brief_mail.html")
        .render(
            state=brief.state,
            sections=to_sections(brief.lines),
            as_of=brief.as_of,
            is_simulated=is_simulated,
        )
    )


@cache
def _environment() -> Environment:
    return make_environment()
