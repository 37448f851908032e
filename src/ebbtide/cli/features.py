"""``ebbtide features``: which feature keeps users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebbtide.cli.door import Connect
from ebbtide.cli.funnel import percent
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_VERDICTS = {
    "kept_more": "stayed more often",
    "kept_less": "stayed less often",
    "no_difference_shown": "may be chance",
    "insufficient_data": "not enough data",
}


def features_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def features(
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show which feature keeps users.

        Who uses each feature in 30 days, and whether those that used it stayed more often.

        Example: ebbtide features --as-of 2026-03-12
        """
        with connect() as door:
            body = door.get("/ops/stickiness", as_of=as_of, known_at=known_at)
        if as_json:
            print_json(body)
            return
        console.print(f"{body['active_tenants_30d']} customers were active in 30 days.\n")
        print_table(
            ("feature", "customers", "of active", "uses", "uses each"),
            [
                (
                    one["title"],
                    one["unique_tenants"],
                    percent(one["pct_of_active_tenants"]),
                    one["total_actions_30d"],
                    one["avg_per_tenant"],
                )
                for one in body["items"]
            ],
        )
        console.print(inert(f"\nWho was there on {body['retention_since']}, and has stayed since:"))
        print_table(
            ("feature", "used it, stayed", "not used, stayed", "difference in points", ""),
            [
                (
                    one["title"],
                    _group(one["retention"]["with_feature"]),
                    _group(one["retention"]["without_feature"]),
                    _difference(one["retention"]),
                    _VERDICTS[one["retention"]["verdict"]],
                )
                for one in body["items"]
            ],
        )
        console.print(inert(f"\n{body['retention_note']}"), style="dim")

    return features


def _group(one: dict[str, Any]) -> str:
    shown = percent(one["kept_pct"])
    counts = f"{one['num_kept']} of {one['num_tenants']}"
    return counts if shown is None else f"{counts} ({shown})"


def _difference(one: dict[str, Any]) -> str | None:
    if one["difference_points"] is None:
        return None
    low, high = one["difference_low_points"], one["difference_high_points"]
    return f"{one['difference_points']:+.1f} ({low:+.1f} to {high:+.1f})"
