"""``ebbtide limits``: what breaks first if we grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_STYLES = {"critical": "bold red", "warning": "yellow"}
#: What a reason, or else a status, means to whoever reads it for the first time.
_OUTLOOK = {
    "exhausted": "limit reached",
    "growing": "growing",
    "not_growing": "not growing",
    "too_far_ahead": "growing, no day foreseeable",
    "insufficient_data": "too few samples yet",
    "no_limit": "no limit known",
    "stale": "not known: no new sample",
    "unavailable": "not known: nobody could look",
}
_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def limits_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def limits(
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show what breaks first: how full each resource is, and when its limit is reached.

        Example: ebbtide limits --as-of 2026-03-12T08:00:00Z
        """
        with connect() as door:
            body = door.get("/ops/infra", as_of=as_of, known_at=known_at)
        if as_json:
            print_json(body)
            return
        if not body["resources"]:
            console.print(
                "Nothing was sampled yet: the job sample-resources looks every 5 minutes, and "
                "POST /v1/gauges takes what you send."
            )
            return
        for one in body["warnings"]:
            text = f"{one['level']}: {one['resource']}: {one['message']}"
            console.print(inert(text), style=_STYLES[one["level"]])
        if body["warnings"]:
            console.print()
        print_table(
            ("resource", "full", "in use", "of", "grows a day", "limit reached in", "outlook"),
            [
                (
                    one["resource"],
                    None if one["utilization_pct"] is None else f"{one['utilization_pct']} %",
                    _amount(one["used"], one["unit"]),
                    _amount(one["limit"], one["unit"]),
                    _amount(one["growth_per_day"], one["unit"]),
                    _reached_in(one),
                    _OUTLOOK.get(one["reason"]) or _OUTLOOK.get(one["status"]) or one["status"],
                )
                for one in body["resources"]
            ],
        )
        if any(one["days_to_limit"] for one in body["resources"]):
            console.print(
                "\nIn parentheses: where the day lies 4 times in 5. --json says all that is known.",
                style="dim",
            )
        for one in body["resources"]:
            if one["reason"] in ("unavailable", "stale"):
                console.print(inert(f"{one['resource']}: {one['message']}"))

    return limits


def _reached_in(one: dict[str, Any]) -> str | None:
    """How long it lasts in whole days; the best guess, and between which bounds it lies."""
    days, low, high = one["days_to_limit"], one["days_low"], one["days_high"]
    if one["status"] == "exhausted":
        return "reached"
    if days is None:
        return None if low is None else f"not within {low:.0f} days"
    if low is None:
        return f"{days:.0f} days"
    return f"{days:.0f} days ({low:.0f} {'or more' if high is None else f'to {high:.0f}'})"


def _amount(value: float | None, unit: str | None) -> str | None:
    if value is None:
        return None
    if unit != "bytes":
        return f"{value:.4g} {unit or ''}".strip()
    place = 0
    while abs(value) >= 1000 and place < len(_SIZES) - 1:
        value /= 1000
        place += 1
    return f"{value:.3g} {_SIZES[place]}"
