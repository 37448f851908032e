"""``ebbtide interventions``: which steps were suggested, and what you did with them."""

from __future__ import annotations

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.drawing import ACTION_WORDS, PRIORITY_WORDS, moment, step_state
from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table
from ebbtide.domain.intervention import DismissReason

_ID = typer.Argument(min=1, help="Its number: the 39 of #39 in 'ebbtide today'.")
_NOTE = typer.Option(None, help="What is worth remembering.")


def interventions_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Steps that were suggested, and what you did with them."
    )

    @group.command("list")
    def list_(
        open_: bool = typer.Option(False, "--open", help="Only those that still wait."),
        tenant: str | None = typer.Option(None, help="Only of this customer."),
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """List suggested steps, newest first, and what became of each.

        Open is a step that nobody has answered, one taken on, and one done whose outcome is
        still being measured.

        Example: ebbtide interventions list --open
        """
        with connect() as door:
            body = door.get(
                "/ops/interventions",
                is_open="true" if open_ else None,
                tenant_id=tenant,
                limit=limit,
            )
        if as_json:
            print_json(body)
            return
        if not body["items"]:
            console.print("No step matches." if open_ or tenant else "Nothing was suggested yet.")
            return
        print_table(
            ("id", "customer", "step", "when", "state", "suggested", "because"),
            [
                (
                    one["intervention_id"],
                    one["tenant_id"],
                    ACTION_WORDS.get(one["intervention_type"], one["intervention_type"]),
                    PRIORITY_WORDS[one["priority"]],
                    step_state(one),
                    moment(one["suggested_at"]),
                    "; ".join(one["triggering_signals"]),
                )
                for one in body["items"]
            ],
        )
        left_out = body["total"] - len(body["items"])
        if left_out:
            console.print(f"{left_out} older ones: --limit {min(body['total'], 1000)}", style="dim")

    @group.command("accept")
    def accept(
        number: int = _ID,
        note: str | None = _NOTE,
        as_json: bool = AS_JSON,
    ) -> None:
        """Take a step on: you will do it, and it is not suggested again meanwhile.

        Example: ebbtide interventions accept 39
        """
        _answer(connect, number, "accept", {"note": note}, as_json)

    @group.command("dismiss")
    def dismiss(
        number: int = _ID,
        reason: DismissReason = typer.Option(
            help="Why not. It is settled already (fixed), useful or not_useful as a hint,"
            " not_applicable to this customer, or the numbers mislead (incorrectly_flagged)."
        ),
        note: str | None = _NOTE,
        as_json: bool = AS_JSON,
    ) -> None:
        """Turn a step down, with the reason; it stays away until its cause comes back.

        Example: ebbtide interventions dismiss 39 --reason not_applicable
        """
        _answer(connect, number, "dismiss", {"reason": reason.value, "note": note}, as_json)

    @group.command("done")
    def done(
        number: int = _ID,
        at: str | None = typer.Option(
            None, callback=as_moment, help="When it was done, or a date for 00:00 UTC; now if none."
        ),
        note: str | None = _NOTE,
        as_json: bool = AS_JSON,
    ) -> None:
        """Say that a step is done; from then on its outcome is measured.

        Example: ebbtide interventions done 39 --note "Spoke to Ada; she did not know of replays."
        """
        _answer(connect, number, "done", {"done_at": at, "note": note}, as_json)

    @group.command("undo")
    def undo(number: int = _ID, as_json: bool = AS_JSON) -> None:
        """Take the last answer back, until the outcome is measured.

        Example: ebbtide interventions undo 39
        """
        _answer(connect, number, "undo", {}, as_json)

    return group


def _answer(
    connect: Connect, number: int, step: str, said: dict[str, str | None], as_json: bool
) -> None:
    """Say one thing about one row, and print how it stands then."""
    body = {name: value for name, value in said.items() if value is not None}
    with connect() as door:
        one = door.post(f"/ops/interventions/{number}/{step}", body or None)
    if as_json:
        print_json(one)
    else:
        console.print(inert(f"#{number}, {one['tenant_id']}: {step_state(one)}."))
