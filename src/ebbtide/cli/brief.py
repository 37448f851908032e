"""``ebbtide brief``: the day in at most 20 lines, as it is mailed."""

from __future__ import annotations

from collections.abc import Callable

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json


def brief_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def brief(
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Say in at most 20 lines: the state, what changed, who to call, what breaks first.

        Example: ebbtide brief --as-of 2026-03-12T08:00:00Z
        """
        with connect() as door:
            body = door.get("/ops/brief", as_of=as_of, known_at=known_at)
        if as_json:
            print_json(body)
            return
        for line in body["lines"]:
            console.print(inert(line), style=None if line.startswith(" ") else "bold")

    return brief
