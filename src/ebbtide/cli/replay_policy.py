"""``ebbtide replay-policy``: what another version of a policy would have said of recorded calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from rich.progress import Progress, TextColumn

from ebbtide.cli.door import Connect
from ebbtide.cli.output import AS_JSON, console, errors, inert, print_json, print_table
from ebbtide.cli.replay import EXIT_NOT_DONE, Sleep, wait


def replay_policy_command(connect: Connect, sleep: Sleep) -> Callable[..., None]:
    """The command."""

    def replay_policy(
        policy_id: str = typer.Argument(help="Such as CONTENT_ACCURACY."),
        before: str = typer.Option(..., help="Version A, such as the one in force."),
        after: str = typer.Option(..., help="Version B."),
        days: int = typer.Option(7, min=1, max=730, help="Recorded calls of so many days."),
        tenant: list[str] = typer.Option([], help="Only this customer; may be given again."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Judge recorded calls by two versions of a policy: what would B block or let through?

        No model is called, it costs nothing, and the same calls give the same result. A false
        block is a blocked call that a person judged as wrongly blocked; one that nobody judged
        is unjudged.

        Example: ebbtide replay-policy CONTENT_ACCURACY --before v12 --after v13
        """
        body: dict[str, Any] = {
            "policy_id": policy_id,
            "before": before,
            "after": after,
            "days": days,
        }
        if tenant:
            body["tenants"] = list(tenant)
        with connect() as door:
            begun = door.post("/ops/policy-replays", body)
            path = f"/ops/policy-replays/{begun['policy_replay_id']}"
            with Progress(
                TextColumn("{task.description}"),
                console=errors,
                transient=True,
                disable=as_json or not errors.is_terminal,
            ) as bar:
                task = bar.add_task("0 calls judged")

                def tell(found: dict[str, Any]) -> None:
                    bar.update(task, description=f"{found['num_done']:,} calls judged")

                found = wait(door, path, sleep, tell)
        if as_json:
            print_json(found)
        else:
            _tell(found)
        if found["state"] != "done":
            raise typer.Exit(EXIT_NOT_DONE)

    return replay_policy


def _tell(found: dict[str, Any]) -> None:
    if found["state"] != "done":
        console.print(inert(f"{found['policy_replay_id']}: {found['error_type']}"))
        return
    rows = found["items"] + ([found["total"]] if len(found["items"]) > 1 else [])
    print_table(
        (
            "customer",
            "calls",
            f"blocked {found['before']}",
            f"blocked {found['after']}",
            "newly blocked",
            "let through",
            "false blocks",
            "unjudged",
        ),
        [
            (
                "all" if one["tenant_id"] is None else one["tenant_id"],
                one["num_calls"],
                one["num_blocked_before"],
                one["num_blocked_after"],
                one["num_newly_blocked"],
                one["num_let_through"],
                f"{one['num_false_blocks_before']} -> {one['num_false_blocks_after']}",
                f"{one['num_unjudged_before']} -> {one['num_unjudged_after']}",
            )
            for one in rows
        ],
    )
    console.print(
        inert(f"{found['num_done']:,} calls judged; {found['policy_replay_id']} to promote by.")
    )
