"""Writes the definition file of a new event type, ready to be filled in.

``python tools/new_event_type.py REPLAY_PAUSED``; what it writes is valid at once.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from uuid import uuid4

from ebbtide.catalog.loader import load_catalog

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "src" / "ebbtide" / "catalog" / "event_types"

TEMPLATE = """\
name       = "{name}"
summary    = "Say in one sentence what happened."
meaning    = "Say what it tells about the customer."
emitted_by = "console"
status     = "experimental"
source     = "say where the rule for it comes from"
signal     = "intent"

[metadata.num_items]
type     = "integer"
unit     = "items"
required = false
meaning  = "Say what is counted, or take this table out."

[example]
event_id    = "{event_id}"
timestamp   = "2025-12-12T08:20:55Z"
tenant_id   = "acme-ai"
user_id     = "u-priya"
session_id  = "ses-7f21"
event_type  = "{name}"
entity_type = "incident"
entity_id   = "inc-2041"
source      = "console"

[example.metadata]
num_items = 3
"""


def main(arguments: list[str]) -> int:
    """Write the file, check it with the catalog's own loader, and say what to do next."""
    if len(arguments) != 1 or not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", arguments[0]):
        print(
            "Name the type in capitals, in the past tense: make new-event-type NAME=REPLAY_PAUSED"
        )
        return 2
    (name,) = arguments
    path = FOLDER / f"{name.lower()}.toml"
    if path.exists():
        print(f"{path.relative_to(REPOSITORY)} exists already")
        return 1
    path.write_text(TEMPLATE.format(name=name, event_id=uuid4()), "utf-8")
    load_catalog()
    print(f"Wrote {path.relative_to(REPOSITORY)}. Fill it in, then: make docs test")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
