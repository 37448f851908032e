"""Writes the reference page of all event types from their definitions, as Markdown.

``python -m ebbtide.catalog.reference > docs/reference/event-types.md`` renews the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from ebbtide.catalog.loader import Catalog, EventType, load_catalog

_INTRODUCTION = """\
# Event types

<!-- Generated from src/ebbtide/catalog/event_types/*.toml.
     Renew it with: python -m ebbtide.catalog.reference > docs/reference/event-types.md -->

An event is one immutable fact: something happened, at a time, to one customer. Its type says what
happened. An event whose type is not listed here goes into quarantine with the reason
`unknown_event_type`, and is released when a mapping or a definition for it exists.

Metadata keys are optional unless marked required; keys that are not listed are kept as sent.
A value of the wrong type puts the event into quarantine with the reason `invalid_metadata:<key>`.

The signal says what an event tells about the customer: `intent` (looks for something), `trust`
(checks and believes), `value` (gains or pays), `friction` (is held up), `cost` (costs money), or
`system` (how the machinery does). Friction types also carry the kind of friction in
`metadata.friction_signal`; it is filled in when missing.
"""


def event_types_page(catalog: Catalog) -> str:
    """The whole page: a table with one row per type, then a section for each.

    Returns:
        Markdown text that ends with one line break.
    """
    blocks = [_INTRODUCTION, _overview(catalog)]
    blocks += [_section(event_type) for event_type in catalog.event_types.values()]
    return "\n".join(blocks)


def _overview(catalog: Catalog) -> str:
    rows = (
        (
            f"[`{kind.name}`](#{kind.name.lower()})",
            kind.signal,
            kind.status,
            kind.summary,
        )
        for kind in catalog.event_types.values()
    )
    return "\n".join(_table(("event type", "signal", "status", "what happened"), rows)) + "\n"


def _section(event_type: EventType) -> str:
    facts = f"Emitted by: {event_type.emitted_by}. Signal: {event_type.signal}"
    if event_type.friction_signal is not None:
        facts += f" (`{event_type.friction_signal}`)"
    facts += f". Status: {event_type.status}. Source: {event_type.source}."
    lines = [
        f"## {event_type.name}",
        "",
        event_type.summary,
        event_type.meaning,
        "",
        facts,
        "",
    ]
    if event_type.metadata:
        rows = (
            (
                f"`{field.name}`",
                field.type,
                field.unit or "",
                "yes" if field.required else "",
                field.meaning,
            )
            for field in event_type.metadata.values()
        )
        lines += [
            *_table(("metadata", "type", "unit", "required", "meaning"), rows),
            "",
        ]
    example = json.dumps(event_type.example, indent=2, ensure_ascii=False)
    lines += ["```json", *example.splitlines(), "```", ""]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        # A bar inside a cell would open a new column.
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(event_types_page(load_catalog()))
