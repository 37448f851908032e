"""``ebbtide why CUSTOMER``: everything about one customer, on one page; and any number of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ebbtide.cli.customer_search import find_customer
from ebbtide.cli.door import Connect
from ebbtide.cli.drawing import (
    ACTION_WORDS,
    PRIORITY_WORDS,
    age,
    bars,
    clean,
    columns,
    contact_of,
    level,
    moment,
    name_of,
    number,
    page,
    step_state,
    tell_moment,
    words,
)
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, print_json
from ebbtide.domain.time import MICROSECOND, parse_instant

TREND_STYLES = {
    "rising": "green",
    "declining": "yellow",
    "dropping": "red",
    "stopped": "bold red",
    "rare": "yellow",
}
TYPES_MAX = 10  # lines of the timeline


def why_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def why(
        tenant: str | None = typer.Argument(None, help="Its id, UUID or name."),
        metric: str = typer.Option(
            "risk_level", help="Explain this number to the end, such as stickiness_delta."
        ),
        business: str | None = typer.Option(
            None,
            "--number",
            help="Instead of a customer: a number of the business by its place in an answer, such"
            " as pulse.exports_delta_pct.",
        ),
        of: list[str] | None = typer.Option(
            None, help="With --number: what names its row, once for each field."
        ),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Why a customer is where it is: reasons, use, timeline, what changed, what to do.

        Example: ebbtide why acme-ai --as-of 2026-03-12
        """
        moments = {"as_of": as_of, "known_at": known_at}
        if (tenant is None) == (business is None):
            raise typer.BadParameter("name a customer, or a --number")
        if tenant is None:
            with connect() as door:
                found = door.get("/ops/explain", number=business, of=of or None, **moments)
            if as_json:
                print_json(found)
            else:
                _explain_number(page(), found)
            return
        with connect() as door:
            profile = find_customer(door, tenant, **moments)
            path = f"/ops/customers/{profile['tenant_uuid']}"
            explained = door.get(
                f"{path}/explain",
                metric=metric,
                as_of=profile["as_of"],
                known_at=moments["known_at"],
            )
        if as_json:
            print_json({"profile": profile, "explanation": explained})
            return
        console = page()
        _show(console, profile, bool(as_of or known_at), known_at)
        _explain(console, explained)

    return why


def _explain_number(console: Console, one: dict[str, Any]) -> None:
    named = f" ({', '.join(text or 'not said' for text in one['of'])})" if one["of"] else ""
    value = one["value"]
    shown = number(value) if isinstance(value, int | float) else value or one["reason"]
    console.print(words(f"{one['title']}{named}: {shown} {one['unit']}"), style="bold")
    console.print(words(f"by {one['formula']['id']}, as of {moment(one['as_of'])}"))
    console.print(words(one["formula"]["text"], "dim"))
    table = columns([None, None, 12])
    for part in one["inputs"]:
        value = part["value"]
        adds = "" if part["contributes"] is None else f"adds {part['contributes']:g}"
        shown = number(value) if isinstance(value, int | float) else value
        table.add_row(words(part["name"]), words("—" if shown is None else str(shown)), adds)
    console.print(table)
    if one["note"]:
        console.print(words(one["note"]))
    made_of = [f"{line['metric']}.{line['column']}" for line in one["lineage"]] + one["kept"]
    console.print(words(f"made of {', '.join(made_of)}", "dim"))
    if one["events_url"]:
        path = f"{one['num_events']:,} events: GET {one['events_url']}"
        console.print(words(path, "dim"), soft_wrap=True)


def _show(console: Console, one: dict[str, Any], was_asked: bool, known_at: str | None) -> None:
    risk = one["risk"]
    head = name_of(one).append("  ").append_text(level(risk["risk_level"]))
    head.append(f"  {risk['risk_signal_strength']} of 100", "dim not bold")
    console.print(head)
    tell_moment(console, one, was_asked=was_asked, known_at=known_at)
    console.print(words(_subscription(one)))
    intent = one["intent"]
    still = ", still in its first week" if intent["provisional"] else ""
    console.print(
        words(
            f"Came for {intent['inferred_buyer_type']} ({intent['intent_confidence']:g}):"
            f" {intent['evidence']}{still}"
        )
    )
    _reasons(console, one)
    _use(console, one)
    _timeline(console, one)
    _changes(console, risk)
    _steps(console, one)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold underline"))


def _subscription(one: dict[str, Any]) -> str:
    known = one["subscription"]
    if known["status"] == "active":
        parts = [f"Active, day {known['day']}"]
    elif known["status"] == "cancelled":
        parts = [f"Cancelled {moment(known['cancelled_at'])}"]
    else:
        parts = ["Nothing known of a subscription"]
    if known["plan"]:
        parts.append(f"plan {known['plan']}")
    if known["price_usd"] is not None:
        parts.append(f"{known['price_usd']:.2f} USD per 30 days")
    if known["source"]:
        parts.append(f"came by {known['source']}")
    return ", ".join(parts)


def _reasons(console: Console, one: dict[str, Any]) -> None:
    _title(console, "Why")
    risk = one["risk"]
    table = columns([9, None])
    for part in risk["components"]:
        table.add_row(f"{part['points']} points", words(part["text"]))
    for match in one["playbooks"]:
        table.add_row(
            Text("playbook"),
            words(f"{match['name']} ({match['risk_level']}): ").append_text(
                words("; ".join(match["because"]))
            ),
        )
    if not risk["components"] and not one["playbooks"]:
        said = {"insufficient_data": "too little is known of it"}
        reason = said.get(risk["risk_level_reason"] or "", "nothing speaks for a risk")
        table.add_row("—", reason)
    console.print(table)


def _use(console: Console, one: dict[str, Any]) -> None:
    _title(console, "Use")
    now, before = one["stickiness"], one["stickiness_last_week"] or {}
    table = columns([26, 12, 12, None])
    table.add_row("", Text("now", "dim"), Text("a week ago", "dim"), "")
    for name, key in (
        ("weighted actions, 7 days", "stickiness_7d"),
        ("per week over 30 days", "stickiness_30d"),
        ("ratio", "stickiness_delta"),
    ):
        beside = now["stickiness_trend"] if key == "stickiness_delta" else ""
        if key == "stickiness_7d":
            beside = f"highest ever {number(now['peak_stickiness'])}"
        table.add_row(name, number(now[key]), number(before.get(key)), Text(beside, "dim"))
    usage, friction = one["usage"], one["friction"]
    table.add_row(
        "days with investigation",
        f"{usage['active_days_7d']} of 7",
        "",
        Text(f"{usage['active_days_30d']} of 30", "dim"),
    )
    top = friction["top_friction_type"]
    table.add_row(
        "friction events, 7 days",
        str(friction["friction_events_7d"]),
        "",
        Text("" if top is None else f"most weight: {top}", "dim"),
    )
    console.print(table)
    at = parse_instant(one["as_of"])
    console.print(
        f"Last API call {age(one['last_api_call'], at)}, last investigation"
        f" {age(one['last_investigation'], at)}, last export {age(one['last_export'], at)}"
    )
    first = one["time_to_value"]
    console.print(
        "From sign-up to the first incident"
        f" {number(first['time_to_first_incident_h'], ' h')}, replay"
        f" {number(first['time_to_first_replay_h'], ' h')}, export"
        f" {number(first['time_to_first_export_h'], ' h')}"
    )


def _timeline(console: Console, one: dict[str, Any]) -> None:
    _title(console, "Last 30 days")
    table = columns([26, 31, 7, None])
    for line in one["timeline"][:TYPES_MAX]:
        trend = line["trend"] or {"no_activity": "never"}.get(line["trend_reason"], "too new")
        table.add_row(
            words(line["name"]),
            bars([day["num"] for day in line["days"]], console),
            Text(f"{line['num_30d']:,}", justify="right"),
            Text(trend, TREND_STYLES.get(trend, "dim" if line["trend"] is None else "")),
        )
    if one["changes"]:
        # Midnight belongs to the day that ends with it, in the bars too.
        changed = {
            (parse_instant(change["at"]) - MICROSECOND).date().isoformat()
            for change in one["changes"]
        }
        marks = "".join(
            "^" if day["date"] in changed else " " for day in one["timeline"][0]["days"]
        )
        num = Text(str(len(one["changes"])), justify="right")
        table.add_row("changes recorded", Text(marks, "cyan"), num, "")
    console.print(table)
    console.print(
        "One bar for each UTC day; the first and the last are parts of a day. Then how often in 30"
        " days, and how the last 7 compare with the days before.",
        style="dim",
    )


def _changes(console: Console, risk: dict[str, Any]) -> None:
    if not risk["recent_changes"] and not risk["decay_correlation"]:
        return
    _title(console, "What changed")
    for text in risk["recent_changes"]:
        console.print(words(f"- {text}"))
    if risk["decay_correlation"]:
        console.print(words(f"Nearest before the decline: {risk['decay_correlation']}"))
        console.print("It came first; that does not make it the cause.", style="dim")


def _steps(console: Console, one: dict[str, Any]) -> None:
    if not one["interventions"]:
        return
    _title(console, "What to do")
    table = columns([18, None])
    for step in one["interventions"]:
        kind = ACTION_WORDS.get(step["intervention_type"], step["intervention_type"])
        when = Text(f"{kind} ").append(PRIORITY_WORDS[step["priority"]], "bold")
        said = words(step["suggested_action"])
        contact = contact_of(one, step)
        if contact is not None:
            said.append("\nwith ").append_text(contact)
        said.append(f"\nbecause {clean('; '.join(step['triggering_signals']))}", "dim")
        if step["intervention_id"] is not None:
            said.append(f"\n#{step['intervention_id']}, {step_state(step)}", "dim")
        table.add_row(when, said)
    console.print(table)


def _explain(console: Console, one: dict[str, Any]) -> None:
    _title(console, f"How {one['metric']} came about")
    value = one["value"]
    shown = ", ".join(value) if isinstance(value, list) else value
    console.print(words(f"{'unknown' if shown is None else shown}  by {one['formula']['id']}"))
    console.print(words(one["formula"]["text"], "dim"))
    table = columns([None, None, 12])
    for part in one["inputs"]:
        value = part["value"]
        adds = "" if part["contributes"] is None else f"adds {part['contributes']:g}"
        shown = number(value) if isinstance(value, int | float) else value
        table.add_row(words(part["name"]), words("—" if shown is None else shown), adds)
    console.print(table)
    since = one["changed_since"]
    if since and since["num_late_events"]:
        text = "Everything about it came in later; at the moment itself nothing was known."
        if not since["was_unknown"]:
            text = (
                f"{since['num_late_events']} of these events came in later; from what was known"
                f" at the moment itself it was {since['value_then']}."
            )
        console.print(words(text), style="yellow")
    path = f"{one['num_events']:,} events: GET {one['events_url']}"
    console.print(words(path, "dim"), soft_wrap=True)
