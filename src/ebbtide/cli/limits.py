"""``ebbtide limits``: what breaks first if we grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_STYLES = {"critical": "bold red", "warning": "yellow"}
_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def limits_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def limits(
        as_of: str | None = AS_OF,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show every resource with its limit, days to it, and how sure they are.

        Example: ebbtide limits --as-of 2026-03-12T08:00:00Z
        """
        with connect() as door:
            body = door.get("/ops/infra", as_of=as_of)
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
            ("resource", "in use", "limit", "full", "a day", "days to limit", "4 in 5", "status"),
            [
                (
                    one["resource"],
                    _amount(one["used"], one["unit"]),
                    _amount(one["limit"], one["unit"]),
                    None if one["utilization_pct"] is None else f"{one['utilization_pct']} %",
                    _amount(one["growth_per_day"], one["unit"]),
                    one["days_to_limit"],
                    _between(one),
                    one["status"],
                )
                for one in body["resources"]
            ],
        )
        for one in body["resources"]:
            if one["status"] == "unavailable":
                console.print(inert(f"{one['resource']}: {one['message']}"))

    return limits


def _between(one: dict[str, Any]) -> str | None:
    low, high = one["days_low"], one["days_high"]
    if low is None:
        return None
    return f"from {low:.1f}" if high is None else f"{low:.1f} to {high:.1f}"


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
