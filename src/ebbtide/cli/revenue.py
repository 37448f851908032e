"""``ebbtide revenue``: do we make money safely, and with whom do we not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import AS_OF, KNOWN_AT
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_LISTED = 20
_STYLES = {"critical": "bold red", "warning": "yellow"}


def revenue_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def revenue(
        as_of: str | None = AS_OF,
        known_at: str | None = KNOWN_AT,
        limit: int = typer.Option(
            _LISTED, min=0, max=200, help="Customers to list, the lowest margin first."
        ),
        flagged: bool = typer.Option(False, "--flagged", help="List only customers with a risk."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Show MRR, what of it may be lost, and the customers with the lowest margin.

        Example: ebbtide revenue --flagged

        Example: ebbtide revenue --as-of 2026-03-12 --limit 5 --json
        """
        with connect() as door:
            body = door.get("/ops/revenue", as_of=as_of, known_at=known_at)
            tenants: dict[str, Any] = {"items": [], "total": 0}
            if limit:
                tenants = door.get(
                    "/ops/revenue/tenants",
                    as_of=as_of or body["as_of"],
                    known_at=known_at,
                    limit=limit,
                    flag="any" if flagged else None,
                )
        if as_json:
            print_json({"revenue": body, "tenants": tenants})
            return
        console.print(inert(f"Revenue as of {body['as_of']}"), style="bold")
        for line in _lines(body):
            console.print(inert(line))
        if tenants["items"]:
            console.print()
            print_table(
                ("customer", "pays", "price", "revenue", "cost", "margin", "%", "risks"),
                [_row(one) for one in tenants["items"]],
            )
            for one in tenants["items"]:
                for flag in one["risk_flags"]:
                    text = f"{flag['level']}: {one['tenant_id']} {flag['message']}"
                    console.print(inert(text), style=_STYLES[flag["level"]])
            more = tenants["total"] - len(tenants["items"])
            if more > 0:
                console.print(f"{more} more; ask for them with --limit")

    return revenue


def _lines(body: dict[str, Any]) -> Iterator[str]:
    mrr, lost = (
        body[part] | {"mrr_usd": body[total]}
        for part, total in (("mrr", "mrr_usd"), ("churned", "churned_mrr_30d_usd"))
    )
    yield f"MRR            {_part(mrr)}{_why(body['mrr_reason'])}"
    default, unknown = body["default_price"], body["num_paying_unknown"]
    if default["num_tenants"]:
        yield f"  of it        {_part(default)} at the default price: nobody named one"
    if body["discounted"]["num_tenants"]:
        yield f"  of it        {_part(body['discounted'])} before their discounts"
    if unknown:
        yield f"  not in it    {_tenants(unknown)} without a word on whether they pay"
    yield f"Lost in 30 d   {_part(lost)}"
    if body["churned_by_failed_payment"]["num_tenants"]:
        yield f"  of it        {_part(body['churned_by_failed_payment'])} by failed payments"
    for one in body["churn_labels"]:
        yield f"  because      {one['label']}: {_part(one)}"
    share = "" if body["at_risk_mrr_pct"] is None else f" ({body['at_risk_mrr_pct']} % of MRR)"
    yield f"At risk        {_usd(body['at_risk_mrr_usd'])}{share}"
    for one in body["at_risk_by_level"]:
        yield f"  {one['risk_level']:<12} {_part(one)}"
    yield f"About to leave {_part(body['leaving'])}"
    yield f"Payment fails  {_part(body['failing_payments'])}"
    cost = _usd(body["llm_cost_30d_usd"])
    if body["num_calls_without_cost"]:
        cost += f" and {body['num_calls_without_cost']} calls of unknown cost"
    yield f"30 days        revenue {_usd(body['revenue_30d_usd'])}, model costs {cost}"
    pct = "" if body["margin_pct"] is None else f" ({body['margin_pct']} %)"
    yield f"Margin         {_usd(body['margin_30d_usd'])}{pct}{_why(body['margin_reason'])}"


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    sources = {price["source"] for price in one["prices"]}
    mark = " (default)" if "default" in sources else ""
    price = None if one["price_usd"] is None else f"{one['price_usd']:,.2f}{mark}"
    return (
        one["tenant_id"],
        one["paying"],
        price,
        _number(one["revenue_usd"]),
        _number(one["llm_cost_usd"]),
        _number(one["margin_usd"]),
        one["margin_pct"],
        ", ".join(flag["flag"] for flag in one["risk_flags"]) or None,
    )


def _part(part: dict[str, Any]) -> str:
    text = f"{_usd(part['mrr_usd'])} from {_tenants(part['num_tenants'])}"
    if part["num_without_price"]:
        text += f", {part['num_without_price']} of them without a known price"
    return text


def _tenants(num: int) -> str:
    return f"{num} customer" if num == 1 else f"{num} customers"


def _usd(amount: float | None) -> str:
    return "—" if amount is None else f"{amount:,.2f} USD"


def _number(amount: float | None) -> str | None:
    return None if amount is None else f"{amount:,.2f}"


def _why(reason: str | None) -> str:
    return "" if reason is None else f" ({reason.replace('_', ' ')})"
