"""``ebbtide keys``: make, list and revoke API keys."""

from __future__ import annotations

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table


def keys_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")

    @group.command("create")
    def create(
        name: str = typer.Argument(help="What people call it, such as 'proxy in production'."),
        scope: list[str] = typer.Option(
            ["ingest"],
            "--scope",
            "-s",
            help="ingest, read, jobs:run, interventions:write, llm:call or admin; repeat for more.",
        ),
        tenant: str | None = typer.Option(None, help="Bind the key to one tenant."),
        expires: str | None = typer.Option(
            None,
            callback=as_moment,
            help="When it ends: 2026-12-31T08:00:00Z, or a date for 00:00 UTC.",
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Make a key. Its text is shown this once and stored nowhere.

        Example: ebbtide keys create proxy --scope ingest
        """
        body = {
            "name": name,
            "scopes": scope,
            "tenant_id": tenant,
            "expires_at": expires,
        }
        with connect() as door:
            made = door.post("/v1/keys", {k: v for k, v in body.items() if v is not None})
        if as_json:
            print_json(made)
            return
        console.print(f"{made['key']}", style="bold")
        scopes = ", ".join(made["scopes"])
        console.print(f"Key {made['key_id']} ({scopes}). It is shown this once; keep it safe.")

    @group.command("list")
    def list_(as_json: bool = AS_JSON) -> None:
        """List keys, without their secrets."""
        with connect() as door:
            body = door.get("/v1/keys")
        if as_json:
            print_json(body)
            return
        print_table(
            ("key", "name", "scopes", "tenant", "created", "last used", "state"),
            [
                (
                    key["key_id"],
                    key["name"],
                    " ".join(key["scopes"]),
                    key["tenant_id"] or "any",
                    key["created_at"],
                    key["last_used_at"] or "never",
                    _state(key),
                )
                for key in body["keys"]
            ],
        )

    @group.command("revoke")
    def revoke(
        key_id: str = typer.Argument(help="The key's id, as keys list shows it."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Revoke a key at once. A revoked key cannot be opened again; make a new one.

        Example: ebbtide keys revoke k3q7zt5m2yxa
        """
        with connect() as door:
            body = door.delete(f"/v1/keys/{key_id}")
        if as_json:
            print_json(body)
        else:
            console.print(f"Revoked {inert(body['key_id'])} ({inert(body['name'])}).")

    return group


def _state(key: dict[str, str | None]) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at']}"
    return f"until {key['expires_at']}" if key["expires_at"] else "active"
