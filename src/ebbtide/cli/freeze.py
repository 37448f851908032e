"""``ebbtide freeze``: the kill switch for calls to models, of a customer or a key."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import typer

from ebbtide.cli.door import CommandError, Connect, Door
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

_PATH = "/ops/freeze"


def freeze_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Stop all calls to models of a customer or a key, at once, and let them go on.",
    )

    @group.command("tenant")
    def tenant(
        tenant: str = typer.Argument(help="The customer to stop."),
        reason: str = typer.Option(..., help="Why; it is kept, and the callers are told."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Stop a customer: its calls are answered with 423 from now on.

        Example: ebbtide freeze tenant gamma-inc --reason "Spend rose tenfold."
        """
        _freeze(connect, {"tenant_id": tenant, "reason": reason}, as_json)

    @group.command("key")
    def key(
        key_id: str = typer.Argument(help="Id of the key to stop, as in: ebbtide keys list"),
        reason: str = typer.Option(..., help="Why; it is kept, and the callers are told."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Stop one key; other keys of its customer go on."""
        _freeze(connect, {"key_id": key_id, "reason": reason}, as_json)

    @group.command("lift")
    def lift(
        freeze_id: str = typer.Argument(help="As in: ebbtide freeze list"),
        reason: str | None = typer.Option(None, help="Why it may go on."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Let the calls go on."""
        with connect() as door:
            body = door.post(f"{_PATH}/{quote(freeze_id, safe='')}/lift", {"reason": reason})
        if as_json:
            print_json(body)
        else:
            console.print(inert(f"Lifted: {_whom(body)} may call models again."))

    @group.command("list")
    def list_(
        everything: bool = typer.Option(False, "--all", help="Also those that were lifted."),
        as_json: bool = AS_JSON,
    ) -> None:
        """List who is stopped."""
        with connect() as door:
            body = door.get(_PATH, active="false" if everything else "true")
        if as_json:
            print_json(body)
            return
        if not body["items"]:
            console.print("Nobody is frozen.")
            return
        print_table(
            ("freeze", "scope", "whom", "since", "by", "reason", "lifted"),
            [
                (
                    one["freeze_id"],
                    one["scope"],
                    one["key_id"] or one["tenant_id"],
                    one["frozen_at"],
                    one["frozen_by"],
                    one["reason"],
                    one["lifted_at"],
                )
                for one in body["items"]
            ],
        )

    return group


def _freeze(connect: Connect, body: dict[str, Any], as_json: bool) -> None:
    with connect() as door:
        # Asked first, for a stop enters its customer in the directory.
        is_known = body.get("tenant_id") is None or _is_known(door, body["tenant_id"])
        made = door.post(_PATH, body)
    if as_json:
        print_json(made)
    else:
        console.print(
            inert(
                f"Frozen: {_whom(made)}. Let it go on with: ebbtide freeze lift {made['freeze_id']}"
            )
        )
        if not is_known:
            console.print("Nothing was known of that customer before: is the name right?")


def _is_known(door: Door, tenant_id: str) -> bool:
    """Whether the directory has a customer; what keeps it from telling keeps no stop back."""
    try:
        door.get(f"/v1/tenants/{quote(tenant_id, safe='')}")
    except CommandError as error:
        return error.status != 404
    return True


def _whom(freeze: dict[str, Any]) -> str:
    return f"key {freeze['key_id']}" if freeze["scope"] == "key" else str(freeze["tenant_id"])
