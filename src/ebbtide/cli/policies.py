"""``ebbtide policies``: what calls are judged by, who has which version, and going back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ebbtide.cli.door import CommandError, Connect
from ebbtide.cli.drawing import moment
from ebbtide.cli.moments import AS_OF
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

TENANT = typer.Option(None, "--tenant", help="Whom it is for; may be given often.")
DEFAULT = typer.Option(False, "--default", help="For all who have no version of their own.")
REASON = typer.Option(..., help="Why; it stands among the changes.")
YES = typer.Option(False, "--yes", help="Do not ask again.")


def policies_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Policies of the guard.")

    @app.command("list")
    def list_policies(as_of: str | None = AS_OF, as_json: bool = AS_JSON) -> None:
        """All policies, and who has which version.

        Example: ebbtide policies list
        """
        with connect() as door:
            body = door.get("/ops/policies", as_of=as_of)
        if as_json:
            print_json(body)
            return
        print_table(
            ("policy", "default", "versions", "of their own", "title"),
            [
                (
                    one["policy_id"],
                    one["default_version"],
                    ", ".join(one["versions"]),
                    ", ".join(f"{who}: {what}" for who, what in one["tenants"].items()),
                    one["title"],
                )
                for one in body["items"]
            ],
        )

    @app.command()
    def show(
        policy_id: str = typer.Argument(help="Such as CONTENT_ACCURACY."),
        as_of: str | None = AS_OF,
        as_json: bool = AS_JSON,
    ) -> None:
        """One policy: its versions, and every assignment, newest first.

        Example: ebbtide policies show CONTENT_ACCURACY
        """
        with connect() as door:
            body = door.get(f"/ops/policies/{policy_id}", as_of=as_of)
        if as_json:
            print_json(body)
            return
        for one in body["versions"]:
            console.print(inert(f"{one['version']}  {one['title']}"), style="bold")
            console.print(inert(f"  {one['meaning']}"))
            sides = " and ".join(one["stages"])
            console.print(f"  looks at the {sides}; severity {one['severity']}, {one['action']}s")
            for rule in one["rules"]:
                what = rule["when"] or f"{rule['detector']} {rule['options'] or ''}".strip()
                console.print(inert(f"  {rule['name']}: {what}"), style="dim")
        print_table(
            ("when", "for", "version", "before", "by", "why", "assignment"),
            [
                (
                    moment(one["assigned_at"]),
                    one["tenant_id"] or "all others",
                    one["version"],
                    one["previous"],
                    one["assigned_by"],
                    one["reason"],
                    one["assignment_id"],
                )
                for one in body["assignments"]
            ],
        )

    @app.command()
    def add(
        file: Path = typer.Argument(help="Definition, TOML or JSON."), as_json: bool = AS_JSON
    ) -> None:
        """Add a version of a policy; nobody has it until it is assigned.

        Example: ebbtide policies add no_promises.toml
        """
        try:
            definition = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error
        with connect() as door:
            body = door.post("/ops/policies", {"definition": definition})
        if as_json:
            print_json(body)
            return
        said = "Added" if body["is_new"] else "There already"
        console.print(inert(f"{said}: {body['policy_id']} {body['version']}"))

    @app.command()
    def assign(
        policy_id: str = typer.Argument(help="Such as CONTENT_ACCURACY."),
        version: str = typer.Argument(help="A version; off; or default, as all others have it."),
        tenant: list[str] | None = TENANT,
        default: bool = DEFAULT,
        reason: str = REASON,
        yes: bool = YES,
        as_json: bool = AS_JSON,
    ) -> None:
        """Give tenants a version of a policy.

        Example: ebbtide policies assign PII_FILTER v2 --tenant acme --reason "fewer false blocks"
        """
        whom = _whom(tenant, default)
        _ask(f"Give {_named(whom)} {policy_id} {version}?", yes)
        with connect() as door:
            body = door.post(
                f"/ops/policies/{policy_id}/assign",
                {**whom, "version": version, "reason": reason, "confirm": True},
            )
        _tell(body, as_json)

    @app.command()
    def rollback(
        policy_id: str = typer.Argument(help="Such as CONTENT_ACCURACY."),
        tenant: list[str] | None = TENANT,
        default: bool = DEFAULT,
        reason: str = REASON,
        yes: bool = YES,
        as_json: bool = AS_JSON,
    ) -> None:
        """Go back to the version that was there before.

        Example: ebbtide policies rollback PII_FILTER --default --reason "v2 blocks too much"
        """
        whom = _whom(tenant, default)
        _ask(f"Give {_named(whom)} the version of {policy_id} that was before?", yes)
        with connect() as door:
            body = door.post(
                f"/ops/policies/{policy_id}/rollback", {**whom, "reason": reason, "confirm": True}
            )
        _tell(body, as_json)

    @app.command()
    def undo(
        assignment_id: str = typer.Argument(help="As ebbtide policies show names it."),
        reason: str = REASON,
        yes: bool = YES,
        as_json: bool = AS_JSON,
    ) -> None:
        """Take an assignment back, for everybody it touched.

        Example: ebbtide policies undo 5f0c1d2e3a4b5c6d --reason "wrong tenant"
        """
        _ask(f"Take assignment {assignment_id} back?", yes)
        with connect() as door:
            body = door.post(
                f"/ops/policies/assignments/{assignment_id}/undo",
                {"reason": reason, "confirm": True},
            )
        _tell(body, as_json)

    return app


def _whom(tenants: list[str] | None, default: bool) -> dict[str, Any]:
    if bool(tenants) is default:
        raise CommandError("say --tenant, once or more often, or --default, one of them")
    return {"default": True} if default else {"tenants": tenants}


def _named(whom: dict[str, Any]) -> str:
    return "all others" if "default" in whom else ", ".join(whom["tenants"])


def _ask(question: str, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise CommandError("nothing was changed")


def _tell(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(body)
        return
    for one in body["items"]:
        whom = one["tenant_id"] or "all others"
        console.print(
            inert(f"{whom}: {one['policy_id']} {one['version']}, before {one['previous']}")
        )
    console.print(f"To take it back: ebbtide policies undo {body['assignment_id']}", style="dim")
    if not body["is_recorded"]:
        console.print("It could not be recorded among the changes.", style="yellow")
