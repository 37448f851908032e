"""``ebbtide today``: who to call today, why, and what to do first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ebbtide.cli.door import Connect
from ebbtide.cli.drawing import (
    ACTION_WORDS,
    PRIORITY_WORDS,
    clean,
    columns,
    contact_of,
    first_open,
    level,
    name_of,
    page,
    tell_moment,
    tell_nobody,
    words,
)
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, print_json
from ebbtide.domain.time import parse_instant

REASONS_MAX = 2  # the list is read in seconds; ``why`` has them all


def today_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def today(
        limit: int = typer.Option(10, min=1, max=50, help="How many customers."),
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        as_json: bool = AS_JSON,
    ) -> None:
        """Who to call today: the customers that are slipping, worst first, with the next step.

        Example: ebbtide today
        """
        with connect() as door:
            body = door.get(
                "/ops/customers/at-risk",
                limit=limit,
                as_of=as_of,
                known_at=known_at,
            )
            everybody = door.get(
                "/ops/customers",
                limit=1,
                as_of=body["as_of"] if as_of or known_at else None,
                known_at=known_at,
            )
        if as_json:
            print_json(body)
            return
        _show(page(), body, everybody["total"], bool(as_of or known_at), known_at)

    return today


def _show(
    console: Console, body: dict[str, Any], num_all: int, was_asked: bool, known_at: str | None
) -> None:
    tell_moment(console, body, was_asked=was_asked, known_at=known_at)
    if not num_all:
        tell_nobody(console, body, was_asked=was_asked)
        return
    if not body["items"]:
        console.print(f"Nobody needs a call: {num_all} customers, none at risk.", style="green")
    else:
        console.print(_headline(body, num_all))
    for place, customer in enumerate(body["items"], 1):
        console.print()
        console.print(_customer(place, customer))
    left_out = body["total"] - len(body["items"])
    if left_out:
        console.print(f"\n{left_out} more: ebbtide today --limit 50", style="dim")
    if body["num_gone"]:
        names = ", ".join(clean(one["tenant_name"] or one["tenant_id"]) for one in body["gone"][:5])
        more = "" if body["num_gone"] <= 5 else ", ..."
        console.print(Text(f"\nWithout any event for 30 days, so not listed: {names}{more}", "dim"))
    if body["items"]:
        console.print(
            "\nThe order is a rank for attention, not a probability."
            "  Everything about one: ebbtide why CUSTOMER",
            style="dim",
        )
    numbers = [step["intervention_id"] for one in body["items"] if (step := first_open(one))]
    answerable = [number for number in numbers if number is not None]
    if answerable:
        console.print(
            f"Done with #{answerable[0]}? Say so: ebbtide interventions done {answerable[0]}"
            "  (or accept, dismiss)",
            style="dim",
        )


def _headline(body: dict[str, Any], num_all: int) -> Text:
    counts = Counter(one["risk_level"] for one in body["items"])
    text = Text(f"{body['total']} of {num_all} customers need you", "bold")
    shown = [f"{counts[name]} {name}" for name in ("critical", "high", "medium") if counts[name]]
    if body["total"] == len(body["items"]):
        text.append(": " + ", ".join(shown), "not bold")
    return text


def _customer(place: int, one: dict[str, Any]) -> Any:
    table = columns([2, 8, None])
    head = name_of(one).append(f"  {one['risk_signal_strength']} of 100", "dim not bold")
    table.add_row(Text(str(place), "dim"), level(one["risk_level"]), head)
    why = [one["primary_risk_reason"], *one["secondary_signals"]]
    said = "; ".join(why[:REASONS_MAX])
    if len(why) > REASONS_MAX:
        said += f"; {len(why) - REASONS_MAX} more"
    table.add_row("", Text("why", "dim"), words(said))
    if one["decay_correlation"]:
        table.add_row("", Text("before", "dim"), words(one["decay_correlation"]))
    elif one["recent_changes"]:
        table.add_row("", Text("changed", "dim"), words("; ".join(one["recent_changes"][:2])))
    for label, text in _to_do(one):
        table.add_row("", Text(label, "cyan"), text)
    return table


def _to_do(one: dict[str, Any]) -> Iterator[tuple[str, Text]]:
    """The first step that is still to be taken, and whom to speak to; else what is waited for."""
    if not one["interventions"]:
        return
    step = first_open(one)
    if step is None:
        yield "do", Text(_answered(one["interventions"]), "green")
        return
    text = Text(f"{ACTION_WORDS.get(step['intervention_type'], step['intervention_type'])} ")
    text.append(PRIORITY_WORDS[step["priority"]], "bold")
    text.append(f": {clean(step['suggested_action'])}", "not bold")
    if step["state"] == "accepted":
        text.append(" (taken on)", "green not bold")
    if step["intervention_id"] is not None:
        text.append(f" #{step['intervention_id']}", "dim not bold")
    yield "do", text
    contact = contact_of(one, step)
    if contact is not None:
        yield "contact", contact


def _answered(steps: list[dict[str, Any]]) -> str:
    """What became of steps of which none is open."""
    done = [step for step in steps if step["state"] == "done"]
    if not done:
        return "dismissed; no other step is suggested"
    waiting = [step for step in done if step["outcome"] is None and step["outcome_closes_at"]]
    if waiting:
        until = min(parse_instant(step["outcome_closes_at"]) for step in waiting)
        return f"done, waiting for the outcome until {until:%Y-%m-%d}"
    measured = sorted({step["outcome"] for step in done if step["outcome"]})
    return f"done, outcome {' and '.join(measured)}" if measured else "done"
