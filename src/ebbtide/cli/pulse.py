"""``ebbtide pulse``: is the business healthy right now, readable in five seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ebbtide.cli.door import Connect
from ebbtide.cli.drawing import moment
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_STYLES = {
    "STABLE": "bold green",
    "SILENT_DEGRADATION": "bold yellow",
    "ACTIVE_FAILURE": "bold red",
    "UNKNOWN": "bold magenta",
}


def pulse_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def pulse(
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Show how the business is, why, and what changed since yesterday and last week.

        Example: ebbtide pulse --as-of 2026-03-12T08:00:00Z
        """
        with connect() as door:
            body = door.get("/ops/pulse", as_of=as_of, known_at=known_at)
        if as_json:
            print_json(body)
            return
        state = body["system_state"]
        console.print(
            f"{state.replace('_', ' ')}  as of {moment(body['as_of'])}", style=_STYLES[state]
        )
        for reason in body["reasons"]:
            console.print(inert(f"  {reason}"))
        if body["comparisons"]:
            console.print()
            print_table(
                ("24 hours", "now", "against the day before", "against last week"),
                [
                    (
                        one["title"],
                        one["current"],
                        _change(one["change_pct"], one["change_reason"], one["previous"]),
                        _change(
                            one["change_last_week_pct"],
                            one["change_last_week_reason"],
                            one["last_week"],
                        ),
                    )
                    for one in body["comparisons"]
                ],
            )
            console.print()
            for line in _strip(body):
                console.print(inert(line))

    return pulse


def _change(percent: float | None, reason: str | None, before: int) -> str:
    if percent is None:
        return str(reason).replace("_", " ")
    return f"{percent:+.1f} % (from {before})"


def _strip(body: dict[str, Any]) -> Iterator[str]:
    """The numbers beside the state, a line each."""
    yield (
        "LLM failures   "
        + _or_dash(body["llm_failure_rate_pct"], "{:.1f} %")
        + (f" of {body['llm_calls_24h']} calls")
    )
    yield "Cost today     " + _or_dash(body["cost_today_usd"], "{:,.2f} USD") + _without_cost(body)
    yield "Latency p95    " + _or_dash(body["latency_ms_p95"], "{:,.0f} ms")
    yield "Events         " + _or_dash(body["events_per_minute"], "{:,.1f} per minute")
    if body["resources"]:
        fullest = body["resources"][0]
        yield f"Fullest        {fullest['resource']}, {fullest['saturation_pct']:.1f} %"
    else:
        yield "Fullest        — (no sample in 24 hours)"
    for one in body["producers"]:
        word = "  SILENT" if one["is_silent"] else ""
        yield f"From {one['source']}: {_age(one['age_s'])} ago{word}"


def _or_dash(value: float | None, form: str) -> str:
    return "—" if value is None else form.format(value)


def _without_cost(body: dict[str, Any]) -> str:
    num = body["num_calls_without_cost"]
    return f" ({num} calls without a cost)" if num else ""


def _age(seconds: int) -> str:
    for length, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {word}"
    return f"{seconds} s"
